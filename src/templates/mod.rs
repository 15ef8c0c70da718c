//! Templates as data: what was saved of each, and what of it is in force on this node.
//!
//! In: changes that somebody asks for here, and those of other nodes, from the log of changes in the store. Out: what is in force,
//! handed to rendering ([`CompiledTemplates`]) change by change; and what the API shows. Promise: a change is durable before it is
//! answered, and was judged by exactly the templates that were in force before it: of two at once, one is judged again; every node
//! goes by it within [`INTERVAL`] and the time of a read; what cannot be read leaves what was known in force; and a template that this
//! binary cannot use fails alone.

mod compiled;
mod known;
mod follow;
mod check;
mod promote;
mod change;
mod look;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Semaphore;

pub use crate::domain::is_template_code as is_code;
pub use change::{Changed, Condition, Order, TemplateError, Wish};
pub use compiled::{
    BuiltIn, CompiledTemplates, Preview, PreviewParts, PreviewPush, PreviewWish, SavedTemplate, SmsSize,
    TemplateOrigin, TemplateProblem,
};
pub use follow::INTERVAL;
pub use known::{Held, Summary};
pub use look::Entry;

use known::Known;

use crate::clock::SharedClock;
use crate::store::{SharedStore, StoreError};
use crate::telemetry::{CounterMetric, GaugeMetric};

/// Worry when it falls to 0 and something was saved.
const IN_FORCE: GaugeMetric<0> = GaugeMetric::new("fanfare_templates", "Saved templates in force on this node.", []);
/// Worry when it grows: changes made elsewhere are not heard of here.
const RELOAD_ERRORS: CounterMetric<0> = CounterMetric::new(
    "fanfare_template_reload_errors_total",
    "Readings of the changes of a tenant's templates that failed or came to one that cannot be followed; what was known stays in force.",
    [],
);

/// The templates of all tenants.
pub struct Templates {
    store: SharedStore,
    compiled: Arc<dyn CompiledTemplates>,
    clock: SharedClock,
    /// By tenant; written by who has the turn of the tenant only.
    known: RwLock<HashMap<Box<str>, Arc<Known>>>,
    /// One reading of a tenant at a time.
    turns: Mutex<HashMap<Box<str>, Arc<tokio::sync::Mutex<()>>>>,
    /// Of judgements and previews: those that were asked for and not answered, and those that are being made.
    asked: Arc<Semaphore>,
    judging: Arc<Semaphore>,
}

impl Templates {
    /// With what the store has: nothing is sent before it is known from what.
    pub async fn open(
        store: SharedStore,
        compiled: Arc<dyn CompiledTemplates>,
        clock: SharedClock,
    ) -> Result<Arc<Self>, StoreError> {
        let templates = Self::unread(store, compiled, clock);
        templates.read_first().await?;
        Ok(templates)
    }

    /// Without having read any.
    pub fn unread(store: SharedStore, compiled: Arc<dyn CompiledTemplates>, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            store,
            compiled,
            clock,
            known: RwLock::default(),
            turns: Mutex::default(),
            asked: Arc::new(Semaphore::new(look::ASKED_MAX)),
            judging: Arc::new(Semaphore::new(look::JUDGING_MAX)),
        })
    }

    fn known(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Arc<Known>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}
