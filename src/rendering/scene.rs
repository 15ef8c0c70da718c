//! What a render knows besides the data.

#[cfg(test)]
use std::sync::{Arc, LazyLock};

use super::locale::Locale;
use super::program::Program;
use crate::domain::Zone;

/// In whose language and zone a message is written, and which partials it may include.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) locale: &'a Locale,
    pub(super) zone: &'a Zone,
    /// Finds a partial by its name, for the same part and locale.
    pub(super) partials: &'a dyn Fn(&str) -> Option<&'a Program>,
}

#[cfg(test)]
impl Scene<'static> {
    /// English, in UTC, without partials: for what was written before there was a choice.
    pub(super) fn english() -> Self {
        static ENGLISH: LazyLock<Arc<Locale>> = LazyLock::new(Locale::english);
        static UTC: Zone = Zone::UTC;
        Self { locale: &ENGLISH, zone: &UTC, partials: &|_| None }
    }
}
