//! Answers: adds up roll-ups by what was asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Analytics, rows};
use crate::codec;
use crate::domain::{CampaignId, Cell, Channel, Count, Counts, Sheet, SheetLine, Timestamp};
use crate::store::{NamedRow, SOURCES, StoreError, read_newest_first};

/// What an answer is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    Day,
    Hour,
    Channel,
    Category,
    Template,
    /// With its template: variants of two templates have nothing to do with each other.
    Variant,
    Locale,
    Provider,
    Campaign,
}

impl Group {
    pub const ALL: [Group; 9] = [
        Self::Day,
        Self::Hour,
        Self::Channel,
        Self::Category,
        Self::Template,
        Self::Variant,
        Self::Locale,
        Self::Provider,
        Self::Campaign,
    ];

    pub fn name(self) -> &'static str {
        ["day", "hour", "channel", "category", "template", "variant", "locale", "provider", "campaign"][self as usize]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == text)
    }
}

/// Which messages an answer is about; `None`: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    pub channel: Option<Channel>,
    pub category: Option<Box<str>>,
    pub template: Option<Box<str>>,
    pub variant: Option<Box<str>>,
    pub locale: Option<Box<str>>,
    pub provider: Option<Box<str>>,
    pub campaign: Option<CampaignId>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportQuery {
    pub tenant: Box<str>,
    /// Days since 1970, in UTC, both inclusive.
    pub first_day: u32,
    pub last_day: u32,
    pub groups: Vec<Group>,
    pub filters: Filters,
    /// More lines are not given: the answer is cut then, and says so.
    pub lines_max: usize,
}

/// What a line is about, in the order of the groups; of a variant its template as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupValue {
    None,
    /// Hours since 1970; of a day its first.
    Hour(u32),
    Word(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLine {
    pub values: Vec<GroupValue>,
    pub counts: Counts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub lines: Vec<ReportLine>,
    pub totals: Counts,
    /// Whether there were more lines than asked for.
    pub is_cut: bool,
    /// Everything written before is in it; `None`: nobody has counted yet.
    pub as_of: Option<Timestamp>,
}

/// The most rows of a part: hours and days of a part, by their sources.
const ROWS_MAX: usize = 31 * SOURCES as usize;

impl Analytics {
    /// Adds up what was counted.
    pub async fn report(&self, query: &ReportQuery) -> Result<Report, StoreError> {
        // Before the rows: they may have more, and not less.
        let as_of = self.as_of().await?;
        let mut adding = Adding::new(query);
        let store = &self.parts.rows;
        if query.groups.contains(&Group::Hour) {
            for day in query.first_day..=query.last_day {
                let part = rows::hours_part(&query.tenant, day);
                let read = store.keyed_between(&part, None, None, ROWS_MAX).await?;
                let hour = |name: &[u8]| read_newest_first(name).map(Cell::hour_of);
                adding = adding.add(read, hour).await?;
            }
        } else {
            let before = query.last_day.saturating_add(1).to_be_bytes();
            let after = query.first_day.to_be_bytes();
            let mut parts: Vec<_> =
                (query.first_day..=query.last_day).map(|day| rows::days_part(&query.tenant, day)).collect();
            parts.dedup();
            for part in parts {
                let read = store.keyed_between(&part, Some(&after), Some(&before), ROWS_MAX).await?;
                adding = adding.add(read, |name| rows::read_day(name).map(|day| day * 24)).await?;
            }
        }
        Ok(adding.report(query, as_of))
    }

    /// Everything written before this is counted; `None`: some source has not begun.
    async fn as_of(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut first: Option<Timestamp> = None;
        for source in 0..SOURCES {
            let Some(state) = self.state(source).await? else { return Ok(None) };
            let at = Timestamp(state.minute * crate::store::MINUTE_MILLIS);
            first = Some(first.map_or(at, |first| first.min(at)));
        }
        Ok(first)
    }
}

/// A line's place: a number for each value.
type Key = [u32; KEY_MAX];
const KEY_MAX: usize = 4;

/// What was added up so far.
struct Adding {
    groups: Vec<Group>,
    filters: Filters,
    words: Words,
    sums: HashMap<Key, Counts>,
    totals: Counts,
}

/// Numbers words, from 1; 0 is none.
#[derive(Default)]
struct Words {
    numbers: HashMap<Box<str>, u32>,
    words: Vec<Box<str>>,
}

impl Words {
    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        self.words.push(word.into());
        let number = self.words.len() as u32;
        self.numbers.insert(word.into(), number);
        number
    }
}

impl Adding {
    fn new(query: &ReportQuery) -> Self {
        let mut groups = Vec::new();
        for group in &query.groups {
            if *group == Group::Variant && !query.groups.contains(&Group::Template) {
                groups.push(Group::Template);
            }
            groups.push(*group);
        }
        groups.truncate(KEY_MAX);
        Self {
            groups,
            filters: query.filters.clone(),
            words: Words::default(),
            sums: HashMap::new(),
            totals: Counts::default(),
        }
    }

    /// Adds rows, beside the runtime: a year of them takes some tens of milliseconds.
    async fn add(
        mut self,
        rows: Vec<NamedRow>,
        hour: impl Fn(&[u8]) -> Option<u32> + Send + 'static,
    ) -> Result<Self, StoreError> {
        if rows.is_empty() {
            return Ok(self);
        }
        let added = tokio::task::spawn_blocking(move || {
            for (name, body) in rows {
                let Some(hour) = hour(&name) else { continue };
                self.add_sheet(hour, &codec::decode_rollup_sheet(&body)?);
            }
            Ok(self)
        });
        added.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    fn add_sheet(&mut self, hour: u32, sheet: &Sheet) {
        let numbers: Vec<u32> = sheet.words.iter().map(|word| self.words.number(word)).collect();
        let campaigns: Vec<u32> =
            sheet.campaigns.iter().map(|campaign| self.words.number(&campaign.to_string())).collect();
        let number = |own: u32, all: &[u32]| own.checked_sub(1).and_then(|own| all.get(own as usize)).copied();
        let wanted = Wanted::of(&self.filters, sheet);
        for line in sheet.lines.iter().filter(|line| !line.counts.is_zero() && wanted.has(line)) {
            let mut key = Key::default();
            for (place, group) in key.iter_mut().zip(&self.groups) {
                let word = |own| number(own, &numbers).unwrap_or(0);
                *place = match group {
                    Group::Day | Group::Hour => hour,
                    Group::Channel => line.channel as u32,
                    Group::Category => word(line.category),
                    Group::Template => word(line.template),
                    Group::Variant => word(line.variant),
                    Group::Locale => word(line.locale),
                    Group::Provider => word(line.provider),
                    Group::Campaign => number(line.campaign, &campaigns).unwrap_or(0),
                };
            }
            self.totals.merge(&line.counts);
            match self.sums.entry(key) {
                Entry::Occupied(mut sum) => sum.get_mut().merge(&line.counts),
                Entry::Vacant(place) => {
                    place.insert(line.counts);
                }
            }
        }
    }

    /// By time, then the largest first.
    fn report(self, query: &ReportQuery, as_of: Option<Timestamp>) -> Report {
        let Self { groups, words, sums, totals, .. } = self;
        let value = |group: &Group, number: u32| match group {
            Group::Day | Group::Hour => GroupValue::Hour(number),
            Group::Channel => {
                let channel = Channel::from_index(number as usize);
                channel.map_or(GroupValue::None, |channel| GroupValue::Word(channel.name().into()))
            }
            _ => {
                let word = number.checked_sub(1).and_then(|number| words.words.get(number as usize));
                word.map_or(GroupValue::None, |word| GroupValue::Word(word.clone()))
            }
        };
        let line = |(key, counts): (Key, Counts)| {
            let values = groups.iter().zip(key).map(|(group, number)| value(group, number)).collect();
            ReportLine { values, counts }
        };
        let mut lines: Vec<ReportLine> = sums.into_iter().filter(|(_, counts)| !counts.is_zero()).map(line).collect();
        let time = |line: &ReportLine| {
            let of_line = line.values.iter().find(|value| matches!(value, GroupValue::Hour(_)));
            of_line.cloned()
        };
        lines.sort_by_cached_key(|line| {
            (time(line), std::cmp::Reverse(line.counts.get(Count::Sent)), line.values.clone())
        });
        let is_cut = lines.len() > query.lines_max;
        lines.truncate(query.lines_max);
        Report { lines, totals, is_cut, as_of }
    }
}

impl ReportQuery {
    /// The names of a line's values.
    pub fn columns(&self) -> Vec<&'static str> {
        Adding::new(self).groups.into_iter().map(Group::name).collect()
    }
}

/// The filters in the numbers of a sheet; `Some(None)`: no line has it.
struct Wanted {
    channel: Option<Channel>,
    category: Option<Option<u32>>,
    template: Option<Option<u32>>,
    variant: Option<Option<u32>>,
    locale: Option<Option<u32>>,
    provider: Option<Option<u32>>,
    campaign: Option<Option<u32>>,
}

impl Wanted {
    fn of(filters: &Filters, sheet: &Sheet) -> Self {
        let place = |word: &Option<Box<str>>| {
            let number = |word: &str| sheet.words.iter().position(|own| **own == *word).map(|at| at as u32 + 1);
            word.as_deref().map(number)
        };
        let campaign = |id| sheet.campaigns.iter().position(|own| *own == id).map(|at| at as u32 + 1);
        Self {
            channel: filters.channel,
            category: place(&filters.category),
            template: place(&filters.template),
            variant: place(&filters.variant),
            locale: place(&filters.locale),
            provider: place(&filters.provider),
            campaign: filters.campaign.map(campaign),
        }
    }

    fn has(&self, line: &SheetLine) -> bool {
        let fits = |wanted: Option<Option<u32>>, own: u32| wanted.is_none_or(|wanted| wanted == Some(own));
        self.channel.is_none_or(|channel| channel == line.channel)
            && fits(self.category, line.category)
            && fits(self.template, line.template)
            && fits(self.variant, line.variant)
            && fits(self.locale, line.locale)
            && fits(self.provider, line.provider)
            && fits(self.campaign, line.campaign)
    }
}
