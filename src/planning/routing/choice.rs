//! Which channels: those named, or those that the engine chooses from.

use super::Case;
use crate::domain::{Channel, Priority};

/// Channels in an order, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    channels: [Channel; 7],
    length: usize,
}

/// What a notification goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// All of these, or one after the other, as the request says.
    Named(Order),
    /// The first of these that reaches the user. A provider serves each of them.
    FirstOf(Order),
}

impl Order {
    fn new() -> Self {
        Self { channels: Channel::ALL, length: 0 }
    }

    fn of(channels: &[Channel]) -> Self {
        let mut order = Self::new();
        order.add(channels);
        order
    }

    fn add(&mut self, channels: &[Channel]) {
        for channel in channels {
            // There are seven, and each is in it once.
            if !self.channels().contains(channel) {
                self.channels[self.length] = *channel;
                self.length += 1;
            }
        }
    }

    fn retain(self, keep: impl Fn(Channel) -> bool) -> Self {
        let mut kept = Self::new();
        self.channels().iter().filter(|channel| keep(**channel)).for_each(|channel| kept.add(&[*channel]));
        kept
    }

    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels[..self.length]
    }
}

impl Choice {
    pub(super) fn order(&self) -> &Order {
        match self {
            Choice::Named(order) | Choice::FirstOf(order) => order,
        }
    }
}

/// The channels named in the request, or else those of its category; where neither names any, what the policy tries in turn.
pub(super) fn of(case: &Case<'_>) -> Choice {
    let named = [&case.request.channels, &case.category.channels].into_iter().find(|channels| !channels.is_empty());
    match named {
        Some(channels) => Choice::Named(Order::of(channels)),
        None => Choice::FirstOf(candidates(case).retain(|channel| may_be_chosen(case, channel))),
    }
}

fn may_be_chosen(case: &Case<'_>, channel: Channel) -> bool {
    let is_preferred = || case.user().and_then(|user| user.preferred_channel) == Some(channel);
    case.policy.serves(channel) && (case.policy.is_chosen[channel.index()] || is_preferred())
}

fn candidates(case: &Case<'_>) -> Order {
    let routing = &case.policy.routing;
    if case.request.priority == Priority::Critical {
        return Order::of(&routing.critical);
    }
    let mut order = Order::new();
    if routing.push_when_online && case.facts.is_online {
        order.add(&[Channel::Push]);
    }
    let preferred = case.user().and_then(|user| user.preferred_channel);
    // A chat's room is not the user's.
    if let Some(preferred) = preferred.filter(|channel| routing.preferred_first && *channel != Channel::Chat) {
        order.add(&[preferred]);
    }
    order.add(&routing.cheapest);
    order.add(&routing.otherwise);
    order
}

#[cfg(test)]
mod tests {
    use Channel::*;

    use super::*;
    use crate::domain::UserEntry;
    use crate::planning::testing::{NOW, known, policy, request};

    /// The channels that are tried, where the user prefers one, is online or not, and some have no provider.
    fn check(
        priority: Priority,
        preferred: Option<Channel>,
        is_online: bool,
        missing: &[Channel],
        expected: &[Channel],
    ) {
        let mut request = request();
        request.priority = priority;
        let mut facts = known([UserEntry::PreferredChannel(preferred), UserEntry::Email(Some("a@example.com".into()))]);
        facts.is_online = is_online;
        let mut policy = policy();
        for channel in missing {
            policy.has_provider[channel.index()] = false;
        }
        let choice = of(&Case::new(&request, &facts, &policy, NOW));
        assert_eq!(
            choice,
            Choice::FirstOf(Order::of(expected)),
            "{priority}, prefers {preferred:?}, online {is_online}"
        );
    }

    #[test]
    fn what_is_critical_is_a_text_and_then_a_call() {
        check(Priority::Critical, None, false, &[], &[Sms, Voice, Push, Email, Webhook, InApp]);
        check(Priority::Critical, Some(Email), true, &[Sms], &[Voice, Push, Email, Webhook, InApp]);
    }

    #[test]
    fn the_rest_is_what_costs_least_and_nobody_is_called_by_choice_of_the_engine() {
        check(Priority::High, None, false, &[], &[Push, Email, Sms, Webhook, InApp]);
        check(Priority::Low, None, false, &[Push, Webhook], &[Email, Sms, InApp]);
    }

    #[test]
    fn push_comes_first_for_who_is_online_and_then_what_the_user_prefers() {
        check(Priority::Normal, Some(Sms), false, &[], &[Sms, Push, Email, Webhook, InApp]);
        check(Priority::Normal, Some(Sms), true, &[], &[Push, Sms, Email, Webhook, InApp]);
        check(Priority::Normal, Some(Voice), false, &[], &[Voice, Push, Email, Sms, Webhook, InApp]);
        check(Priority::Normal, Some(Chat), false, &[], &[Push, Email, Sms, Webhook, InApp]);
    }

    #[test]
    fn a_policy_may_ask_neither_who_is_online_nor_what_they_prefer() {
        let request = request();
        let mut facts = known([UserEntry::PreferredChannel(Some(Sms))]);
        facts.is_online = true;
        let mut policy = policy();
        policy.routing.push_when_online = false;
        policy.routing.preferred_first = false;
        policy.routing.cheapest = vec![Email];
        policy.routing.otherwise = vec![Sms];
        let choice = of(&Case::new(&request, &facts, &policy, NOW));
        assert_eq!(choice, Choice::FirstOf(Order::of(&[Email, Sms])));
    }

    #[test]
    fn channels_of_the_request_count_before_those_of_its_category() {
        let check = |of_request: &[Channel], of_category: &[Channel], expected: Option<&[Channel]>| {
            let mut request = request();
            request.channels = of_request.to_vec();
            let mut policy = policy();
            policy.categories =
                crate::planning::testing::categories(|category| category.channels = of_category.to_vec());
            let facts = known([]);
            let choice = of(&Case::new(&request, &facts, &policy, NOW));
            let named = matches!(choice, Choice::Named(_)).then(|| choice.order().channels().to_vec());
            assert_eq!(named.as_deref(), expected, "{of_request:?}, {of_category:?}");
        };
        check(&[Email, Sms, Email], &[Push], Some(&[Email, Sms]));
        check(&[], &[Push, Email], Some(&[Push, Email]));
        check(&[], &[], None);
    }
}
