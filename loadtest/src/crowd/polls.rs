//! Whether what is said of a campaign, again and again while it runs, can be true.

use super::api::Campaign;

/// What is wrong is told so often.
const TOLD_MAX: usize = 20;

/// All looks at one campaign.
#[derive(Debug, Default)]
pub(super) struct Polls {
    pub(super) count: u64,
    /// Looks with something wrong.
    pub(super) wrong_count: u64,
    /// The first of what was wrong.
    pub(super) wrong: Vec<String>,
    last: Campaign,
}

impl Polls {
    pub(super) fn look(&mut self, now: &Campaign) {
        self.count += 1;
        let found = wrong(&self.last, now);
        self.wrong_count += u64::from(!found.is_empty());
        let room = TOLD_MAX.saturating_sub(self.wrong.len());
        self.wrong.extend(found.into_iter().take(room));
        self.last = now.clone();
    }
}

/// What cannot be true of a campaign, after what was said of it before.
fn wrong(before: &Campaign, now: &Campaign) -> Vec<String> {
    let mut found = Vec::new();
    let mut want = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    let Campaign { total, handed_on, processed, succeeded, failed, skipped, progress, .. } = *now;
    let sum = succeeded + failed + skipped;
    want(processed == sum, format!("processed is {processed}, and its parts together {sum}"));
    want(processed <= handed_on, format!("processed is {processed}, and only {handed_on} were handed on"));
    want(total.is_none_or(|total| handed_on <= total), format!("{handed_on} were handed on of {total:?}"));
    want(
        before.total.is_none_or(|_| total == before.total),
        format!("the total went from {:?} to {total:?}", before.total),
    );
    for (name, before, now) in [
        ("handed_on", before.handed_on, handed_on),
        ("processed", before.processed, processed),
        ("succeeded", before.succeeded, succeeded),
        ("failed", before.failed, failed),
        ("skipped", before.skipped, skipped),
        ("progress", before.progress, progress),
    ] {
        want(before <= now, format!("{name} went back from {before} to {now}"));
    }
    let expected = match total {
        _ if now.is_over() => 100,
        Some(total) if total > 0 => (processed * 100 / total).min(99),
        _ => 0,
    };
    want(progress == expected, format!("progress is {progress} with {processed} of {total:?}, {}", now.status));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(status: &str, handed_on: u64, succeeded: u64, failed: u64, progress: u64) -> Campaign {
        Campaign {
            status: status.into(),
            total: Some(200),
            handed_on,
            processed: succeeded + failed,
            succeeded,
            failed,
            progress,
            ..Campaign::default()
        }
    }

    #[test]
    fn what_goes_on_as_it_should_is_not_wrong() {
        let mut polls = Polls::default();
        let counting = Campaign { status: "counting".into(), ..Campaign::default() };
        let looks = [
            counting,
            campaign("running", 0, 0, 0, 0),
            campaign("running", 120, 99, 2, 50),
            campaign("paused", 120, 118, 2, 60),
            campaign("finishing", 200, 197, 3, 99),
            campaign("completed", 200, 197, 3, 100),
        ];
        looks.iter().for_each(|look| polls.look(look));
        assert_eq!((polls.count, polls.wrong_count, polls.wrong), (6, 0, Vec::new()));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let before = campaign("running", 120, 99, 1, 50);
        for (now, part) in [
            (campaign("running", 120, 98, 2, 50), "succeeded went back"),
            (campaign("running", 110, 100, 2, 51), "handed_on went back"),
            (campaign("running", 120, 120, 1, 60), "only 120 were handed on"),
            (campaign("running", 201, 120, 1, 60), "201 were handed on"),
            (campaign("running", 120, 100, 1, 51), "progress is 51"),
            (campaign("completed", 200, 199, 1, 99), "progress is 99"),
            (Campaign { processed: 101, ..campaign("running", 120, 99, 1, 50) }, "its parts together 100"),
            (Campaign { total: Some(300), ..campaign("running", 150, 149, 1, 50) }, "the total went"),
        ] {
            let found = wrong(&before, &now);
            assert!(found.iter().any(|text| text.contains(part)), "{part}: {found:?}");
        }
    }
}
