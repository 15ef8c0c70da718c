//! What is known of the templates of a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SavedTemplate;
use crate::clock::Moment;
use crate::domain::{TemplateChange, TemplateHistory, TemplateKind, TemplateSource};

/// The templates of one tenant, up to a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The number of the last change that is in it.
    pub(super) last: u64,
    /// All that were ever saved, by code.
    pub(super) by_code: BTreeMap<Box<str>, Arc<Held>>,
    /// Those whose version in force was not in the store when it was read, and since when: it is read until it is.
    pub(super) owed: BTreeMap<Box<str>, Moment>,
    /// Why what comes after `last` cannot be followed.
    pub(super) trouble: Option<Trouble>,
    /// How many are there.
    pub(super) count: usize,
}

/// A change that nobody here can make sense of: what comes after it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Of the change.
    pub(super) number: u64,
    pub(super) reason: Box<str>,
}

/// One template that was saved at some time.
#[derive(Debug, Clone, Default)]
pub struct Held {
    pub history: TemplateHistory,
    /// What messages are made of on this node: version, and whether it is active. Another one than that of the history while its body
    /// is not in the store.
    pub(super) used: Option<(u32, bool)>,
    /// What its version in force says of itself; `None`: there is none, or it cannot be read.
    pub summary: Option<Summary>,
    /// Why the version in force cannot be read.
    pub unreadable: Option<Box<str>>,
}

/// What lists show of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub kind: TemplateKind,
    pub description: Option<Box<str>>,
    pub category: Option<Box<str>>,
    pub default_locale: Box<str>,
    pub locales: Vec<Box<str>>,
    /// Of the experiment, if there is one.
    pub variants: Vec<Box<str>>,
}

impl Held {
    /// What [`Held::used`] comes to.
    pub(super) fn in_force(&self) -> Option<(u32, bool)> {
        self.history.current().map(|version| (version.number, self.history.is_active))
    }

    /// Whether messages are still made of what was in force before.
    pub(super) fn is_behind(&self) -> bool {
        self.used != self.in_force()
    }

    pub(super) fn is_there(&self) -> bool {
        self.history.current.is_some()
    }
}

impl Summary {
    pub fn of(source: &TemplateSource) -> Self {
        let variants = source.experiment.iter().flat_map(|experiment| &experiment.variants);
        Self {
            kind: source.kind,
            description: source.description.clone(),
            category: source.category.clone(),
            default_locale: source.default_locale.clone(),
            locales: source.locales.keys().cloned().collect(),
            variants: variants.map(|variant| variant.name.clone()).collect(),
        }
    }
}

/// What is new of a tenant since [`Known::last`].
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) last: u64,
    /// Those that were changed, or whose body is owed.
    pub(super) changed: BTreeMap<Box<str>, Held>,
    /// What is to be put in force.
    pub(super) puts: BTreeMap<Box<str>, SavedTemplate>,
    /// Those whose body was not in the store.
    pub(super) missing: BTreeSet<Box<str>>,
    pub(super) trouble: Option<Trouble>,
}

impl News {
    pub(super) fn since(known: &Known) -> Self {
        let held = |code| known.by_code.get_key_value(code).map(|(code, held)| (code.clone(), (**held).clone()));
        let changed = known.owed.keys().filter_map(held).collect();
        Self { last: known.last, changed, missing: known.owed.keys().cloned().collect(), ..Self::default() }
    }

    /// Adds what comes next.
    pub(super) fn add(&mut self, known: &Known, changes: &[TemplateChange]) {
        for change in changes {
            let before = || known.by_code.get(&change.code).map(|held| (**held).clone()).unwrap_or_default();
            self.changed.entry(change.code.clone()).or_insert_with(before).history.apply(change);
            self.last = change.number;
        }
    }
}

impl Known {
    /// Takes in what was put in force.
    pub(super) fn take(&mut self, news: News, now: Moment) {
        let News { last, changed, missing, trouble, .. } = news;
        self.last = last;
        self.trouble = trouble;
        for (code, held) in changed {
            match missing.contains(&code) {
                true => _ = self.owed.entry(code.clone()).or_insert(now),
                false => _ = self.owed.remove(&code),
            }
            self.by_code.insert(code, Arc::new(held));
        }
        self.count = self.by_code.values().filter(|held| held.is_there()).count();
    }
}
