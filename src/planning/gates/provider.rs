//! Whether somebody delivers on the channel at all.

use super::Case;
use crate::domain::{Channel, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>, channel: Channel) -> Verdict {
    if case.policy.serves(channel) { Verdict::Pass } else { Verdict::Skip(SkipReason::NoProvider) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, request};

    #[test]
    fn a_channel_without_a_provider_is_skipped() {
        let mut policy = policy();
        policy.has_provider[Channel::Sms.index()] = false;
        let (request, facts) = (request(), CandidateFacts::default());
        let case = Case::new(&request, &facts, &policy, NOW);
        assert_eq!(judge(&case, Channel::Sms), Verdict::Skip(SkipReason::NoProvider));
        assert_eq!(judge(&case, Channel::Email), Verdict::Pass);
    }
}
