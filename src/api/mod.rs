//! The HTTP API.

mod operations;

pub use operations::{Cancelled, Operations, Replayed};
