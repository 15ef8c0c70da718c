//! Looking at templates: lists, versions, sources, and what a message would be.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    BuiltIn, CompiledTemplates, Held, Preview, PreviewWish, Summary, TemplateError, TemplateOrigin, TemplateProblem,
    Templates, check,
};
use crate::codec;
use crate::domain::{TemplateChange, TemplateKey, TemplateSource, TemplateVersion};
use crate::store::TemplateBodyPlace;

/// Changes that are read at once.
const ABREAST: usize = 16;

/// Judgements and previews that are made at once; each takes a processor for some milliseconds, and at worst seconds.
pub(super) const JUDGING_MAX: usize = 2;

/// Those that may be asked for at once: so many wait for some seconds at most, and more are told to come again.
pub(super) const ASKED_MAX: usize = 32;

/// A template in force.
#[derive(Debug, Clone)]
pub struct Entry {
    pub code: Box<str>,
    pub origin: TemplateOrigin,
    /// `None`: what is in force cannot be read.
    pub summary: Option<Summary>,
    /// What was saved under the code; of a built-in template what was saved and deleted again.
    pub held: Option<Arc<Held>>,
}

impl Entry {
    fn saved(code: &str, held: &Arc<Held>) -> Self {
        Self {
            code: code.into(),
            origin: TemplateOrigin::Saved,
            summary: held.summary.clone(),
            held: Some(held.clone()),
        }
    }

    fn built_in(built_in: &BuiltIn, held: Option<Arc<Held>>) -> Self {
        let BuiltIn { source, origin } = built_in;
        Self { code: source.code.clone(), origin: *origin, summary: Some(Summary::of(source)), held }
    }

    /// 0: nobody saved it.
    pub fn version(&self) -> u32 {
        let held = self.held.as_ref().filter(|_| self.origin == TemplateOrigin::Saved);
        held.and_then(|held| held.history.current).unwrap_or(0)
    }

    pub fn is_active(&self) -> bool {
        self.origin != TemplateOrigin::Saved || self.held.as_ref().is_some_and(|held| held.history.is_active)
    }

    /// See [`crate::domain::TemplateHistory::last_change`].
    pub fn last_change(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.history.last_change())
    }
}

impl Templates {
    /// All that are in force for the tenant, by code.
    pub fn entries(&self, tenant: &str) -> Vec<Entry> {
        let built_ins = self.compiled.built_ins();
        let known = self.known();
        let held = |code: &str| known.get(tenant).and_then(|known| known.by_code.get(code));
        let uncovered = built_ins.iter().filter_map(|built_in| {
            let held = held(&built_in.source.code);
            let is_covered = held.is_some_and(|held| held.is_there());
            (!is_covered).then(|| Entry::built_in(built_in, held.cloned()))
        });
        let saved = known.get(tenant).into_iter().flat_map(|known| &known.by_code);
        let saved = saved.filter(|(_, held)| held.is_there()).map(|(code, held)| Entry::saved(code, held));
        let mut entries: Vec<Entry> = saved.chain(uncovered).collect();
        entries.sort_by(|a, b| a.code.cmp(&b.code));
        entries
    }

    /// What is in force under the code.
    pub fn entry(&self, tenant: &str, code: &str) -> Option<Entry> {
        let held = self.held(tenant, code);
        if let Some(held) = held.as_ref().filter(|held| held.is_there()) {
            return Some(Entry::saved(code, held));
        }
        Some(Entry::built_in(&self.compiled.built_in(code)?, held))
    }

    /// The codes of all that are in force for the tenant, in order.
    pub fn codes(&self, tenant: &str) -> Vec<Box<str>> {
        self.entries(tenant).into_iter().map(|entry| entry.code).collect()
    }

    /// What was ever saved under the code.
    pub fn held(&self, tenant: &str, code: &str) -> Option<Arc<Held>> {
        self.known().get(tenant).and_then(|known| known.by_code.get(code)).cloned()
    }

    /// Which built-in template would be in force if nothing were saved.
    pub fn built_in_origin(&self, code: &str) -> Option<TemplateOrigin> {
        self.compiled.built_in(code).map(|built_in| built_in.origin)
    }

    /// Of each, why no message can be made of what is in force, as far as that is known: whoever makes the first finds out.
    pub async fn problems(&self, tenant: &str, entries: &[Entry]) -> Result<Vec<Option<String>>, TemplateError> {
        let read = entries.iter().map(|entry| {
            let unreadable = entry.held.as_ref().and_then(|held| held.unreadable.clone());
            (TemplateKey { tenant: tenant.into(), code: entry.code.clone() }, unreadable)
        });
        let read: Vec<(TemplateKey, Option<Box<str>>)> = read.collect();
        let judge = |compiled: &dyn CompiledTemplates| {
            let one = |(key, unreadable): (TemplateKey, Option<Box<str>>)| {
                unreadable.map(String::from).or_else(|| compiled.problem(&key))
            };
            read.into_iter().map(one).collect()
        };
        self.beside(judge).await
    }

    /// Finds out whether a message can be made of what is in force: from then on [`Templates::problems`] knows.
    pub async fn find_problem(&self, tenant: &str, code: &str) -> Result<(), TemplateError> {
        let key = TemplateKey { tenant: tenant.into(), code: code.into() };
        self.beside(move |compiled| drop(compiled.find_problem(&key))).await
    }

    /// Who includes it.
    pub async fn users_of(&self, tenant: &str, code: &str) -> Result<Vec<Box<str>>, TemplateError> {
        let (tenant, code) = (Box::<str>::from(tenant), Box::<str>::from(code));
        self.beside(move |compiled| compiled.users_of(&tenant, &code)).await
    }

    /// What was written in what is in force, or in a version.
    pub async fn source(
        &self,
        tenant: &str,
        code: &str,
        version: Option<u32>,
    ) -> Result<Arc<TemplateSource>, TemplateError> {
        let held = self.held(tenant, code).filter(|held| held.is_there());
        let Some(held) = held else {
            let built_in = self.compiled.built_in(code).filter(|_| version.is_none_or(|version| version == 0));
            return built_in.map(|built_in| built_in.source).ok_or(TemplateError::NotFound);
        };
        let version = version.map_or(held.history.current(), |version| held.history.version(version));
        let version = version.ok_or(TemplateError::NotFound)?;
        Ok(Arc::new(self.source_of(tenant, code, version).await?))
    }

    pub(super) async fn source_of(
        &self,
        tenant: &str,
        code: &str,
        version: &TemplateVersion,
    ) -> Result<TemplateSource, TemplateError> {
        let place = TemplateBodyPlace { code: code.into(), body: version.body };
        let body = self.store.template_bodies(tenant, &[place]).await?.pop().flatten();
        let body = body.ok_or_else(|| TemplateError::Unreadable("it is not in the store any more".into()))?;
        codec::decode_template(&body).map_err(|error| TemplateError::Unreadable(error.to_string().into()))
    }

    /// What was done to a template that was ever saved, newest first: those before the change with the number `before`.
    pub async fn changes(
        &self,
        tenant: &str,
        code: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, TemplateError> {
        let held = self.held(tenant, code).ok_or(TemplateError::NotFound)?;
        let numbers = held.history.changes.iter().rev().copied();
        let numbers: Vec<u64> =
            numbers.filter(|number| before.is_none_or(|before| *number < before)).take(limit).collect();
        let read: Vec<Vec<TemplateChange>> = stream::iter(numbers)
            .map(|number| async move { self.store.template_changes(tenant, number - 1, 1).await })
            .buffered(ABREAST)
            .try_collect()
            .await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Whether a template could be saved now; what is good to know and no reason to refuse it.
    pub async fn validate(
        &self,
        tenant: &str,
        source: &Arc<TemplateSource>,
    ) -> Result<Vec<TemplateProblem>, TemplateError> {
        let problems = check::problems(source);
        if !problems.is_empty() {
            return Err(TemplateError::Invalid(problems));
        }
        let (tenant, source) = (Box::<str>::from(tenant), source.clone());
        self.beside(move |compiled| compiled.validate(&tenant, &source)).await?.map_err(TemplateError::Invalid)
    }

    /// What a message of the template would be.
    pub async fn preview(
        &self,
        tenant: &str,
        source: &Arc<TemplateSource>,
        wish: PreviewWish,
    ) -> Result<Preview, TemplateError> {
        let (tenant, source) = (Box::<str>::from(tenant), source.clone());
        self.beside(move |compiled| compiled.preview(&tenant, &source, &wish)).await?.map_err(TemplateError::Invalid)
    }

    /// Work that takes processor time, beside the runtime. Whoever goes away before it ends keeps its place until then.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn CompiledTemplates) -> T + Send + 'static,
    ) -> Result<T, TemplateError> {
        let asked = self.asked.clone().try_acquire_owned().map_err(|_| TemplateError::Overloaded)?;
        let judging = self.judging.clone().acquire_owned().await.map_err(|_| TemplateError::Overloaded)?;
        let compiled = self.compiled.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _places = (asked, judging);
            work(&*compiled)
        });
        done.await.map_err(|error| TemplateError::Panicked(error.to_string()))
    }
}
