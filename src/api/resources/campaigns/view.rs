//! A campaign as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::campaigns::Known;
use crate::domain::{Audience, CampaignCommand, CampaignProgress, CampaignStatus, Content};

#[derive(Debug, Serialize)]
pub(super) struct CampaignView<'a> {
    id: String,
    name: Option<&'a str>,
    kind: &'static str,
    status: &'static str,
    created_at: String,
    starts_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// Null: they are not counted yet.
    total: Option<u64>,
    counted: u64,
    handed_on: u64,
    /// Members whose messages are over.
    processed: u64,
    succeeded: u64,
    failed: u64,
    skipped: u64,
    skipped_by: BTreeMap<&'a str, u64>,
    /// Of a hundred; a hundred only when it is over.
    progress: u64,
    /// Null: not known yet, or it is over.
    eta_seconds: Option<u64>,
    rows_read: u64,
    /// Why it stopped itself.
    reason: Option<&'a str>,
    audience: Value,
    template: Option<&'a str>,
}

impl<'a> CampaignView<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        let Known { campaign, progress, .. } = known;
        Self {
            id: campaign.id.to_string(),
            name: campaign.name.as_deref(),
            kind: campaign.kind.name(),
            status: status(known),
            created_at: campaign.made_at.to_string(),
            starts_at: campaign.starts_at.to_string(),
            started_at: progress.started_at.map(|at| at.to_string()),
            ended_at: progress.ended_at.map(|at| at.to_string()),
            total: progress.total,
            counted: progress.counted,
            handed_on: progress.handed_on,
            processed: progress.processed(),
            succeeded: progress.succeeded,
            failed: progress.failed,
            skipped: progress.skipped(),
            skipped_by: progress.skipped.iter().map(|(reason, count)| (&**reason, *count)).collect(),
            progress: share(progress),
            eta_seconds: eta(progress),
            rows_read: progress.rows_read,
            reason: progress.reason.as_deref(),
            audience: audience(&campaign.audience),
            template: match &campaign.message.content {
                Content::Template { code } => Some(code),
                Content::Inline { .. } => None,
            },
        }
    }
}

/// What it is, in one word: what somebody wants of it counts before its home has acted on it.
pub(super) fn status(known: &Known) -> &'static str {
    match (known.progress.status, known.command) {
        (status, _) if status.is_over() => status.name(),
        (_, CampaignCommand::Pause) => "paused",
        (_, CampaignCommand::Cancel) => CampaignStatus::Cancelled.name(),
        (status, CampaignCommand::Run) => status.name(),
    }
}

fn share(progress: &CampaignProgress) -> u64 {
    if progress.status.is_over() {
        return 100;
    }
    let processed = progress.processed();
    let parts = progress.total.filter(|total| *total > 0).map(|total| processed.saturating_mul(100) / total);
    parts.unwrap_or(0).min(99)
}

/// At the pace that it had so far while it was not paused, as of when that was last written down.
fn eta(progress: &CampaignProgress) -> Option<u64> {
    if progress.status.is_over() {
        return None;
    }
    let (total, started_at, processed) = (progress.total?, progress.started_at?, progress.processed());
    let until = progress.paused_at.map_or(progress.written_at, |paused_at| paused_at.min(progress.written_at));
    let took = until.since(started_at).saturating_sub(progress.paused).as_millis();
    let left = u128::from(total.saturating_sub(processed));
    let millis = (left * took).checked_div(u128::from(processed))?;
    u64::try_from(millis.div_ceil(1000)).ok()
}

fn audience(audience: &Audience) -> Value {
    match audience {
        Audience::List { list } => json!({ "list": list }),
        Audience::Subject { subject } => json!({ "subject": subject }),
        Audience::Segment { condition } => json!({ "segment": condition_of(condition) }),
        Audience::Day { attribute, day, condition, .. } => {
            let mut said = json!({ "attribute": attribute, "day": day });
            if let Some(condition) = condition {
                said["condition"] = condition_of(condition);
            }
            said
        }
    }
}

/// It was read when it was saved.
fn condition_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn progress(status: CampaignStatus, total: Option<u64>, succeeded: u64) -> CampaignProgress {
        CampaignProgress {
            total,
            succeeded,
            started_at: Some(Timestamp(10_000)),
            written_at: Timestamp(20_000),
            ..CampaignProgress::new(status, Timestamp(0))
        }
    }

    #[test]
    fn a_hundred_parts_are_said_only_of_what_is_over_and_the_rest_is_estimated_at_its_pace() {
        use CampaignStatus::{Completed, Counting, Finishing, Running};
        for (status, total, done, parts, seconds) in [
            (Running, Some(1000), 250, 25, Some(30)),
            (Running, Some(3), 1, 33, Some(20)),
            (Running, Some(1000), 999, 99, Some(1)),
            (Finishing, Some(1000), 1000, 99, Some(0)),
            (Completed, Some(1000), 1000, 100, None),
            (Completed, Some(0), 0, 100, None),
            (Running, Some(0), 0, 0, None),
            (Running, Some(10), 0, 0, None),
            (Counting, None, 0, 0, None),
        ] {
            let progress = progress(status, total, done);
            assert_eq!((share(&progress), eta(&progress)), (parts, seconds), "{status:?} {total:?} {done}");
        }
    }

    #[test]
    fn the_time_for_which_it_was_paused_says_nothing_of_its_pace() {
        let half = progress(CampaignStatus::Running, Some(1000), 500);
        assert_eq!(eta(&half), Some(10));
        let paused = CampaignProgress { paused: std::time::Duration::from_secs(6), ..half };
        assert_eq!(eta(&paused), Some(4));
        let still = CampaignProgress { paused_at: Some(Timestamp(18_000)), written_at: Timestamp(90_000), ..paused };
        assert_eq!(eta(&still), Some(2));
    }
}
