//! What is counted of messages: how often what happened, by what the messages were, and when.

use std::collections::BTreeMap;

use super::{BLOCK_OFFSETS, CampaignId, Channel, ShardId, Timestamp};

/// What is counted. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    Sent = 0,
    Delivered = 1,
    /// Messages that a person opened.
    Opened = 2,
    /// Times that persons opened one.
    OpenedTotal = 3,
    Clicked = 4,
    ClickedTotal = 5,
    OpenedByMachine = 6,
    ClickedByMachine = 7,
    Read = 8,
    Bounced = 9,
    Complained = 10,
    Unsubscribed = 11,
    Converted = 12,
    ConvertedTotal = 13,
    Failed = 14,
    /// What providers take, in millionths.
    Cost = 15,
}

impl Count {
    pub const COUNT: usize = 16;

    pub const ALL: [Count; Count::COUNT] = [
        Self::Sent,
        Self::Delivered,
        Self::Opened,
        Self::OpenedTotal,
        Self::Clicked,
        Self::ClickedTotal,
        Self::OpenedByMachine,
        Self::ClickedByMachine,
        Self::Read,
        Self::Bounced,
        Self::Complained,
        Self::Unsubscribed,
        Self::Converted,
        Self::ConvertedTotal,
        Self::Failed,
        Self::Cost,
    ];

    pub fn name(self) -> &'static str {
        [
            "sent",
            "delivered",
            "opened",
            "opened_total",
            "clicked",
            "clicked_total",
            "opened_by_machine",
            "clicked_by_machine",
            "read",
            "bounced",
            "complained",
            "unsubscribed",
            "converted",
            "converted_total",
            "failed",
            "cost",
        ][self as usize]
    }
}

/// How often each happened; below zero in what is added to other counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([i64; Count::COUNT]);

impl Counts {
    pub fn add(&mut self, count: Count, by: i64) {
        let place = &mut self.0[count as usize];
        *place = place.saturating_add(by);
    }

    pub fn get(&self, count: Count) -> i64 {
        self.0[count as usize]
    }

    pub fn merge(&mut self, other: &Counts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// What takes this back.
    pub fn negated(mut self) -> Self {
        self.0.iter_mut().for_each(|count| *count = -*count);
        self
    }

    pub fn is_zero(&self) -> bool {
        self.0 == [0; Count::COUNT]
    }
}

/// What a message was, as far as it is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimensions {
    pub channel: Channel,
    /// As the configuration resolves it: never none.
    pub category: Box<str>,
    /// `None`: the request brought its content along.
    pub template: Option<Box<str>>,
    pub variant: Option<Box<str>>,
    /// As it was asked for; `None`: the usual one.
    pub locale: Option<Box<str>>,
    /// `None`: nobody was asked to send it.
    pub provider: Option<Box<str>>,
    pub campaign: Option<CampaignId>,
}

impl Dimensions {
    /// In the place of words: so many others were counted that these were not kept apart.
    pub const OTHER: &'static str = "(other)";

    /// Those of a channel that are not kept apart.
    pub fn other(channel: Channel) -> Self {
        Self {
            channel,
            category: Self::OTHER.into(),
            template: Some(Self::OTHER.into()),
            variant: None,
            locale: None,
            provider: Some(Self::OTHER.into()),
            campaign: None,
        }
    }
}

/// Where a count belongs: to a tenant, an hour and a kind of message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub tenant: Box<str>,
    /// Hours since 1970, in UTC.
    pub hour: u32,
    pub dimensions: Dimensions,
}

impl Cell {
    /// The hour of a time.
    pub fn hour_of(at: Timestamp) -> u32 {
        u32::try_from(at.millis() / HOUR_MILLIS).unwrap_or(u32::MAX)
    }

    /// When an hour begins.
    pub fn start_of(hour: u32) -> Timestamp {
        Timestamp(u64::from(hour) * HOUR_MILLIS)
    }

    /// Days since 1970, in UTC.
    pub fn day(&self) -> u32 {
        self.hour / 24
    }
}

const HOUR_MILLIS: u64 = 3_600_000;

/// Counts, or changes of them, by where they belong. Nothing has only zeros.
pub type Entries = BTreeMap<Cell, Counts>;

/// Adds to what is there; what comes to nothing goes.
pub fn add_entry(entries: &mut Entries, cell: Cell, counts: &Counts) {
    let sum = entries.entry(cell.clone()).or_default();
    sum.merge(counts);
    if sum.is_zero() {
        entries.remove(&cell);
    }
}

/// Some of the offsets of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OffsetSet(pub [u64; BLOCK_OFFSETS as usize / 64]);

impl OffsetSet {
    pub fn insert(&mut self, offset: u64) {
        let within = offset % BLOCK_OFFSETS;
        self.0[(within / 64) as usize] |= 1 << (within % 64);
    }

    pub fn contains(&self, offset: u64) -> bool {
        let within = offset % BLOCK_OFFSETS;
        self.0[(within / 64) as usize] & 1 << (within % 64) != 0
    }

    /// Whether all of the others are among these.
    pub fn has_all(&self, others: &OffsetSet) -> bool {
        self.0.iter().zip(others.0).all(|(mine, theirs)| theirs & !mine == 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

/// What the notifications of a block come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockSummary {
    /// When the first of them was accepted; 0 where there is none.
    pub since: Timestamp,
    /// Those that are in it.
    pub counted: OffsetSet,
    pub entries: Entries,
}

/// Where the roll-ups of a source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollupState {
    /// Of the last step that was carried out to its end.
    pub sequence: u64,
    /// Everything written before this minute (since 1970) is counted.
    pub minute: u64,
}

/// A change of roll-ups, written down before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollupStep {
    pub sequence: u64,
    pub summaries: Vec<(ShardId, u64, BlockSummary)>,
    /// By how much the summaries differ from those before.
    pub delta: Entries,
}

/// The counts of a tenant in an hour or a day, of one source, as its writer changes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollup {
    /// The last step that is in it.
    pub through: u64,
    pub entries: BTreeMap<Dimensions, Counts>,
}

impl Rollup {
    /// The most kinds of messages that a row keeps apart.
    pub const ENTRIES_MAX: usize = 20_000;

    /// Adds a step, unless it has it already. Entries never leave, so that what was put among the others always is.
    pub fn apply(&mut self, sequence: u64, delta: &BTreeMap<Dimensions, Counts>) {
        if self.through >= sequence {
            return;
        }
        self.through = sequence;
        for (dimensions, counts) in delta {
            if let Some(sum) = self.entries.get_mut(dimensions) {
                sum.merge(counts);
            } else if self.entries.len() < Self::ENTRIES_MAX {
                self.entries.insert(dimensions.clone(), *counts);
            } else {
                self.entries.entry(Dimensions::other(dimensions.channel)).or_default().merge(counts);
            }
        }
    }
}

/// Counts as they stand in a row, with each word once: for who adds up many rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sheet {
    /// Numbered from 1; 0 is none.
    pub words: Vec<Box<str>>,
    /// Numbered from 1; 0 is none.
    pub campaigns: Vec<CampaignId>,
    pub lines: Vec<SheetLine>,
}

/// A line of a [`Sheet`]; words and campaigns by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SheetLine {
    pub tenant: u32,
    pub hour: u32,
    pub channel: Channel,
    pub category: u32,
    pub template: u32,
    pub variant: u32,
    pub locale: u32,
    pub provider: u32,
    pub campaign: u32,
    pub counts: Counts,
}

impl Sheet {
    /// A word by its number.
    pub fn word(&self, number: u32) -> Option<&str> {
        self.words.get(number.checked_sub(1)? as usize).map(|word| &**word)
    }

    pub fn campaign(&self, number: u32) -> Option<CampaignId> {
        self.campaigns.get(number.checked_sub(1)? as usize).copied()
    }

    /// What a line is about.
    pub fn dimensions(&self, line: &SheetLine) -> Dimensions {
        let word = |number| self.word(number).map(Box::from);
        Dimensions {
            channel: line.channel,
            category: self.word(line.category).unwrap_or_default().into(),
            template: word(line.template),
            variant: word(line.variant),
            locale: word(line.locale),
            provider: word(line.provider),
            campaign: self.campaign(line.campaign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(template: &str) -> Dimensions {
        Dimensions { template: Some(template.into()), ..Dimensions::other(Channel::Sms) }
    }

    fn sent(by: i64) -> Counts {
        let mut counts = Counts::default();
        counts.add(Count::Sent, by);
        counts
    }

    #[test]
    fn a_step_is_added_once_and_what_does_not_fit_is_among_the_others_for_good() {
        let mut rollup = Rollup::default();
        let all: BTreeMap<Dimensions, Counts> =
            (0..=Rollup::ENTRIES_MAX).map(|number| (dimensions(&format!("{number:06}")), sent(1))).collect();
        rollup.apply(3, &all);
        rollup.apply(3, &all);
        rollup.apply(2, &all);
        assert_eq!(rollup.entries.len(), Rollup::ENTRIES_MAX + 1);
        let total = |rollup: &Rollup| rollup.entries.values().map(|counts| counts.get(Count::Sent)).sum::<i64>();
        assert_eq!(total(&rollup), Rollup::ENTRIES_MAX as i64 + 1);
        assert_eq!(rollup.entries[&Dimensions::other(Channel::Sms)], sent(1));
        // Taking back all of it leaves nothing anywhere.
        let back = all.into_iter().map(|(dimensions, counts)| (dimensions, counts.negated())).collect();
        rollup.apply(4, &back);
        assert!(rollup.entries.values().all(Counts::is_zero));
    }

    #[test]
    fn offsets_are_told_apart() {
        let (mut some, mut more) = (OffsetSet::default(), OffsetSet::default());
        for offset in [1024, 1024 + 63, 2047] {
            some.insert(offset);
            more.insert(offset);
        }
        more.insert(1024 + 64);
        assert!(more.has_all(&some) && !some.has_all(&more) && !some.is_empty());
        assert!(some.contains(2047) && !some.contains(1025));
    }
}
