//! What is defined, and kept in force on this node.
//!
//! In: changes that somebody asks for here, those of other nodes, from the store, and what ships. Out: for each tenant a [`RuleBook`],
//! which is swapped as a whole. Promise: a change is durable and in force on this node before it is answered, and in force on the
//! others within `INTERVAL` and the time of a read; of two at once that were asked for by version, one is made; what cannot be read
//! leaves what was known in force. A node that dies between a change and its announcement delays it to the others by `REREAD`.

mod change;
mod check;
mod follow;
mod known;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use known::Tenant;

use crate::audience::RuleBook;
use crate::clock::SharedClock;
use crate::domain::{Definition, DefinitionKind};
use crate::intake::{ContentCheck, FieldProblem};
use crate::store::{SharedStore, StoreError};
use crate::telemetry::CounterMetric;

/// Worry when it grows: changes made elsewhere are not heard of here.
const RELOAD_ERRORS: CounterMetric<0> = CounterMetric::new(
    "fanfare_definition_reload_errors_total",
    "Readings of a tenant's event types and rules that failed; what was known stays in force.",
    [],
);

/// Tenants without definitions of their own whose books are kept; of more, one is made anew when it is asked for.
const UNSAVED_MAX: usize = 256;

/// Where a definition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file of the configuration. Its version is 0.
    Shipped,
    /// Saved by a call; it stands in the place of a shipped one of its name.
    Saved,
}

/// A definition as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub definition: Definition,
    pub origin: Origin,
    /// Why it is not in force; empty: it is.
    pub problems: Vec<FieldProblem>,
}

/// A change that is durable, and in force on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub known: Known,
    /// There was none before.
    pub created: bool,
}

/// Why something was not saved.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("it cannot be used as it is written")]
    Invalid(Vec<FieldProblem>),
    /// Rules that are in force need the event type.
    #[error("rules need it: {}", .0.join(", "))]
    Needed(Vec<Box<str>>),
    /// Somebody else changed it meanwhile, or another version was asked for.
    #[error("it is at version {0} by now")]
    Changed(u64),
    #[error("there is none of this name")]
    Unknown,
    #[error("a tenant may have {0} of them at most")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The definitions of all tenants: those that ship and those that were saved.
pub struct Definitions {
    store: SharedStore,
    maker: Maker,
    /// By tenant: all that saved something, written by who has the turn of the tenant or judges it anew; and some that did not.
    tenants: RwLock<HashMap<Box<str>, Arc<Tenant>>>,
    /// Who reads or changes a tenant's definitions: one at a time.
    turns: Mutex<HashMap<Box<str>, Arc<tokio::sync::Mutex<()>>>>,
}

/// What books are made of besides what a tenant saved.
#[derive(Clone)]
struct Maker {
    /// In the order of kind and name.
    shipped: Arc<[Definition]>,
    contents: Arc<dyn ContentCheck>,
    clock: SharedClock,
}

impl Definitions {
    /// With what the store has; `shipped` is in force for every tenant that has nothing of its own in the place.
    pub async fn open(
        store: SharedStore,
        mut shipped: Vec<Definition>,
        contents: Arc<dyn ContentCheck>,
        clock: SharedClock,
    ) -> Result<Arc<Self>, StoreError> {
        shipped.iter_mut().for_each(|definition| definition.version = 0);
        shipped.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        let maker = Maker { shipped: shipped.into(), contents, clock };
        let definitions = Self { store, maker, tenants: RwLock::default(), turns: Mutex::default() };
        definitions.refresh().await?;
        Ok(Arc::new(definitions))
    }

    /// What is in force for a tenant.
    pub fn book(&self, tenant: &str) -> Arc<RuleBook> {
        self.tenant(tenant).in_force.clone()
    }

    /// Those of a kind, in the order of their names, deleted ones left out. What is wrong with them is judged anew.
    pub fn list(&self, tenant: &str, kind: DefinitionKind) -> Vec<Known> {
        let tenant = self.judged_anew(tenant);
        tenant.definitions.iter().filter(|one| one.kind == kind).map(|one| tenant.show(one)).collect()
    }

    /// Tells of each that was saved and not deleted, of all tenants; what is wrong with them is not judged. By who looks all the time:
    /// nothing is copied.
    pub fn each_saved(&self, kind: DefinitionKind, mut tell: impl FnMut(&str, &Definition)) {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        for (tenant, known) in tenants.iter() {
            let of_kind = known.saved.values().filter(|one| one.kind == kind && one.body.is_some());
            of_kind.for_each(|one| tell(tenant, one));
        }
    }

    /// As it is known here, without judging anything.
    pub fn found(&self, tenant: &str, kind: DefinitionKind, name: &str) -> Option<Definition> {
        self.tenant(tenant).definition(kind, name).cloned()
    }

    /// What is wrong with it is judged anew: a template that it needs may have come or gone since.
    pub fn get(&self, tenant: &str, kind: DefinitionKind, name: &str) -> Option<Known> {
        let tenant = self.judged_anew(tenant);
        tenant.definition(kind, name).map(|definition| tenant.show(definition))
    }

    /// What is wrong with its name and its text, whatever they stand for; empty: nothing.
    pub fn judge_form(kind: DefinitionKind, name: &str, body: &str) -> Vec<FieldProblem> {
        check::problems(kind, name, body)
    }

    /// What would be wrong with it; nothing is saved.
    pub fn judge(&self, tenant: &str, kind: DefinitionKind, name: &str, body: &str) -> Vec<FieldProblem> {
        let problems = check::problems(kind, name, body);
        if !problems.is_empty() {
            return problems;
        }
        let known = self.tenant(tenant);
        let next = known.next(kind, name, Some(body), self.maker.clock.now());
        self.maker.with(tenant, &known, next).latest.problems(kind, name).to_vec()
    }

    /// What is known of a tenant.
    fn tenant(&self, tenant: &str) -> Arc<Tenant> {
        if let Some(known) = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return known.clone();
        }
        // Without the lock: it takes some milliseconds.
        let made = Arc::new(self.maker.make(tenant, Arc::default()));
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant) {
            return known.clone();
        }
        let unsaved = || tenants.iter().filter(|(_, known)| known.saved.is_empty());
        if unsaved().count() >= UNSAVED_MAX
            && let Some(one) = unsaved().next().map(|(name, _)| name.clone())
        {
            tenants.remove(&one);
        }
        tenants.insert(tenant.into(), made.clone());
        made
    }

    fn turn(&self, tenant: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant.into()).or_default().clone()
    }

    /// By who has the turn of the tenant.
    fn install(&self, tenant: &str, known: Tenant) -> Arc<Tenant> {
        let known = Arc::new(known);
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.into(), known.clone());
        known
    }
}
