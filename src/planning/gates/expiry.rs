//! Worth nothing any more, or by the time it may go out, with all that holds it until then.

use super::Case;
use crate::domain::{SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let Some(expires_at) = case.request.expires_at else { return Verdict::Pass };
    let goes_out_at = case.times.due.unwrap_or(case.now);
    if expires_at <= goes_out_at { Verdict::Skip(SkipReason::Expired) } else { Verdict::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, request};

    /// Times relative to now, in milliseconds.
    fn check(expires_at: Option<i64>, deliver_at: Option<i64>, expected: Verdict) {
        let at = |offset: i64| Timestamp(NOW.0.saturating_add_signed(offset));
        let mut request = request();
        request.expires_at = expires_at.map(at);
        request.deliver_at = deliver_at.map(at);
        let facts = CandidateFacts::default();
        let verdict = judge(&Case::new(&request, &facts, &policy(), NOW));
        assert_eq!(verdict, expected, "expires {expires_at:?}, deliver {deliver_at:?}");
    }

    #[test]
    fn what_has_expired_or_expires_this_very_moment_is_skipped() {
        check(Some(-1), None, Verdict::Skip(SkipReason::Expired));
        check(Some(0), None, Verdict::Skip(SkipReason::Expired));
        check(Some(0), Some(-5), Verdict::Skip(SkipReason::Expired));
    }

    #[test]
    fn what_expires_before_it_may_be_delivered_is_skipped() {
        check(Some(10), Some(11), Verdict::Skip(SkipReason::Expired));
        check(Some(10), Some(10), Verdict::Skip(SkipReason::Expired));
    }

    #[test]
    fn what_expires_later_or_never_passes() {
        check(Some(1), None, Verdict::Pass);
        check(Some(11), Some(10), Verdict::Pass);
        check(Some(1), Some(-10), Verdict::Pass);
        check(None, None, Verdict::Pass);
        check(None, Some(10), Verdict::Pass);
    }

    #[test]
    fn what_expires_before_the_night_is_over_is_skipped() {
        let at = |text| Timestamp::parse(text).expect("a time");
        let check = |category: &str, expires_at, expected| {
            let mut request = request();
            request.category = Some(category.into());
            request.expires_at = Some(at(expires_at));
            let now = at("2026-06-01T23:00:00Z");
            assert_eq!(judge(&Case::new(&request, &CandidateFacts::default(), &policy(), now)), expected, "{category}");
        };
        check("marketing", "2026-06-02T08:00:00Z", Verdict::Skip(SkipReason::Expired));
        check("marketing", "2026-06-02T08:00:01Z", Verdict::Pass);
        check("security", "2026-06-02T08:00:00Z", Verdict::Pass);
    }
}
