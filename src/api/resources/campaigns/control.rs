//! `POST /v1/campaigns/{id}/pause`, `/resume`, `/cancel`: what is wanted of a campaign, for its home, and the brake on what it has handed
//! on already, for those who send.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::held;
use super::view::{CampaignView, status};
use crate::api::auth::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::resources::answer::{answer_once, id, written};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{BrakeEffect, BrakeKind, BrakeScope, CampaignCommand, CampaignId};

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    name: &'static str,
    command: CampaignCommand,
    /// In this order; all may be done again.
    brakes: &'static [(BrakeEffect, bool)],
}

const PAUSE: Wish = Wish { name: "pause", command: CampaignCommand::Pause, brakes: &[(BrakeEffect::Pause, true)] };
const RESUME: Wish = Wish { name: "resume", command: CampaignCommand::Run, brakes: &[(BrakeEffect::Pause, false)] };
const CANCEL: Wish = Wish {
    name: "cancel",
    command: CampaignCommand::Cancel,
    // What was held is let go on once it is recalled: it ends then.
    brakes: &[(BrakeEffect::Recall, true), (BrakeEffect::Pause, false)],
};

pub(in crate::api) async fn pause(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    told(&api, &caller, id(path)?, &headers, PAUSE).await
}

pub(in crate::api) async fn resume(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    told(&api, &caller, id(path)?, &headers, RESUME).await
}

pub(in crate::api) async fn cancel(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    told(&api, &caller, id(path)?, &headers, CANCEL).await
}

async fn told(api: &Api, caller: &Caller, id: CampaignId, headers: &HeaderMap, wish: Wish) -> Answer {
    let call = format!("POST /v1/campaigns/{id}/{}", wish.name);
    let key = RetryKey::read(headers, &caller.tenant, &call, b"")?;
    answer_once(api, key, async || {
        let known = held(api, caller, id).await?;
        let is_cancelled = known.command == CampaignCommand::Cancel && wish != CANCEL;
        if known.progress.status.is_over() || is_cancelled {
            let detail = format!("the campaign is {}: there is nothing to {}", status(&known), wish.name);
            return Err(Problem::new(Kind::State, detail));
        }
        // First its home: what it hands on while the brake is being pulled is held or recalled as well.
        api.parts.campaigns.command(id, wish.command).await?;
        let scope =
            BrakeScope { tenant: (*caller.tenant).into(), kind: BrakeKind::Campaign, name: id.to_string().into() };
        for (effect, is_on) in wish.brakes {
            let now = api.parts.clock.now();
            api.parts.brakes.change(scope.clone(), *effect, *is_on, now, None).await?;
        }
        tracing::info!(campaign = %id, wish = wish.name, "a campaign was told what is wanted of it");
        written(&CampaignView::new(&held(api, caller, id).await?))
    })
    .await
}
