//! Changes that somebody asks for: judged by what is in force, and taken by one number of the log or judged again.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::known::{Held, Trouble};
use super::promote::promoted;
use super::{TemplateOrigin, TemplateProblem, Templates};
use crate::codec;
use crate::domain::{TemplateAction, TemplateChange, TemplateHistory, TemplateSource, TemplateVersion};
use crate::store::{StoreError, TemplateBodyPlace};

/// How often a change is judged before its caller is told to come again: so many others of the tenant came before it.
const TRIES: usize = 16;

/// Who wants to change what.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub tenant: &'a str,
    pub code: &'a str,
    /// The name of the key.
    pub by: &'a str,
    pub condition: &'a Condition,
}

/// In which state the template must be for the change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Any,
    /// Its last change is one of these; 0: nobody ever saved it.
    IsAt(Vec<u64>),
    /// There is one, saved or built in.
    IsThere,
    /// Nothing is saved under the code.
    NothingSaved,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Order {
    /// Refused where something is saved.
    Create {
        source: Arc<TemplateSource>,
        comment: Option<Box<str>>,
    },
    /// A new version, or the first one; what changes nothing makes none.
    Put {
        source: Arc<TemplateSource>,
        comment: Option<Box<str>>,
    },
    Delete,
    SetActive(bool),
    RollBack {
        version: u32,
    },
    DeleteVersion {
        version: u32,
    },
    /// The experiment ends, and the parts of this variant become the template's own.
    Promote {
        variant: Box<str>,
    },
}

/// What a change came to.
#[derive(Debug, Clone)]
pub struct Changed {
    pub history: TemplateHistory,
    /// Nothing was saved under the code before.
    pub is_new: bool,
    /// It was so already, and nothing was written.
    pub is_as_before: bool,
    /// What is good to know of what was saved.
    pub warnings: Vec<TemplateProblem>,
}

/// Why a template was not changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no such template or version")]
    NotFound,
    #[error("the template is not in the state that the caller wants it in: its last change is {last_change}")]
    OtherState { last_change: u64 },
    #[error("a template is saved under this code already")]
    Exists,
    #[error("it is a built-in template, which is changed by saving another one under its code")]
    BuiltIn,
    #[error("other templates include it: {}", .users.join(", "))]
    InUse { users: Vec<Box<str>> },
    #[error("this version is in force: make another one current first")]
    IsCurrent,
    #[error("the template has no variant of this name to promote")]
    NoVariant,
    #[error("the template is not valid")]
    Invalid(Vec<TemplateProblem>),
    #[error("what was saved cannot be read: {0}")]
    Unreadable(Box<str>),
    #[error("templates of this tenant are being changed all the time")]
    Busy,
    /// What this node would judge by is not what is in force.
    #[error("templates of this tenant cannot be changed on this node at the moment: {0}")]
    Behind(Box<str>),
    #[error("too many templates are being judged at the moment")]
    Overloaded,
    #[error("the built-in template that it covers cannot take its place: {0}")]
    Uncovers(Box<str>),
    /// A fault in the code that compiles templates.
    #[error("the template could not be judged: {0}")]
    Panicked(String),
}

/// A template as a change finds it.
struct Standing {
    held: Option<Arc<Held>>,
    built_in: Option<TemplateOrigin>,
    /// The number that the change would get.
    next: u64,
}

impl Standing {
    fn history(&self) -> TemplateHistory {
        self.held.as_ref().map_or_else(TemplateHistory::default, |held| held.history.clone())
    }

    fn saved(&self) -> Option<&Held> {
        self.held.as_deref().filter(|held| held.is_there())
    }

    /// What is saved; a built-in template is not there to be changed.
    fn to_change(&self) -> Result<&Held, TemplateError> {
        let missing = if self.built_in.is_some() { TemplateError::BuiltIn } else { TemplateError::NotFound };
        self.saved().ok_or(missing)
    }
}

impl Condition {
    fn check(&self, standing: &Standing) -> Result<(), TemplateError> {
        let last_change = standing.held.as_ref().map_or(0, |held| held.history.last_change());
        let is_saved = standing.saved().is_some();
        let is_met = match self {
            Condition::Any => true,
            Condition::IsAt(numbers) => numbers.contains(&last_change),
            Condition::IsThere => is_saved || standing.built_in.is_some(),
            Condition::NothingSaved => !is_saved,
        };
        if is_met { Ok(()) } else { Err(TemplateError::OtherState { last_change }) }
    }
}

/// What is to be appended; `None`: it is so already.
type Verdict = Option<(TemplateAction, Vec<TemplateProblem>)>;

impl Templates {
    /// Makes a change; durable on return, and in force on this node. On an error of the store it may have been made all the same.
    pub async fn change(&self, wish: Wish<'_>, order: &Order) -> Result<Changed, TemplateError> {
        for _ in 0..TRIES {
            self.refresh_tenant(wish.tenant).await?;
            self.check_up_to_date(wish.tenant)?;
            let standing = self.standing(wish);
            wish.condition.check(&standing)?;
            let mut history = standing.history();
            let is_new = standing.saved().is_none();
            let Some((action, warnings)) = self.judge(wish, order, &standing).await? else {
                return Ok(Changed { history, is_new: false, is_as_before: true, warnings: Vec::new() });
            };
            let change = TemplateChange {
                number: standing.next,
                code: wish.code.into(),
                action,
                by: wish.by.into(),
                at: self.clock.now(),
            };
            if self.store.append_template_change(wish.tenant, &change).await? {
                let before = history.clone();
                history.apply(&change);
                self.made(wish, &change, &before, &history).await;
                return Ok(Changed { history, is_new, is_as_before: false, warnings });
            }
        }
        Err(TemplateError::Busy)
    }

    /// Whether this node judges by what is in force.
    fn check_up_to_date(&self, tenant: &str) -> Result<(), TemplateError> {
        let known = self.known();
        let Some(known) = known.get(tenant) else { return Ok(()) };
        if let Some(Trouble { number, reason }) = &known.trouble {
            return Err(TemplateError::Behind(format!("of their change {number}: {reason}").into()));
        }
        let is_behind = |code: &str| known.by_code.get(code).is_some_and(|held| held.is_behind());
        match known.owed.keys().find(|code| is_behind(code)) {
            Some(code) => Err(TemplateError::Behind(format!("what was saved as `{code}` is not there yet").into())),
            None => Ok(()),
        }
    }

    fn standing(&self, wish: Wish<'_>) -> Standing {
        let known = self.known();
        let of_tenant = known.get(wish.tenant);
        Standing {
            held: of_tenant.and_then(|known| known.by_code.get(wish.code)).cloned(),
            built_in: self.built_in_origin(wish.code),
            next: of_tenant.map_or(0, |known| known.last) + 1,
        }
    }

    /// After it is durable: nothing here makes it undone.
    async fn made(&self, wish: Wish<'_>, change: &TemplateChange, before: &TemplateHistory, after: &TemplateHistory) {
        tracing::info!(
            tenant = wish.tenant,
            code = wish.code,
            action = change.action.name(),
            version = change.action.version(),
            by = wish.by,
            "a template was changed"
        );
        if let Err(error) = self.refresh_tenant(wish.tenant).await {
            tracing::warn!(%error, "a template was changed and could not be read: it is read again in a moment");
        }
        // That of a deleted version, or of the oldest of too many.
        for version in before.versions.iter().filter(|one| !one.is_deleted && after.version(one.number).is_none()) {
            if let Err(error) = self.forget(wish, version).await {
                tracing::warn!(%error, version = version.number, "what was written in a deleted version is still in the store: delete it again");
            }
        }
    }

    async fn forget(&self, wish: Wish<'_>, version: &TemplateVersion) -> Result<(), StoreError> {
        let place = TemplateBodyPlace { code: wish.code.into(), body: version.body };
        self.store.delete_template_body(wish.tenant, &place).await
    }

    async fn judge(&self, wish: Wish<'_>, order: &Order, standing: &Standing) -> Result<Verdict, TemplateError> {
        match order {
            Order::Create { .. } if standing.saved().is_some() => Err(TemplateError::Exists),
            Order::Create { source, comment } => self.save(wish, standing, source, comment.clone()).await,
            Order::Put { source, comment } => {
                if let Some(current) = standing.saved().and_then(|held| held.history.current())
                    && self.is_same(wish, current, source).await?
                {
                    return Ok(None);
                }
                self.save(wish, standing, source, comment.clone()).await
            }
            Order::Delete => {
                standing.to_change()?;
                self.check_deletion(wish).await?;
                plain(TemplateAction::Deleted)
            }
            Order::SetActive(is_active) => self.set_active(wish, standing, *is_active).await,
            Order::RollBack { version } => self.roll_back(wish, standing, *version).await,
            Order::DeleteVersion { version } => self.delete_version(wish, standing, *version).await,
            Order::Promote { variant } => {
                let source = self.source(wish.tenant, wish.code, None).await?;
                let source = Arc::new(promoted(&source, variant).ok_or(TemplateError::NoVariant)?);
                let comment = format!("promoted the variant {variant}").into();
                self.save(wish, standing, &source, Some(comment)).await
            }
        }
    }

    async fn save(
        &self,
        wish: Wish<'_>,
        standing: &Standing,
        source: &Arc<TemplateSource>,
        comment: Option<Box<str>>,
    ) -> Result<Verdict, TemplateError> {
        let warnings = self.validate(wish.tenant, source).await?;
        let bytes = codec::encode_template(source);
        let body = body_name(standing.next, &bytes);
        // Before the change that names it; if another change comes first, nothing ever names it.
        let place = TemplateBodyPlace { code: wish.code.into(), body };
        self.store.put_template_body(wish.tenant, &place, &bytes).await?;
        let version = standing.history().next_version();
        Ok(Some((TemplateAction::Saved { version, body, comment }, warnings)))
    }

    async fn is_same(
        &self,
        wish: Wish<'_>,
        current: &TemplateVersion,
        source: &TemplateSource,
    ) -> Result<bool, TemplateError> {
        match self.source_of(wish.tenant, wish.code, current).await {
            Ok(current) => Ok(current == *source),
            // Saving another version is how it is mended.
            Err(TemplateError::Unreadable(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn set_active(&self, wish: Wish<'_>, standing: &Standing, is_active: bool) -> Result<Verdict, TemplateError> {
        let history = &standing.to_change()?.history;
        if history.is_active == is_active {
            return Ok(None);
        }
        if !is_active {
            self.check_unused(wish).await?;
            return plain(TemplateAction::Deactivated);
        }
        // What it includes may have changed while nobody could use it.
        let source = self.source(wish.tenant, wish.code, None).await?;
        let warnings = self.validate(wish.tenant, &source).await?;
        Ok(Some((TemplateAction::Activated, warnings)))
    }

    async fn roll_back(&self, wish: Wish<'_>, standing: &Standing, version: u32) -> Result<Verdict, TemplateError> {
        let history = &standing.to_change()?.history;
        let wanted = history.version(version).ok_or(TemplateError::NotFound)?;
        if history.current == Some(version) {
            return Ok(None);
        }
        let source = Arc::new(self.source_of(wish.tenant, wish.code, wanted).await?);
        let warnings = self.validate(wish.tenant, &source).await?;
        Ok(Some((TemplateAction::MadeCurrent { version }, warnings)))
    }

    /// Also of a template that was deleted: what was written in it stays until somebody deletes it.
    async fn delete_version(
        &self,
        wish: Wish<'_>,
        standing: &Standing,
        version: u32,
    ) -> Result<Verdict, TemplateError> {
        let Some(held) = &standing.held else { return standing.to_change().and(Err(TemplateError::NotFound)) };
        if held.history.current == Some(version) {
            return Err(TemplateError::IsCurrent);
        }
        let mut versions = held.history.versions.iter();
        let found = versions.find(|one| one.number == version).ok_or(TemplateError::NotFound)?;
        if found.is_deleted {
            // What was written in it may still be there: the store did not answer then.
            self.forget(wish, found).await?;
            return Ok(None);
        }
        plain(TemplateAction::VersionDeleted { version })
    }

    /// Whether what is in force without it does as well: the built-in template that it covers, or nothing.
    async fn check_deletion(&self, wish: Wish<'_>) -> Result<(), TemplateError> {
        let Some(built_in) = self.compiled.built_in(wish.code) else { return self.check_unused(wish).await };
        let tenant = Box::<str>::from(wish.tenant);
        let judged = self.beside(move |compiled| compiled.validate(&tenant, &built_in.source)).await?;
        judged.map(|_| ()).map_err(|problems| {
            let reasons: Vec<&str> = problems.iter().map(|problem| &*problem.detail).collect();
            TemplateError::Uncovers(reasons.join("; ").into())
        })
    }

    async fn check_unused(&self, wish: Wish<'_>) -> Result<(), TemplateError> {
        let users = self.users_of(wish.tenant, wish.code).await?;
        if users.is_empty() { Ok(()) } else { Err(TemplateError::InUse { users }) }
    }
}

fn plain(action: TemplateAction) -> Result<Verdict, TemplateError> {
    Ok(Some((action, Vec::new())))
}

/// The name of a body. The number is in it, which no other change gets: so what is deleted with one version belongs to no other,
/// though the same may have been written in both.
fn body_name(number: u64, bytes: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&number.to_be_bytes());
    hash.update(bytes);
    hash.digest128()
}
