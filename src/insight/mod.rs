//! What reads the results.

mod accounting;

pub use accounting::{Accounting, AccountingLine, SKIP_REASONS, accounting};
