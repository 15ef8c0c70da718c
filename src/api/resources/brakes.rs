//! `/v1/brakes`: stops messages by hand, lets them go on, or takes them back.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use serde::Serialize;

use super::answer::{answer_once, json, written};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::Page;
use crate::api::problem::Problem;
use crate::api::profile::{Fields, Problems};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::brakes::BrakeChange;
use crate::config::nearest;
use crate::domain::{Brake, BrakeEffect, BrakeKind, BrakeScope, CampaignId, Channel, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Pause,
    Resume,
    Recall,
}

impl Action {
    const ALL: [(&'static str, Action); 3] =
        [("pause", Action::Pause), ("resume", Action::Resume), ("recall", Action::Recall)];

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, action)| action).ok_or_else(|| "must be pause, resume or recall".to_owned())
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// What it does, for people.
    fn consequence(self, change: BrakeChange) -> &'static str {
        match self {
            Action::Resume if change == BrakeChange::AsBefore => "None of these was paused: nothing changes.",
            Action::Pause => {
                "Within seconds, no node hands any of these to a provider. They wait, and go on after a resume; expires_at \
                 still holds. What a provider has already is not called back."
            }
            Action::Resume => {
                "Within seconds, what was held goes on at the pace of the providers' rates. What another pause holds as well \
                 stays held."
            }
            Action::Recall => {
                "What was accepted until now and was not sent is cancelled; what is accepted from now on is sent. What a \
                 provider has already is not called back."
            }
        }
    }
}

/// The longest reason: a sentence or two.
const REASON_BYTES_MAX: usize = 500;

/// The longest name that is resumed, which need not be there any more, and as much of an unknown name as is said back.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Serialize)]
struct ScopeView {
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<Box<str>>,
}

impl ScopeView {
    fn new(scope: &BrakeScope) -> Self {
        let of = |kind: BrakeKind| (scope.kind == kind).then(|| scope.name.clone());
        Self {
            category: of(BrakeKind::Category),
            template: of(BrakeKind::Template),
            channel: of(BrakeKind::Channel),
            provider: of(BrakeKind::Provider),
            campaign: of(BrakeKind::Campaign),
        }
    }
}

#[derive(Debug, Serialize)]
struct ChangeView {
    action: &'static str,
    scope: ScopeView,
    at: String,
    reason: Option<Box<str>>,
    /// What it does.
    effect: &'static str,
}

#[derive(Debug, Serialize)]
struct EffectView {
    at: String,
    reason: Option<Box<str>>,
}

#[derive(Debug, Serialize)]
struct BrakeView {
    scope: ScopeView,
    /// Null: it is not paused.
    paused: Option<EffectView>,
    /// Null: nothing was recalled.
    recalled: Option<EffectView>,
}

/// What is on, in one page: there are no more than names that brakes may have.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answer {
    let brakes = api.parts.store.brakes().await?;
    let own = brakes.into_iter().filter(|brake| brake.is_on && *brake.scope.tenant == *caller.tenant);
    let mut views: Vec<(BrakeScope, BrakeView)> = Vec::new();
    for Brake { scope, effect, at, reason, .. } in own {
        if views.last().is_none_or(|(last, _)| *last != scope) {
            let view = BrakeView { scope: ScopeView::new(&scope), paused: None, recalled: None };
            views.push((scope, view));
        }
        let Some((_, view)) = views.last_mut() else { continue };
        let place = match effect {
            BrakeEffect::Pause => &mut view.paused,
            BrakeEffect::Recall => &mut view.recalled,
        };
        *place = Some(EffectView { at: at.to_string(), reason });
    }
    json(&Page { data: views.into_iter().map(|(_, view)| view).collect(), next_cursor: None })
}

/// `POST /v1/brakes`.
pub(in crate::api) async fn change(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/brakes", &body.bytes)?;
    answer_once(&api, key, async || {
        let mut problems = Problems::default();
        let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
        let action = fields.required("action", &mut problems, Action::parse);
        let scope = read_scope(&api, &caller, &mut fields, action, &mut problems);
        let reason = fields.text("reason", &mut problems, |text| match text.len() {
            0..=REASON_BYTES_MAX => Ok(Box::from(text)),
            _ => Err(format!("must have at most {REASON_BYTES_MAX} bytes")),
        });
        fields.end(&mut problems);
        let said = problems.or(action.zip(scope)).map_err(Problem::fields)?;
        let (action, scope) = said.ok_or_else(Problem::not_found)?;
        let (at, reason) = (api.parts.clock.now(), reason.flatten());
        let change = carry_out(&api, action, &scope, at, reason.clone()).await?;
        if change == BrakeChange::Made {
            tracing::warn!(action = action.name(), by = scope.kind.name(), name = %scope.name, "a brake was changed");
        }
        written(&ChangeView {
            action: action.name(),
            scope: ScopeView::new(&scope),
            at: at.to_string(),
            reason,
            effect: action.consequence(change),
        })
    })
    .await
}

async fn carry_out(
    api: &Api,
    action: Action,
    scope: &BrakeScope,
    at: Timestamp,
    reason: Option<Box<str>>,
) -> Result<BrakeChange, Problem> {
    let (effect, is_on) = match action {
        Action::Pause => (BrakeEffect::Pause, true),
        Action::Resume => (BrakeEffect::Pause, false),
        Action::Recall => (BrakeEffect::Recall, true),
    };
    Ok(api.parts.brakes.change(scope.clone(), effect, is_on, at, reason).await?)
}

/// The one thing that the scope names; a resume may name what is not there any more.
fn read_scope(
    api: &Api,
    caller: &Caller,
    fields: &mut Fields<'_>,
    action: Option<Action>,
    problems: &mut Problems,
) -> Option<BrakeScope> {
    let Some(raw) = fields.take("scope") else {
        problems.add("/scope", "is required");
        return None;
    };
    let mut inner = match Fields::read(raw.get(), "/scope") {
        Ok(inner) => inner,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let mut named = Vec::new();
    for kind in BrakeKind::ALL {
        let is_known = |text: &str| match action {
            Some(Action::Resume) if text.len() <= NAME_BYTES_MAX => Ok(Box::from(text)),
            Some(Action::Resume) => Err(format!("must have at most {NAME_BYTES_MAX} bytes")),
            _ => known(api, &caller.tenant, kind, text),
        };
        let said = inner.text(kind.name(), problems, is_known);
        named.extend(said.flatten().map(|name| (kind, name)));
    }
    inner.end(problems);
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (Some((kind, name)), None) => Some(BrakeScope { tenant: (*caller.tenant).into(), kind, name }),
        (Some(_), Some(_)) => {
            problems.add("/scope", "must name one thing: send one call for each");
            None
        }
        (None, _) => {
            if problems.is_empty() {
                problems.add("/scope", "must name a category, template, channel, provider or campaign");
            }
            None
        }
    }
}

/// A name that is there.
fn known(api: &Api, tenant: &str, kind: BrakeKind, name: &str) -> Result<Box<str>, String> {
    let names = api.parts.brakes.names();
    let all: Vec<Box<str>> = match kind {
        BrakeKind::Category => names.categories.clone(),
        BrakeKind::Template => api.parts.templates.codes(tenant),
        BrakeKind::Channel => Channel::ALL.iter().map(|channel| channel.name().into()).collect(),
        BrakeKind::Provider => names.providers.iter().flatten().cloned().collect(),
        BrakeKind::Campaign if name.parse::<CampaignId>().is_ok() => return Ok(name.into()),
        BrakeKind::Campaign => return Err("must be the id of a campaign: `cmp_` and what follows".to_owned()),
    };
    if all.iter().any(|known| **known == *name) {
        return Ok(name.into());
    }
    let all: Vec<&str> = all.iter().map(|known| &**known).collect();
    let shown = crate::domain::cut(name, NAME_BYTES_MAX);
    let hint = nearest(shown, &all).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    Err(format!("`{shown}` is no {} that is known here{hint}", kind.name()))
}
