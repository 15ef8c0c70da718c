//! Version 1 of every row and record, frozen: never edit a field here, make a `v2.rs`.
//!
//! Closed types are numbers (those of the domain, which never change). Types named `…Out` borrow what they write.

use bincode::{Decode, Encode};

use super::CodecError;
use crate::domain::{
    self, Address, Channel, ClaimKey, Content, Decision, Disposition, EventKind, Idempotency, NotificationId,
    PlanClaim, Platform, Position, Priority, Recipient, Routing, ShardId, SkipReason, Source, Step, TaskSpec,
    Timestamp, Verdict,
};
use crate::store::{self, BookColumn, ClaimRow, DeadLetterCause, DeadLetterKey, TimerKey, TimerRow};

pub(super) type Text = Box<str>;

pub(super) fn damaged(what: &str) -> CodecError {
    CodecError::Damaged(format!("it holds no valid {what}"))
}

pub(super) fn channel(number: u8) -> Result<Channel, CodecError> {
    Channel::from_index(usize::from(number)).ok_or_else(|| damaged("channel"))
}

pub(super) fn source(number: u8) -> Result<Source, CodecError> {
    Source::from_index(usize::from(number)).ok_or_else(|| damaged("source"))
}

pub(super) fn routing(number: u8) -> Result<Routing, CodecError> {
    match number {
        0 => Ok(Routing::All),
        1 => Ok(Routing::Fallback),
        _ => Err(damaged("routing")),
    }
}

pub(super) fn routing_number(routing: Routing) -> u8 {
    match routing {
        Routing::All => 0,
        Routing::Fallback => 1,
    }
}

/// A shard and an offset.
pub(super) type Place = (u32, u64);

pub(super) fn place(position: Position) -> Place {
    (position.shard.to_u32(), position.offset)
}

pub(super) fn position((shard, offset): Place) -> Result<Position, CodecError> {
    Ok(Position::new(ShardId::from_u32(shard).ok_or_else(|| damaged("shard"))?, offset))
}

#[derive(Encode)]
pub(super) enum ContentOut<'a> {
    Template { code: &'a str },
    Inline { title: &'a str, body: &'a str, html: Option<&'a str>, sms: Option<&'a str> },
}

#[derive(Decode)]
pub(super) enum ContentIn {
    Template { code: Text },
    Inline { title: Text, body: Text, html: Option<Text>, sms: Option<Text> },
}

impl<'a> From<&'a Content> for ContentOut<'a> {
    fn from(content: &'a Content) -> Self {
        match content {
            Content::Template { code } => Self::Template { code },
            Content::Inline { title, body, html, sms } => {
                Self::Inline { title, body, html: html.as_deref(), sms: sms.as_deref() }
            }
        }
    }
}

impl From<ContentIn> for Content {
    fn from(content: ContentIn) -> Self {
        match content {
            ContentIn::Template { code } => Self::Template { code },
            ContentIn::Inline { title, body, html, sms } => Self::Inline { title, body, html, sms },
        }
    }
}

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    tenant: &'a str,
    user_id: Option<&'a str>,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    push_token: Option<&'a str>,
    url: Option<&'a str>,
    content: ContentOut<'a>,
    data: &'a str,
    category: Option<&'a str>,
    priority: u8,
    channels: Vec<u8>,
    routing: u8,
    deliver_at: Option<u64>,
    expires_at: Option<u64>,
    dedup_key: Option<&'a str>,
    dedup_window_seconds: Option<u32>,
    idempotency: Option<(u128, u64)>,
    metadata: &'a str,
    source: u8,
    accepted_at: u64,
}

impl<'a> From<&'a domain::NotificationRequest> for RequestOut<'a> {
    fn from(request: &'a domain::NotificationRequest) -> Self {
        Self {
            tenant: &request.tenant,
            user_id: request.user_id.as_deref(),
            email: request.to.email.as_deref(),
            phone: request.to.phone.as_deref(),
            push_token: request.to.push_token.as_deref(),
            url: request.to.url.as_deref(),
            content: (&request.content).into(),
            data: &request.data,
            category: request.category.as_deref(),
            priority: request.priority.index() as u8,
            channels: request.channels.iter().map(|channel| channel.index() as u8).collect(),
            routing: routing_number(request.routing),
            deliver_at: request.deliver_at.map(Timestamp::millis),
            expires_at: request.expires_at.map(Timestamp::millis),
            dedup_key: request.dedup_key.as_deref(),
            dedup_window_seconds: request.dedup_window_seconds,
            idempotency: request.idempotency.map(|retry| (retry.key.0, retry.body_hash)),
            metadata: &request.metadata,
            source: request.source.index() as u8,
            accepted_at: request.accepted_at.millis(),
        }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    tenant: Text,
    user_id: Option<Text>,
    email: Option<Text>,
    phone: Option<Text>,
    push_token: Option<Text>,
    url: Option<Text>,
    content: ContentIn,
    data: Text,
    category: Option<Text>,
    priority: u8,
    channels: Vec<u8>,
    routing: u8,
    deliver_at: Option<u64>,
    expires_at: Option<u64>,
    dedup_key: Option<Text>,
    dedup_window_seconds: Option<u32>,
    idempotency: Option<(u128, u64)>,
    metadata: Text,
    source: u8,
    accepted_at: u64,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<domain::NotificationRequest, CodecError> {
        Ok(domain::NotificationRequest {
            campaign: None,
            tenant: self.tenant,
            user_id: self.user_id,
            to: Recipient {
                email: self.email,
                phone: self.phone,
                push_token: self.push_token,
                url: self.url,
                chat: None,
            },
            content: self.content.into(),
            data: self.data,
            category: self.category,
            locale: None,
            priority: Priority::from_index(usize::from(self.priority)).ok_or_else(|| damaged("priority"))?,
            channels: self.channels.into_iter().map(channel).collect::<Result<_, _>>()?,
            routing: routing(self.routing)?,
            deliver_at: self.deliver_at.map(Timestamp),
            local_time: None,
            expires_at: self.expires_at.map(Timestamp),
            dedup_key: self.dedup_key,
            dedup_window_seconds: self.dedup_window_seconds,
            aggregate: None,
            attachments: Vec::new(),
            collapse_key: None,
            idempotency: self.idempotency.map(|(key, body_hash)| Idempotency {
                key: ClaimKey(key),
                body_hash,
                batch: None,
            }),
            metadata: self.metadata,
            source: source(self.source)?,
            accepted_at: Timestamp(self.accepted_at),
        })
    }
}

#[derive(Decode)]
enum Reason {
    Duplicate(Place),
    Expired,
    Cancelled,
    NoAddress,
    NoProvider,
    DeliveredElsewhere,
}

impl Reason {
    fn into_domain(self) -> Result<SkipReason, CodecError> {
        Ok(match self {
            Self::Duplicate(of) => SkipReason::Duplicate { of: NotificationId(position(of)?) },
            Self::Expired => SkipReason::Expired,
            Self::Cancelled => SkipReason::Cancelled,
            Self::NoAddress => SkipReason::NoAddress,
            Self::NoProvider => SkipReason::NoProvider,
            Self::DeliveredElsewhere => SkipReason::DeliveredElsewhere,
        })
    }
}

#[derive(Decode)]
enum VerdictRow {
    Pass,
    Skip(Reason),
    Hold(u64),
}

#[derive(Decode)]
struct DecisionRow {
    step: u8,
    channel: Option<u8>,
    verdict: VerdictRow,
}

impl DecisionRow {
    fn into_domain(self) -> Result<Decision, CodecError> {
        let verdict = match self.verdict {
            VerdictRow::Pass => Verdict::Pass,
            VerdictRow::Skip(reason) => Verdict::Skip(reason.into_domain()?),
            VerdictRow::Hold(until) => Verdict::Hold { until: Timestamp(until) },
        };
        let step = Step::from_index(usize::from(self.step)).ok_or_else(|| damaged("step"))?;
        Ok(Decision { step, channel: self.channel.map(channel).transpose()?, verdict })
    }
}

#[derive(Decode)]
pub(super) enum AddressIn {
    Email(Text),
    Phone(Text),
    PushToken(Text),
    Url(Text),
    User(Text),
    Provider,
    Device(u8, Text),
    Chat(Text),
}

impl TryFrom<AddressIn> for Address {
    type Error = CodecError;

    fn try_from(address: AddressIn) -> Result<Self, CodecError> {
        Ok(match address {
            AddressIn::Email(text) => Self::Email(text),
            AddressIn::Phone(text) => Self::Phone(text),
            AddressIn::PushToken(text) => Self::PushToken(text),
            AddressIn::Url(text) => Self::Url(text),
            AddressIn::User(text) => Self::User(text),
            AddressIn::Provider => Self::Provider,
            AddressIn::Device(platform, text) => {
                let platform = Platform::from_index(usize::from(platform)).ok_or_else(|| damaged("platform"))?;
                Self::Device(platform, text)
            }
            AddressIn::Chat(text) => Self::Chat(text),
        })
    }
}

#[derive(Decode)]
pub(super) struct TaskIn {
    channel: u8,
    address: AddressIn,
    due: Option<u64>,
    endpoint: u32,
}

impl TaskIn {
    pub(super) fn into_domain(self) -> Result<TaskSpec, CodecError> {
        Ok(TaskSpec {
            channel: channel(self.channel)?,
            address: self.address.try_into()?,
            due: self.due.map(Timestamp),
            endpoint: self.endpoint,
        })
    }
}

#[derive(Decode)]
enum DispositionIn {
    Tasks(Vec<TaskIn>),
    Skipped(Reason),
}

#[derive(Decode)]
pub(super) struct Plan {
    tenant: Text,
    user_id: Option<Text>,
    category: Option<Text>,
    source: u8,
    routing: u8,
    accepted_at: u64,
    expires_at: Option<u64>,
    content: ContentIn,
    data: Text,
    metadata: Text,
    decisions: Vec<DecisionRow>,
    disposition: DispositionIn,
    claims: Vec<(u128, u64, u64)>,
}

impl Plan {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Plan, CodecError> {
        let disposition = match self.disposition {
            DispositionIn::Skipped(reason) => Disposition::Skipped(reason.into_domain()?),
            DispositionIn::Tasks(tasks) => {
                Disposition::Tasks(tasks.into_iter().map(TaskIn::into_domain).collect::<Result<_, _>>()?)
            }
        };
        let claim = |(key, expires_at, body_hash)| PlanClaim {
            key: ClaimKey(key),
            expires_at: Timestamp(expires_at),
            body_hash,
        };
        Ok(domain::Plan {
            position,
            tenant: self.tenant,
            user_id: self.user_id,
            category: self.category,
            source: source(self.source)?,
            routing: routing(self.routing)?,
            accepted_at: Timestamp(self.accepted_at),
            expires_at: self.expires_at.map(Timestamp),
            content: self.content.into(),
            data: self.data,
            metadata: self.metadata,
            decisions: self.decisions.into_iter().map(DecisionRow::into_domain).collect::<Result<_, _>>()?,
            disposition,
            claims: self.claims.into_iter().map(claim).collect(),
            group: None,
            presentation: domain::Presentation::default(),
            delivery: domain::Delivery::default(),
            campaign: None,
            personal: Default::default(),
        })
    }
}

#[derive(Encode)]
pub(super) struct EventOut<'a> {
    ordinal: u8,
    attempt: u8,
    kind: u8,
    at: u64,
    channel: Option<u8>,
    provider: Option<&'a str>,
    provider_message_id: Option<&'a str>,
    reason: Option<&'a str>,
    due: Option<u64>,
}

impl<'a> From<&'a domain::Event> for EventOut<'a> {
    fn from(event: &'a domain::Event) -> Self {
        Self {
            ordinal: event.task.ordinal,
            attempt: event.attempt,
            kind: event.kind as u8,
            at: event.at.millis(),
            channel: event.channel.map(|channel| channel.index() as u8),
            provider: event.provider.as_deref(),
            provider_message_id: event.provider_message_id.as_deref(),
            reason: event.reason.as_deref(),
            due: event.due.map(Timestamp::millis),
        }
    }
}

#[derive(Decode)]
pub(super) struct Event {
    ordinal: u8,
    attempt: u8,
    kind: u8,
    at: u64,
    channel: Option<u8>,
    provider: Option<Text>,
    provider_message_id: Option<Text>,
    reason: Option<Text>,
    due: Option<u64>,
}

impl Event {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Event, CodecError> {
        Ok(domain::Event {
            task: domain::TaskId { position, ordinal: self.ordinal },
            attempt: self.attempt,
            kind: EventKind::from_index(usize::from(self.kind)).ok_or_else(|| damaged("kind of event"))?,
            at: Timestamp(self.at),
            channel: self.channel.map(channel).transpose()?,
            provider: self.provider,
            provider_message_id: self.provider_message_id,
            reason: self.reason,
            due: self.due.map(Timestamp),
            occasion: 0,
            by_machine: false,
            cost: 0,
        })
    }
}

#[derive(Encode, Decode)]
pub(super) struct Claim {
    owner: Place,
    body_hash: u64,
    expires_at: u64,
}

impl From<&ClaimRow> for Claim {
    fn from(row: &ClaimRow) -> Self {
        Self { owner: place(row.owner), body_hash: row.body_hash, expires_at: row.expires_at.millis() }
    }
}

impl Claim {
    pub(super) fn into_domain(self, key: ClaimKey) -> Result<ClaimRow, CodecError> {
        let expires_at = Timestamp(self.expires_at);
        Ok(ClaimRow { key, owner: position(self.owner)?, body_hash: self.body_hash, expires_at })
    }
}

#[derive(Encode)]
enum CauseOut<'a> {
    Task { channel: u8, attempt: u8 },
    Record { body: &'a [u8] },
}

#[derive(Decode)]
enum CauseIn {
    Task { channel: u8, attempt: u8 },
    Record { body: Vec<u8> },
}

#[derive(Encode)]
pub(super) struct DeadLetterOut<'a> {
    reason: &'a str,
    cause: CauseOut<'a>,
}

#[derive(Decode)]
pub(super) struct DeadLetter {
    reason: Text,
    cause: CauseIn,
}

impl<'a> DeadLetterOut<'a> {
    pub(super) fn of_task(reason: &'a str, channel: Channel, attempt: u8) -> Self {
        Self { reason, cause: CauseOut::Task { channel: channel.index() as u8, attempt } }
    }

    pub(super) fn of_record(reason: &'a str, body: &'a [u8]) -> Self {
        Self { reason, cause: CauseOut::Record { body } }
    }
}

impl DeadLetter {
    pub(super) fn into_domain(self, key: DeadLetterKey) -> Result<store::DeadLetter, CodecError> {
        let cause = match self.cause {
            CauseIn::Task { channel: number, attempt } => DeadLetterCause::Task { channel: channel(number)?, attempt },
            CauseIn::Record { body } => DeadLetterCause::Record { body: body.into() },
        };
        Ok(store::DeadLetter { key, reason: self.reason, cause })
    }
}

#[derive(Encode, Decode)]
pub(super) struct Timer {
    channel: u8,
    endpoint: u32,
}

impl From<&TimerRow> for Timer {
    fn from(row: &TimerRow) -> Self {
        Self { channel: row.channel.index() as u8, endpoint: row.endpoint }
    }
}

impl Timer {
    pub(super) fn into_domain(self, key: TimerKey) -> Result<TimerRow, CodecError> {
        Ok(TimerRow { key, channel: channel(self.channel)?, endpoint: self.endpoint })
    }
}

/// How many columns there are of each source, and the counts.
#[derive(Encode, Decode)]
pub(super) struct Books {
    columns: u8,
    counts: Vec<i64>,
}

impl From<&store::Books> for Books {
    fn from(books: &store::Books) -> Self {
        Self { columns: BookColumn::COUNT as u8, counts: books.to_vec() }
    }
}

impl From<Books> for store::Books {
    fn from(books: Books) -> Self {
        Self::from_slice(usize::from(books.columns), &books.counts)
    }
}

#[derive(Encode, Decode)]
pub(super) struct Cursors {
    task_block: u64,
    timer_bucket: u64,
}

impl From<&store::Cursors> for Cursors {
    fn from(cursors: &store::Cursors) -> Self {
        Self { task_block: cursors.task_block, timer_bucket: cursors.timer_bucket }
    }
}

impl From<Cursors> for store::Cursors {
    fn from(cursors: Cursors) -> Self {
        Self { task_block: cursors.task_block, timer_bucket: cursors.timer_bucket }
    }
}
