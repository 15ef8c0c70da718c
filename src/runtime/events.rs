//! Events: what is defined of them, the door, and the reading of their topic.

use std::sync::Arc;

use anyhow::Context;

use crate::audience::{CountedDoor, Definitions, FanOuts, RuleContents, RuleDoor, shipped};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::intake::{Acceptor, ContentCheck};
use crate::planning::Policy;
use crate::store::SharedStore;
use crate::subscriptions::Subscriptions;

/// Whose events are looked after that do not say it.
const DEFAULT_TENANT: &str = "default";

/// What the door for events is made of.
pub struct EventsParts {
    pub config: Config,
    pub store: SharedStore,
    pub clock: SharedClock,
    pub contents: Arc<dyn ContentCheck>,
    pub policy: Arc<Policy>,
    pub acceptor: Arc<Acceptor>,
    /// Tells those who follow a subject where they are many.
    pub fan_outs: Arc<dyn FanOuts>,
}

/// What is defined, and the door that goes by it; it counts whatever comes through.
pub async fn events(parts: EventsParts) -> anyhow::Result<(Arc<Definitions>, Arc<CountedDoor>)> {
    let EventsParts { config, store, clock, contents, policy, acceptor, fan_outs } = parts;
    let subscriptions = Subscriptions::new(store.clone(), clock.clone());
    let shipped = shipped(config.rules.dir.as_deref())?;
    let categories = Arc::new(policy.categories.clone());
    let judged_by = Arc::new(RuleContents { contents: contents.clone(), categories: categories.clone() });
    let definitions = Definitions::open(store, shipped, judged_by, clock.clone()).await;
    let definitions = definitions.context("cannot read the event types and rules")?;
    let door = RuleDoor { definitions: definitions.clone(), acceptor, contents, categories, subscriptions, fan_outs };
    Ok((definitions, CountedDoor::over(Arc::new(door), clock)))
}

/// The tenants whose event types may fall silent: who defines some has a key.
pub(super) fn tenants(config: &Config) -> Vec<Box<str>> {
    let of_keys = config.http.keys.iter().map(|key| Box::from(&*key.tenant));
    let mut tenants: Vec<Box<str>> = of_keys.chain([DEFAULT_TENANT.into()]).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}
