//! What reads the results.

mod accounting;

pub use accounting::{Accounting, AccountingLine, accounting};
