//! Addresses that nothing is sent to, whoever asks: after a hard bounce, a complaint or an opt-out. One telephone number is the
//! same for texts and calls.

use super::Case;
use crate::domain::{AddressKind, Channel, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>, channel: Channel) -> Verdict {
    let is_suppressed = kind(channel).is_some_and(|kind| case.facts.suppressed[kind as usize]);
    if is_suppressed { Verdict::Skip(SkipReason::Suppressed) } else { Verdict::Pass }
}

fn kind(channel: Channel) -> Option<AddressKind> {
    match channel {
        Channel::Email => Some(AddressKind::Email),
        Channel::Sms | Channel::Voice => Some(AddressKind::Phone),
        Channel::Push | Channel::InApp | Channel::Chat | Channel::Webhook => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, request};

    #[test]
    fn a_suppressed_address_is_skipped_on_every_channel_that_uses_it() {
        let check = |suppressed, skipped: &[Channel]| {
            let facts = CandidateFacts { suppressed, ..CandidateFacts::default() };
            let (request, policy) = (request(), policy());
            let case = Case::new(&request, &facts, &policy, NOW);
            for channel in Channel::ALL {
                let verdict = judge(&case, channel);
                assert_eq!(verdict != Verdict::Pass, skipped.contains(&channel), "{channel} with {suppressed:?}");
            }
        };
        check([false, false], &[]);
        check([true, false], &[Channel::Email]);
        check([false, true], &[Channel::Sms, Channel::Voice]);
    }
}
