//! The HTTP API.

mod operations;

pub use operations::{Accounting, AccountingLine, Cancelled, Operations, Replayed};
