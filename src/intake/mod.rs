//! From the doors into the log, and from the log into the store.
