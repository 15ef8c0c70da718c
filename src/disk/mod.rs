//! The one embedded database under log and store, and its group commit.
