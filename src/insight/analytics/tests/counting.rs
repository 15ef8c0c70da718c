//! What a story comes to.

use super::*;

fn story(events: Vec<Event>) -> Story {
    Story { plan: planned(0, |_| {}), events }
}

fn sums(events: Vec<Event>) -> Vec<(&'static str, i64)> {
    let entries = counted(&[story(events)]);
    Count::ALL.map(|count| (count.name(), total(&entries, count))).into_iter().filter(|(_, sum)| *sum != 0).collect()
}

fn open(occasion: u64, at: Timestamp) -> Event {
    Event { occasion, ..happened(0, EventKind::Opened, at) }
}

#[test]
fn a_message_counts_once_and_each_time_counts_in_the_total() {
    let sent = Event { cost: 100, ..happened(0, EventKind::Sent, NOON) };
    let again = Event { attempt: 2, cost: 100, ..happened(0, EventKind::Sent, NOON + SECOND) };
    let by_machine = Event { by_machine: true, ..open(9, NOON + SECOND) };
    let events = vec![sent, again, open(1, NOON + HOUR), open(2, NOON + DAY), by_machine];
    let expected = [("sent", 1), ("opened", 1), ("opened_total", 2), ("opened_by_machine", 1), ("cost", 200)];
    assert_eq!(sums(events.clone()), expected);
    // Doubled and in another order.
    let shuffled: Vec<Event> = events.iter().rev().chain(&events).cloned().collect();
    assert_eq!(counted(&[story(shuffled)]), counted(&[story(events)]));
}

#[test]
fn what_happened_counts_in_its_own_hour_and_the_first_time_in_its() {
    let events = vec![happened(0, EventKind::Sent, NOON), open(2, NOON + DAY), open(1, NOON + HOUR)];
    let entries = counted(&[story(events)]);
    let of_hour = |at: Timestamp, count| {
        let own = entries.iter().filter(|(cell, _)| cell.hour == Cell::hour_of(at));
        own.map(|(_, counts)| counts.get(count)).sum::<i64>()
    };
    assert_eq!((of_hour(NOON, Count::Sent), of_hour(NOON, Count::Opened)), (1, 0));
    assert_eq!((of_hour(NOON + HOUR, Count::Opened), of_hour(NOON + HOUR, Count::OpenedTotal)), (1, 1));
    assert_eq!((of_hour(NOON + DAY, Count::Opened), of_hour(NOON + DAY, Count::OpenedTotal)), (0, 1));
}

#[test]
fn a_failure_counts_as_long_as_it_is_the_end() {
    let failed = happened(0, EventKind::Failed, NOON);
    assert_eq!(sums(vec![failed.clone()]), [("failed", 1)]);
    let scheduled = Event { attempt: 2, ..happened(0, EventKind::Scheduled, NOON + SECOND) };
    assert_eq!(sums(vec![failed.clone(), scheduled.clone()]), []);
    let sent = Event { attempt: 2, ..happened(0, EventKind::Sent, NOON + SECOND * 2) };
    assert_eq!(sums(vec![failed, scheduled, sent]), [("sent", 1)]);
}

#[test]
fn what_is_told_later_counts_for_who_sent_it() {
    let open = Event { provider: Some("pixel".into()), ..open(1, NOON + HOUR) };
    let by = |events: Vec<Event>| -> Vec<Option<Box<str>>> {
        let entries = counted(&[story(events)]);
        entries.into_keys().map(|cell| cell.dimensions.provider).collect()
    };
    // The row of what was sent may come last.
    assert_eq!(by(vec![open.clone()]), [Some("pixel".into())]);
    assert_eq!(
        by(vec![open, happened(0, EventKind::Sent, NOON)]),
        [Some("mail-main".into()), Some("mail-main".into())]
    );
}

#[test]
fn messages_are_told_apart_by_what_they_are() {
    let mut plan = planned(0, |plan| plan.campaign = Some(CampaignId(7)));
    plan.presentation.variant = Some("b".into());
    plan.presentation.locale = Some("de".into());
    let story = Story { plan, events: vec![happened(0, EventKind::Sent, NOON)] };
    let cell = counted(&[story]).into_keys().next().expect("it was sent");
    let dimensions = cell.dimensions;
    assert_eq!((dimensions.channel, dimensions.campaign), (Channel::Email, Some(CampaignId(7))));
    assert_eq!(&*dimensions.category, categories().of(None).name.as_ref());
    let words = [dimensions.template, dimensions.variant, dimensions.locale, dimensions.provider];
    assert_eq!(words.map(|word| word.unwrap_or_default()), ["welcome", "b", "de", "mail-main"].map(Box::from));
}
