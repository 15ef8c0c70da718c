//! Reads what other nodes changed, and judges again what a template may have mended.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};

use super::known::{SavedRows, Tenant};
use super::{Definitions, RELOAD_ERRORS};
use crate::store::StoreError;

/// Between two readings: a change made elsewhere is in force within a second.
pub(super) const INTERVAL: Duration = Duration::from_millis(300);

/// When a tenant is read though nothing was announced: a node may have died between a change and its announcement.
pub(super) const REREAD: Duration = Duration::from_secs(30);

/// Tenants that are read at once.
const TENANTS_ABREAST: usize = 8;

impl Definitions {
    /// Follows what other nodes change, for ever; what cannot be read leaves what was known in force.
    pub async fn follow(self: Arc<Self>) {
        let mut was_well = true;
        loop {
            self.maker.clock.sleep(INTERVAL).await;
            // Whatever fails in it, the next reading begins anew: nobody else would notice that the following had ended.
            let read = AssertUnwindSafe(self.refresh()).catch_unwind().await;
            let read = read.unwrap_or_else(|_| {
                RELOAD_ERRORS.with([]).increment(1);
                Err(StoreError::Failed("the reading failed inside: please report this".to_owned()))
            });
            // Once, and not three times a second for as long as it lasts.
            if let (Err(error), true) = (&read, was_well) {
                tracing::warn!(%error, "cannot read event types and rules: those that were known stay in force");
            }
            was_well = read.is_ok();
        }
    }

    /// Reads what has changed since. An error of one tenant leaves its definitions as they were, and those of others follow.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let tenants = self.store.definition_tenants().await.inspect_err(|_| RELOAD_ERRORS.with([]).increment(1))?;
        let changed = tenants.into_iter().filter(|(tenant, number)| self.is_to_be_read(tenant, *number));
        let read: Vec<Result<(), StoreError>> = stream::iter(changed)
            .map(|(tenant, number)| async move {
                let turn = self.turn(&tenant);
                let _one = turn.lock().await;
                let read = self.read(&tenant, Some(number)).await;
                read.map(drop).inspect_err(|_| RELOAD_ERRORS.with([]).increment(1))
            })
            .buffer_unordered(TENANTS_ABREAST)
            .collect()
            .await;
        let judged = self.judge_what_is_due().await;
        read.into_iter().collect::<Result<(), _>>().and(judged)
    }

    fn is_to_be_read(&self, tenant: &str, number: u64) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.maker.clock.moment();
        let seen = tenants.get(tenant).and_then(|known| known.seen);
        seen.is_none_or(|(seen, at)| seen != number || now.since(at) >= REREAD)
    }

    /// Reads a tenant's and puts them in force; by who has its turn. `number`: what the tenant had before the reading.
    pub(super) async fn read(&self, tenant: &str, number: Option<u64>) -> Result<Arc<Tenant>, StoreError> {
        let at = self.maker.clock.moment();
        let rows = self.store.definitions(tenant).await?;
        let known = self.tenant(tenant);
        let newer = known.newer(rows);
        let seen = number.map(|number| (number, at)).or(known.seen);
        let next = match newer {
            Some(saved) => Tenant { seen, ..self.made(tenant, saved).await? },
            None if seen == known.seen => return Ok(known),
            None => Tenant { seen, ..(*known).clone() },
        };
        Ok(self.install(tenant, next))
    }

    async fn made(&self, tenant: &str, saved: SavedRows) -> Result<Tenant, StoreError> {
        let (maker, whose) = (self.maker.clone(), Box::<str>::from(tenant));
        self.beside(move || maker.make(&whose, Arc::new(saved))).await
    }

    /// Beside everything else: a thousand rules take some tenths of a second.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let made = tokio::task::spawn_blocking(make).await;
        made.map_err(|error| StoreError::Failed(format!("event types and rules could not be put in force: {error}")))
    }

    async fn judge_what_is_due(&self) -> Result<(), StoreError> {
        let now = self.maker.clock.moment();
        let due: Vec<(Box<str>, Arc<Tenant>)> = {
            let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
            let due = tenants.iter().filter(|(_, known)| known.judged.is_due(now));
            due.map(|(tenant, known)| (tenant.clone(), known.clone())).collect()
        };
        for (tenant, known) in due {
            let (maker, whose, before) = (self.maker.clone(), tenant.clone(), known.clone());
            let judged = self.beside(move || maker.judged_anew(&whose, &before)).await?;
            self.replace(&tenant, &known, judged);
        }
        Ok(())
    }

    /// What is known of a tenant, with what is wrong as it is now.
    pub(super) fn judged_anew(&self, tenant: &str) -> Arc<Tenant> {
        let known = self.tenant(tenant);
        let judged = self.maker.judged_anew(tenant, &known);
        self.replace(tenant, &known, judged)
    }

    /// Puts a judgement in force, unless something changed meanwhile.
    fn replace(&self, tenant: &str, known: &Arc<Tenant>, judged: Option<Tenant>) -> Arc<Tenant> {
        let Some(judged) = judged.map(Arc::new) else { return known.clone() };
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        match tenants.get_mut(tenant) {
            Some(held) if Arc::ptr_eq(held, known) => *held = judged.clone(),
            Some(held) => return held.clone(),
            None => {}
        }
        judged
    }
}
