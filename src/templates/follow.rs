//! Reads on in the log of changes, here and whenever somebody else may have written, and puts what it says in force.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};

use super::known::{Held, Known, News, Summary, Trouble};
use super::{IN_FORCE, RELOAD_ERRORS, SavedTemplate, Templates};
use crate::codec;
use crate::domain::{CurrentTemplate, TemplateChange, TemplateKey, TemplateVersion};
use crate::store::{StoreError, TemplateBodyPlace};

/// Between two readings: a change made elsewhere is in force within a second.
pub const INTERVAL: Duration = Duration::from_millis(300);

/// Changes of one read.
const PAGE: usize = 1000;

/// Tenants that are read at once.
const TENANTS_ABREAST: usize = 8;

/// Bodies of one read: with the largest ones some ten megabytes.
const BODIES: usize = 256;

/// How often a body that is gone makes one look whether the version it belonged to is as well.
const LOOKS: usize = 3;

/// How long what was in force before stays so while the body of what is has not come: longer than a replica lags, shorter than
/// messages of words that somebody took back should go out.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(5);

/// Whether what was in force before may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing was: the node starts.
    Nothing,
    Stays,
}

impl Templates {
    /// Follows the changes for ever; what cannot be read leaves what was known in force.
    pub async fn follow(self: Arc<Self>) {
        let mut was_well = true;
        loop {
            self.clock.sleep(INTERVAL).await;
            // Whatever fails in it, the next reading begins anew: nobody else would notice that the following had ended.
            let read = AssertUnwindSafe(self.refresh()).catch_unwind().await;
            let read = read.unwrap_or_else(|_| {
                Err(StoreError::Failed("the reading failed inside: please report this".to_owned()))
            });
            // Once, and not three times a second for as long as it lasts.
            if let (Err(error), true) = (&read, was_well) {
                tracing::warn!(%error, "cannot read the changes of templates: those that were known stay in force");
            }
            was_well = read.is_ok();
        }
    }

    /// Reads on for all tenants. An error of one leaves its templates as they were, and those of others follow.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.read_all(Before::Stays).await
    }

    /// Reads all there is, for a node on which nothing is in force.
    pub(super) async fn read_first(&self) -> Result<(), StoreError> {
        self.read_all(Before::Nothing).await
    }

    /// Reads on for one tenant.
    pub(super) async fn refresh_tenant(&self, tenant: &str) -> Result<(), StoreError> {
        self.read_tenant(tenant, Before::Stays).await
    }

    async fn read_all(&self, before: Before) -> Result<(), StoreError> {
        let tenants = self.store.template_tenants().await.inspect_err(|_| RELOAD_ERRORS.with([]).increment(1))?;
        let read: Vec<Result<(), StoreError>> = stream::iter(tenants)
            .map(|tenant| async move { self.read_tenant(&tenant, before).await })
            .buffer_unordered(TENANTS_ABREAST)
            .collect()
            .await;
        read.into_iter().collect()
    }

    async fn read_tenant(&self, tenant: &str, before: Before) -> Result<(), StoreError> {
        // An older state never takes the place of a newer one, and nobody waits for another tenant.
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant.into()).or_default().clone();
        let _one = turn.lock().await;
        let read = self.read_on(tenant, before).await;
        let is_stuck = self.known().get(tenant).is_some_and(|known| known.trouble.is_some());
        if read.is_err() || is_stuck {
            RELOAD_ERRORS.with([]).increment(1);
        }
        read
    }

    /// By whoever has the turn of the tenant.
    async fn read_on(&self, tenant: &str, before: Before) -> Result<(), StoreError> {
        let known = self.known().get(tenant).cloned().unwrap_or_default();
        let mut news = self.news(tenant, &known).await?;
        if news.changed.is_empty() && news.trouble == known.trouble {
            return Ok(());
        }
        let now = self.clock.moment();
        for code in &news.missing {
            let Some(held) = news.changed.get_mut(code) else { continue };
            let since = known.owed.get(code).copied().unwrap_or(now);
            let is_waited_for = before == Before::Stays && now.since(since) < BODY_WAIT;
            if let (false, true, Some(version)) = (is_waited_for, held.is_behind(), held.history.current().cloned()) {
                let why = "what was written in it is not in the store".to_owned();
                news.puts.insert(code.clone(), unreadable(held, &version, why));
            }
        }
        let puts: Vec<_> = std::mem::take(&mut news.puts).into_iter().collect();
        if !puts.is_empty() {
            let key = |code| TemplateKey { tenant: tenant.into(), code };
            let puts = puts.into_iter().map(|(code, saved)| (key(code), saved)).collect();
            let compiled = self.compiled.clone();
            let replaced = tokio::task::spawn_blocking(move || compiled.replace(puts)).await;
            replaced.map_err(|error| StoreError::Failed(format!("templates could not be put in force: {error}")))?;
        }
        if let Some(Trouble { number, reason }) = news.trouble.as_ref().filter(|_| known.trouble != news.trouble) {
            tracing::warn!(tenant, number, %reason, "the changes of a tenant's templates cannot be followed: those before stay in force");
        }
        // Nobody else holds it then, so that it need not be copied.
        drop(known);
        self.install(tenant, news);
        Ok(())
    }

    fn install(&self, tenant: &str, news: News) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(known.entry(tenant.into()).or_default()).take(news, self.clock.moment());
        IN_FORCE.with([]).set(known.values().map(|known| known.count).sum::<usize>() as f64);
    }

    /// What is new of a tenant, and what is owed of it as far as it is there now.
    async fn news(&self, tenant: &str, known: &Known) -> Result<News, StoreError> {
        let mut news = News::since(known);
        for look in 1..=LOOKS {
            let page = if known.trouble.is_some() && look == 1 { 1 } else { PAGE };
            let (new, trouble) = self.read_changes(tenant, news.last, page).await?;
            news.trouble = trouble;
            if look > 1 && new.is_empty() {
                break;
            }
            news.add(known, &new);
            self.read_bodies(tenant, &mut news).await?;
            // A body that is gone may be that of a version which was deleted since.
            if news.missing.is_empty() {
                break;
            }
        }
        Ok(news)
    }

    /// The changes after a number, without gaps, and why there are no more of them. `page`: how many the first read is for.
    async fn read_changes(
        &self,
        tenant: &str,
        after: u64,
        page: usize,
    ) -> Result<(Vec<TemplateChange>, Option<Trouble>), StoreError> {
        let (mut changes, mut last, mut limit) = (Vec::new(), after, page);
        loop {
            let read = match self.store.template_changes(tenant, last, limit).await {
                // Those before it can be read: fewer at a time, until it is the next.
                Err(StoreError::Unreadable(_)) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(StoreError::Unreadable(why)) => {
                    let reason = format!("this version of the program cannot read it: {why}").into();
                    return Ok((changes, Some(Trouble { number: last + 1, reason })));
                }
                read => read?,
            };
            let is_last = read.len() < limit;
            for change in read {
                if change.number != last + 1 {
                    // A replica that lags; the next reading finds it.
                    let reason = "it is missing, and later ones are there".into();
                    return Ok((changes, Some(Trouble { number: last + 1, reason })));
                }
                last = change.number;
                changes.push(change);
            }
            if is_last {
                return Ok((changes, None));
            }
            limit = PAGE;
        }
    }

    /// Reads what is to be put in force, and notes what is not there.
    async fn read_bodies(&self, tenant: &str, news: &mut News) -> Result<(), StoreError> {
        let owed = std::mem::take(&mut news.missing);
        let mut wanted = Vec::new();
        for (code, held) in &mut news.changed {
            match held.history.current().cloned() {
                Some(version) if held.is_behind() || owed.contains(code) => {
                    wanted.push((code.clone(), version));
                }
                None if held.is_behind() => {
                    (held.summary, held.unreadable, held.used) = (None, None, None);
                    news.puts.insert(code.clone(), SavedTemplate::Nothing);
                }
                // Something else about it changed.
                _ => {}
            }
        }
        for wanted in wanted.chunks(BODIES) {
            let bodies = self.store.template_bodies(tenant, &places(wanted)).await?;
            for ((code, version), body) in wanted.iter().zip(bodies) {
                match (news.changed.get_mut(code), body) {
                    (Some(held), Some(body)) => {
                        news.puts.insert(code.clone(), saved(held, version, &body));
                    }
                    _ => _ = news.missing.insert(code.clone()),
                }
            }
        }
        Ok(())
    }
}

fn places(wanted: &[(Box<str>, TemplateVersion)]) -> Vec<TemplateBodyPlace> {
    wanted.iter().map(|(code, version)| TemplateBodyPlace { code: code.clone(), body: version.body }).collect()
}

/// What a version is, by its body; notes what it says of itself.
fn saved(held: &mut Held, version: &TemplateVersion, body: &[u8]) -> SavedTemplate {
    match codec::decode_template(body) {
        Ok(source) => {
            (held.summary, held.unreadable) = (Some(Summary::of(&source)), None);
            held.used = held.in_force();
            SavedTemplate::Current(CurrentTemplate {
                source,
                version: version.number,
                is_active: held.history.is_active,
            })
        }
        Err(error) => unreadable(held, version, error.to_string()),
    }
}

fn unreadable(held: &mut Held, version: &TemplateVersion, reason: String) -> SavedTemplate {
    let reason: Box<str> = format!("version {} cannot be read: {reason}", version.number).into();
    (held.summary, held.unreadable) = (None, Some(reason.clone()));
    held.used = held.in_force();
    SavedTemplate::Unreadable(reason)
}
