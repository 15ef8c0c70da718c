//! Changes that somebody asks for: judged by all of the tenant's definitions, and made by compare-and-set or judged again.

use std::sync::Arc;

use super::known::Tenant;
use super::{DefinitionError, Definitions, Saved, check};
use crate::domain::{Definition, DefinitionKind};
use crate::store::StoreError;

/// How often a change is judged before its caller is told that others were faster.
const TRIES: usize = 16;

/// Of a kind, for a tenant.
const COUNT_MAX: usize = 1000;

/// What is to be changed. `body`: `None` deletes it.
#[derive(Clone, Copy)]
struct Wish<'a> {
    tenant: &'a str,
    kind: DefinitionKind,
    name: &'a str,
    body: Option<&'a str>,
    expected: Option<u64>,
}

impl Definitions {
    /// Saves it if it can be used; what says the same as what stands there makes no version. `expected`: the version that is to be
    /// replaced, 0 for none (what ships has version 0); `None`: whatever there is. On an error of the store it may have been made all
    /// the same.
    pub async fn put(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
        body: &str,
        expected: Option<u64>,
    ) -> Result<Saved, DefinitionError> {
        let problems = check::problems(kind, name, body);
        if !problems.is_empty() {
            return Err(DefinitionError::Invalid(problems));
        }
        let changed = self.change(Wish { tenant, kind, name, body: Some(body), expected }).await?;
        let shown = changed.after.definition(kind, name).map(|definition| changed.after.show(definition));
        let known = shown.ok_or_else(|| StoreError::Failed("what was saved is not there".to_owned()))?;
        Ok(Saved { known, created: changed.is_new })
    }

    /// Deletes it; a shipped one of its name does not come back. `expected` as in [`Definitions::put`].
    pub async fn delete(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
        expected: Option<u64>,
    ) -> Result<(), DefinitionError> {
        self.change(Wish { tenant, kind, name, body: None, expected }).await.map(drop)
    }

    async fn change(&self, wish: Wish<'_>) -> Result<Changed, DefinitionError> {
        let turn = self.turn(wish.tenant);
        let _one = turn.lock().await;
        let mut version = 0;
        for _ in 0..TRIES {
            let known = self.read(wish.tenant, None).await?;
            let there = known.definition(wish.kind, wish.name);
            version = there.map_or(0, |there| there.version);
            if wish.expected.is_some_and(|expected| expected != version) {
                return Err(DefinitionError::Changed(version));
            }
            let is_new = there.is_none();
            match (there, wish.body) {
                (None, None) => return Err(DefinitionError::Unknown),
                (None, Some(_)) => check_count(&known, wish.kind)?,
                (Some(_), _) => {}
            }
            let is_as_before = there.is_some_and(|there| is_as_before(there, wish.body));
            let next = known.next(wish.kind, wish.name, wish.body, self.maker.clock.now());
            let after = self.judged(wish, &known, &next).await?;
            if is_as_before {
                return Ok(Changed { after: known, is_new: false });
            }
            if self.store.put_definition(wish.tenant, &next).await? {
                told(wish, next.version);
                return Ok(Changed { after: self.install(wish.tenant, after), is_new });
            }
        }
        Err(DefinitionError::Changed(version))
    }

    /// What there will be after the change, if it can be made.
    async fn judged(&self, wish: Wish<'_>, known: &Arc<Tenant>, next: &Definition) -> Result<Tenant, DefinitionError> {
        let (maker, tenant) = (self.maker.clone(), Box::<str>::from(wish.tenant));
        let (known, next, kind) = (known.clone(), next.clone(), wish.kind);
        let judged = self.beside(move || {
            let after = maker.with(&tenant, &known, next);
            // As rules are now, and not as they were when somebody looked last: what a template broke is not this change's fault.
            let before = (kind == DefinitionKind::EventType).then(|| maker.make(&tenant, known.saved.clone()));
            let broken = before.map_or_else(Vec::new, |before| broken(&before, &after));
            (after, broken)
        });
        let (after, broken) = judged.await?;
        let problems = after.latest.problems(wish.kind, wish.name);
        if wish.body.is_some() && !problems.is_empty() {
            return Err(DefinitionError::Invalid(problems.to_vec()));
        }
        if broken.is_empty() { Ok(after) } else { Err(DefinitionError::Needed(broken)) }
    }
}

struct Changed {
    after: Arc<Tenant>,
    is_new: bool,
}

fn check_count(known: &Tenant, kind: DefinitionKind) -> Result<(), DefinitionError> {
    let count = known.definitions.iter().filter(|definition| definition.kind == kind).count();
    if count < COUNT_MAX { Ok(()) } else { Err(DefinitionError::TooMany(COUNT_MAX)) }
}

/// Whether it is saved so already. What ships may be another one after an upgrade, and is saved by who wants to keep it.
fn is_as_before(there: &Definition, body: Option<&str>) -> bool {
    let texts = there.body.as_deref().zip(body);
    there.version > 0 && texts.is_some_and(|(held, body)| check::is_same(held, body))
}

/// Rules that are active and could be used before, and not any more.
fn broken(before: &Tenant, after: &Tenant) -> Vec<Box<str>> {
    let kind = DefinitionKind::Rule;
    let rules = after.definitions.iter().filter(|definition| definition.kind == kind);
    let is_broken = |rule: &&Definition| {
        rule.body.as_deref().is_some_and(check::is_active)
            && before.latest.problems(kind, &rule.name).is_empty()
            && !after.latest.problems(kind, &rule.name).is_empty()
    };
    rules.filter(is_broken).map(|rule| rule.name.clone()).collect()
}

fn told(wish: Wish<'_>, version: u64) {
    let action = if wish.body.is_some() { "saved" } else { "deleted" };
    tracing::info!(
        tenant = wish.tenant,
        kind = wish.kind.name(),
        name = wish.name,
        version,
        action,
        "a definition was changed"
    );
}
