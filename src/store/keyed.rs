//! Rows under a key of two parts: what people make and programs walk through, and what lasts longer than a message. Subscriptions,
//! campaigns and their lists, runs of schedules, messages of topics.
//!
//! A part is read in the order of its names, a page at a time, and should not grow beyond some hundred thousand rows: what may be
//! larger is spread over several parts by whoever keeps it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::domain::{DatedKept, Timestamp};

/// What the rows of a part are of. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyedKind {
    /// Who follows a subject.
    Subscribers = 0,
    /// What a user follows.
    SubscriptionsOf = 1,
    /// The users of a tenant.
    UserIndex = 2,
    /// The users whose attribute is a day.
    DayIndex = 3,
    /// What is known of one campaign.
    Campaign = 4,
    /// The campaigns of a home that are not over.
    OpenCampaigns = 5,
    /// The campaigns of a tenant.
    CampaignsOf = 6,
    /// The members of a list.
    ListMembers = 7,
    /// The lists of a tenant.
    ListsOf = 8,
    /// The runs of a schedule.
    ScheduleRuns = 9,
    /// Messages of a topic.
    TopicMessages = 10,
    /// Messages that are to come to a topic later.
    TopicDelayed = 11,
    /// How far the groups of a topic are.
    TopicGroups = 12,
    /// The topics of a tenant, and where their messages end.
    Topics = 13,
    /// How far the archive is.
    Archive = 14,
    /// What came to a user in the product: the names begin with a time, as of all that is dated.
    Inbox = 15,
    /// What of it nobody has read.
    InboxUnread = 16,
    /// What of it no program of the user has said it got.
    InboxUnacked = 17,
    /// What was put away.
    InboxArchived = 18,
    /// What the notifications of a block come to, and what those came to that were dropped.
    BlockSummary = 19,
    /// Which blocks were written in a minute: see [`touched`](super::touched_row).
    Touched = 20,
    /// How far the roll-ups of a source are, and the step that is carried out.
    Rollup = 21,
    /// What was counted in a day.
    RollupDay = 22,
    /// What was counted in an hour.
    RollupHour = 23,
    /// Users who were erased and of whom tasks are still to be cancelled.
    Erasures = 24,
    /// What a user said of consent, all of it.
    Consents = 25,
    /// Who did what in a tenant, by months.
    Audit = 26,
    /// On the embedded store: where the secrets of a user are.
    Secrets = 27,
}

impl KeyedKind {
    pub const ALL: [KeyedKind; 28] = [
        Self::Subscribers,
        Self::SubscriptionsOf,
        Self::UserIndex,
        Self::DayIndex,
        Self::Campaign,
        Self::OpenCampaigns,
        Self::CampaignsOf,
        Self::ListMembers,
        Self::ListsOf,
        Self::ScheduleRuns,
        Self::TopicMessages,
        Self::TopicDelayed,
        Self::TopicGroups,
        Self::Topics,
        Self::Archive,
        Self::Inbox,
        Self::InboxUnread,
        Self::InboxUnacked,
        Self::InboxArchived,
        Self::BlockSummary,
        Self::Touched,
        Self::Rollup,
        Self::RollupDay,
        Self::RollupHour,
        Self::Erasures,
        Self::Consents,
        Self::Audit,
        Self::Secrets,
    ];

    /// Whether rows leave by themselves, [`KeyedKind::kept`] after the time that their names begin with: [`newest_first`].
    pub fn is_dated(self) -> bool {
        self.kept(DatedKept::default()).is_some()
    }

    /// How long rows stay after the time of their names; `None`: they stay.
    pub fn kept(self, ages: DatedKept) -> Option<Duration> {
        ages.of_kind(self as u8)
    }
}

/// The first eight bytes of the names of rows with a date, by which the latest comes first.
pub fn newest_first(at: Timestamp) -> [u8; 8] {
    (u64::MAX - at.millis()).to_be_bytes()
}

/// Reads what [`newest_first`] made; `None`: the name is too short.
pub fn read_newest_first(name: &[u8]) -> Option<Timestamp> {
    name.first_chunk::<8>().map(|bytes| Timestamp(u64::MAX - u64::from_be_bytes(*bytes)))
}

/// Rows that are kept and read together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedPart {
    pub kind: KeyedKind,
    pub key: Box<[u8]>,
}

impl KeyedPart {
    /// A key of texts and numbers, each with its length before it, so that no two lists of them are the same key.
    pub fn of(kind: KeyedKind, words: &[&[u8]]) -> Self {
        let mut key = Vec::with_capacity(words.iter().map(|word| word.len() + 2).sum());
        for word in words {
            // Whoever takes words in bounds them far below.
            key.extend_from_slice(&u16::try_from(word.len()).unwrap_or(u16::MAX).to_be_bytes());
            key.extend_from_slice(word);
        }
        Self { kind, key: key.into() }
    }

    /// What [`KeyedPart::of`] made the key of; `None`: something else made it.
    pub fn words(&self) -> Option<Vec<&[u8]>> {
        let (mut words, mut rest) = (Vec::new(), &*self.key);
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (word, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            words.push(word);
            rest = after;
        }
        Some(words)
    }
}

/// One row to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRow {
    pub part: KeyedPart,
    /// Not empty.
    pub name: Box<[u8]>,
    /// Not empty; `None` takes the row away.
    pub body: Option<Bytes>,
}

/// A row as it is read: its name and its body.
pub type NamedRow = (Box<[u8]>, Bytes);

/// Rows by part and name, each written over by the next of its name.
#[async_trait]
pub trait KeyedRows: Send + Sync + 'static {
    /// Durable on return; of one name the last counts. On the embedded store in their order, elsewhere in none, and after an
    /// error some of them may be there. May be called again with the same rows.
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError>;

    /// The body of each, in the order asked for.
    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The rows of a part whose names are after `after` and before `before` (both exclusive; `None`: from its first, to its last), in
    /// the order of the names, at most `limit`: fewer only if there are no more.
    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_leave_by_themselves_are_those_with_a_time_in_their_names() {
        let dated = KeyedKind::ALL.into_iter().filter(|kind| kind.is_dated());
        let expected = [
            KeyedKind::Inbox,
            KeyedKind::InboxUnread,
            KeyedKind::InboxUnacked,
            KeyedKind::InboxArchived,
            KeyedKind::Touched,
            KeyedKind::RollupHour,
            KeyedKind::Audit,
        ];
        assert_eq!(dated.collect::<Vec<_>>(), expected);
        for (number, kind) in KeyedKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "rows say it");
        }
        let ages = DatedKept { inbox: Duration::from_secs(1), audit: Duration::from_secs(2) };
        assert_eq!(KeyedKind::InboxArchived.kept(ages), Some(ages.inbox));
        assert_eq!(KeyedKind::Audit.kept(ages), Some(ages.audit));
    }
}
