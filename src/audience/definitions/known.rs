//! What is known of one tenant's definitions, and the book that is made of them. Pure, but for the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Known, Maker, Origin};
use crate::audience::RuleBook;
use crate::clock::Moment;
use crate::domain::{Definition, DefinitionKind, Timestamp};

/// What was saved, deleted ones with it, by kind and name.
pub(super) type SavedRows = BTreeMap<(DefinitionKind, Box<str>), Definition>;

/// Before what has problems is judged again: doubled each time that nothing was mended.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The definitions of one tenant.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) saved: Arc<SavedRows>,
    /// What there is: those of them that were not deleted, and what ships and is not covered; in the order of kind and name.
    pub(super) definitions: Arc<[Definition]>,
    pub(super) in_force: Arc<RuleBook>,
    /// What they were judged to be last. A rule whose template has gone since stays in force, and says of each event why it makes nothing
    /// of it; one whose template has come is put in force.
    pub(super) latest: Arc<RuleBook>,
    pub(super) judged: Judged,
    /// The number that the tenant had when it was read, and when; `None`: it was not.
    pub(super) seen: Option<(u64, Moment)>,
}

/// About a judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    pub(super) at: Moment,
    took: Duration,
    pause: Duration,
    /// Of something in force; it may be mended by a template.
    has_problems: bool,
}

impl Judged {
    /// Whether it is time to judge again without having been asked.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.has_problems && now.since(self.at) >= self.pause
    }

    /// Whether asking again is answered by judging again: who asks all the time has a small part of a processor.
    fn is_old(&self, now: Moment) -> bool {
        now.since(self.at) >= self.took * 20
    }
}

impl Tenant {
    pub(super) fn definition(&self, kind: DefinitionKind, name: &str) -> Option<&Definition> {
        let found = self.definitions.binary_search_by(|one| (one.kind, &*one.name).cmp(&(kind, name)));
        found.ok().map(|at| &self.definitions[at])
    }

    pub(super) fn show(&self, definition: &Definition) -> Known {
        let Definition { kind, name, .. } = definition;
        let is_saved = self.saved.contains_key(&(*kind, name.clone()));
        Known {
            definition: definition.clone(),
            origin: if is_saved { Origin::Saved } else { Origin::Shipped },
            problems: self.latest.problems(*kind, name).to_vec(),
        }
    }

    /// What would be saved next under a name.
    pub(super) fn next(&self, kind: DefinitionKind, name: &str, body: Option<&str>, now: Timestamp) -> Definition {
        let held = self.saved.get(&(kind, name.into()));
        let version = held.map_or(0, |held| held.version) + 1;
        Definition { kind, name: name.into(), version, body: body.map(Box::from), changed_at: now }
    }

    /// With what was read, where that is newer: what a replica that lags has not heard of stays. `None`: nothing is.
    pub(super) fn newer(&self, rows: Vec<Definition>) -> Option<SavedRows> {
        let mut newer: Option<SavedRows> = None;
        for row in rows {
            let place = (row.kind, row.name.clone());
            if self.saved.get(&place).is_none_or(|held| held.version < row.version) {
                newer.get_or_insert_with(|| (*self.saved).clone()).insert(place, row);
            }
        }
        newer
    }

    /// Whether one judgement finds nothing wrong with something that the other does.
    fn is_mended(&self, before: &RuleBook, after: &RuleBook) -> bool {
        self.definitions.iter().any(|Definition { kind, name, .. }| {
            after.problems(*kind, name).is_empty() && !before.problems(*kind, name).is_empty()
        })
    }

    fn has_problems(&self, book: &RuleBook) -> bool {
        self.definitions.iter().any(|Definition { kind, name, .. }| !book.problems(*kind, name).is_empty())
    }
}

impl Maker {
    /// From what a tenant saved.
    pub(super) fn make(&self, tenant: &str, saved: Arc<SavedRows>) -> Tenant {
        let definitions = self.definitions(&saved);
        let (book, at, took) = self.book(tenant, &definitions);
        let judged = Judged { at, took, pause: FIRST_PAUSE, has_problems: false };
        let mut made = Tenant { saved, definitions, in_force: book.clone(), latest: book, judged, seen: None };
        made.judged.has_problems = made.has_problems(&made.latest);
        made
    }

    /// As it would be with one more definition, or another one.
    pub(super) fn with(&self, tenant: &str, known: &Tenant, next: Definition) -> Tenant {
        let mut saved = (*known.saved).clone();
        saved.insert((next.kind, next.name.clone()), next);
        Tenant { seen: known.seen, ..self.make(tenant, Arc::new(saved)) }
    }

    /// The same judged anew: templates have come or gone. `None`: it was done a moment ago.
    pub(super) fn judged_anew(&self, tenant: &str, known: &Tenant) -> Option<Tenant> {
        if !known.judged.is_old(self.clock.moment()) {
            return None;
        }
        let (latest, at, took) = self.book(tenant, &known.definitions);
        let is_mended = known.is_mended(&known.in_force, &latest);
        let in_force = if is_mended { latest.clone() } else { known.in_force.clone() };
        let pause = if is_mended { FIRST_PAUSE } else { (known.judged.pause * 2).min(PAUSE_MAX) };
        let has_problems = known.has_problems(&in_force);
        Some(Tenant { in_force, latest, judged: Judged { at, took, pause, has_problems }, ..known.clone() })
    }

    fn book(&self, tenant: &str, definitions: &[Definition]) -> (Arc<RuleBook>, Moment, Duration) {
        let began = self.clock.moment();
        let book = Arc::new(RuleBook::new(tenant, definitions, &self.contents));
        let now = self.clock.moment();
        (book, now, now.since(began))
    }

    /// What there is for who saved this.
    fn definitions(&self, saved: &SavedRows) -> Arc<[Definition]> {
        if saved.is_empty() {
            return self.shipped.clone();
        }
        let is_covered = |shipped: &&Definition| saved.contains_key(&(shipped.kind, shipped.name.clone()));
        let shipped = self.shipped.iter().filter(|shipped| !is_covered(shipped));
        let there = saved.values().filter(|saved| saved.body.is_some());
        let mut all: Vec<Definition> = shipped.chain(there).cloned().collect();
        all.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        all.into()
    }
}
