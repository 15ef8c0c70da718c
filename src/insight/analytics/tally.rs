//! What a story comes to. Pure: the same story gives the same counts, whatever the order of its events and however often they came.

use crate::domain::{
    BlockSummary, Categories, Cell, Content, Count, Counts, Dimensions, Entries, Event, EventKind, Story, TaskState,
    Timestamp, add_entry,
};

/// Adds what the tasks of a story come to.
pub(super) fn tally(story: &Story, categories: &Categories, entries: &mut Entries) {
    let plan = &story.plan;
    for (ordinal, spec) in plan.tasks().iter().enumerate() {
        let facts = Facts::of(story, ordinal);
        if facts.0.is_empty() {
            continue;
        }
        let template = match &plan.content {
            Content::Template { code } => Some(code.clone()),
            Content::Inline { .. } => None,
        };
        let dimensions = Dimensions {
            channel: spec.channel,
            category: categories.of(plan.category.as_deref()).name.clone(),
            template,
            variant: plan.presentation.variant.clone(),
            locale: plan.presentation.locale.clone(),
            provider: None,
            campaign: plan.campaign,
        };
        let has_failed = matches!(story.state(ordinal), Some(TaskState::Failed { .. }));
        facts.count(has_failed, |event, count, by| {
            let provider = facts.provider_of(event).map(Into::into);
            let dimensions = Dimensions { provider, ..dimensions.clone() };
            let cell = Cell { tenant: plan.tenant.clone(), hour: Cell::hour_of(event.at), dimensions };
            let mut counts = Counts::default();
            counts.add(count, by);
            add_entry(entries, cell, &counts);
        });
    }
}

/// Adds a story to what its block comes to.
pub(super) fn add(story: &Story, categories: &Categories, summary: &mut BlockSummary) {
    let accepted_at = story.plan.accepted_at;
    let is_first = summary.since == Timestamp::default() || accepted_at < summary.since;
    summary.since = if is_first { accepted_at } else { summary.since };
    summary.counted.insert(story.plan.position.offset);
    tally(story, categories, &mut summary.entries);
}

/// The events of a task, each fact once and at its earliest time, in the order of the times.
struct Facts<'a>(Vec<&'a Event>);

impl<'a> Facts<'a> {
    fn of(story: &'a Story, ordinal: usize) -> Self {
        let own = story.events.iter().filter(|event| usize::from(event.task.ordinal) == ordinal);
        let mut events: Vec<&Event> = own.collect();
        events.sort_by_key(|event| (event.fact(), event.at));
        events.dedup_by_key(|event| event.fact());
        events.sort_by_key(|event| (event.at, event.fact()));
        Self(events)
    }

    fn of_kind(&self, kind: EventKind) -> impl Iterator<Item = &'a Event> {
        self.0.iter().copied().filter(move |event| event.kind == kind)
    }

    /// Who sent what an event is about: who says so, if they sent it, or else who sent it first.
    fn provider_of(&self, event: &'a Event) -> Option<&'a str> {
        let mut sent = self.of_kind(EventKind::Sent);
        let first = sent.next();
        let is_of = |one: &Event| one.provider.is_some() && one.provider == event.provider;
        match first {
            Some(first) if !is_of(first) && !sent.any(is_of) => first.provider.as_deref(),
            _ => event.provider.as_deref(),
        }
    }

    /// What of it is counted, with the event whose time it has.
    fn count(&self, has_failed: bool, mut add: impl FnMut(&'a Event, Count, i64)) {
        for sent in self.of_kind(EventKind::Sent).filter(|sent| sent.cost > 0) {
            add(sent, Count::Cost, i64::try_from(sent.cost).unwrap_or(i64::MAX));
        }
        for (kind, count) in ONCE {
            if let Some(event) = self.of_kind(kind).next() {
                add(event, count, 1);
            }
        }
        for (kind, once, total, by_machine) in OFTEN {
            let mut is_first = true;
            for event in self.of_kind(kind) {
                if let Some(by_machine) = by_machine.filter(|_| event.by_machine) {
                    add(event, by_machine, 1);
                    continue;
                }
                if std::mem::take(&mut is_first) {
                    add(event, once, 1);
                }
                add(event, total, 1);
            }
        }
        if let Some(event) = self.of_kind(EventKind::Failed).last().filter(|_| has_failed) {
            add(event, Count::Failed, 1);
        }
    }
}

/// What happens to a message once, whoever tells of it.
const ONCE: [(EventKind, Count); 6] = [
    (EventKind::Sent, Count::Sent),
    (EventKind::Delivered, Count::Delivered),
    (EventKind::Read, Count::Read),
    (EventKind::Bounced, Count::Bounced),
    (EventKind::Complained, Count::Complained),
    (EventKind::Unsubscribed, Count::Unsubscribed),
];

/// What may happen to it often: messages, times, and times by programs.
const OFTEN: [(EventKind, Count, Count, Option<Count>); 3] = [
    (EventKind::Opened, Count::Opened, Count::OpenedTotal, Some(Count::OpenedByMachine)),
    (EventKind::Clicked, Count::Clicked, Count::ClickedTotal, Some(Count::ClickedByMachine)),
    (EventKind::Converted, Count::Converted, Count::ConvertedTotal, None),
];
