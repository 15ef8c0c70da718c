//! A provider's answer becomes events, timers and dead letters.
