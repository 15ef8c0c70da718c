//! Bytes to domain and back, for the log's records and the store's rows.
//!
//! Every value starts with a version byte; `v1` holds the shapes of version 1, frozen, and `v2`, `request_v3` and `plan_v2` those
//! that came later; `users_v1` is about people, `users_v2` where it is sealed, `received_v1` about what they got, `brakes_v1` about what was stopped by hand,
//! `groups_v1` about what is merged, `presentation_v1` about how a message reads,
//! `delivery_v1` about what goes along with it, `event_v2` about what happened to it, `campaign_v1` about campaigns, `template_v1` about changes of templates,
//! `definition_v1` about event types and rules, `schedule_v1` about runs of schedules, `subscription_v1` about who follows what,
//! `privacy_v1` about consent, audit and erasures, `topic_v1` about topics of programs, `inbox_v1` about what comes to users in the product,
//! `archive_v1` about what is archived, `sealed_v1` around what is sealed, `request_sealed_v1` around a sealed request, `plan_sealed_v1` about plans of
//! which a part is sealed, and `analytics_v1` about what is counted.
//! What a released binary wrote stays readable: a new shape gets a new version and a file of its
//! own, and the old file stays. Decoding takes untrusted bytes: it neither panics nor allocates more than [`LENGTH_MAX`].

mod analytics_v1;
mod archive_v1;
mod brakes_v1;
mod campaign_v1;
mod campaign_v2;
mod definition_v1;
mod delivery_v1;
mod event_v2;
mod groups_v1;
mod inbox_v1;
mod plan_sealed_v1;
mod plan_v2;
mod presentation_v1;
mod privacy_v1;
mod received_v1;
mod request_sealed_v1;
mod request_v3;
mod schedule_v1;
mod sealed_v1;
mod subscription_v1;
mod template_v1;
mod topic_v1;
mod users_v1;
mod users_v2;
mod v1;
mod v2;

#[cfg(test)]
pub(crate) mod tests;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};

pub use analytics_v1::{
    decode_block_summary, decode_rollup, decode_rollup_sheet, decode_rollup_state, decode_rollup_step,
    encode_block_summary, encode_rollup, encode_rollup_state, encode_rollup_step,
};
pub use archive_v1::{decode_archive_order, decode_archive_piece, encode_archive_order, encode_archive_piece};
pub use campaign_v1::{
    ListMemberOwner, decode_campaign, decode_campaign_command, decode_campaign_progress, decode_chunk,
    decode_chunk_result, decode_list_head, decode_list_member, decode_list_member_owner, decode_missed,
    encode_campaign, encode_campaign_command, encode_campaign_progress, encode_chunk, encode_chunk_result,
    encode_list_head, encode_list_member, encode_missed,
};
pub use inbox_v1::{decode_inbox_entry, decode_inbox_word, encode_inbox_entry, encode_inbox_word};
pub use plan_sealed_v1::{encode_personal, encode_sealed_plan, restore_personal};
pub use privacy_v1::{decode_audit, decode_consent, decode_erasure, encode_audit, encode_consent, encode_erasure};
pub use received_v1::{decode_received, encode_received};
pub use request_sealed_v1::{decode_request_head, encode_request_head};
pub use sealed_v1::{
    decode_sealed, decode_secret_file, decode_secret_slots, encode_sealed_owner, encode_secret_file,
    encode_secret_slots,
};

use crate::domain::{
    Brake, BrakeEffect, BrakeScope, CampaignId, Definition, DefinitionKind, Event, NotificationRequest, Personal, Plan,
    Position, ScheduleRun, Subscription, Suppression, TemplateChange, TemplateSource, Timestamp, Topic, TopicGroup,
    TopicMessage, UserEntry,
};
use crate::store::{
    Books, ClaimRow, Counted, Cursors, DeadLetter, DeadLetterCause, DeadLetterKey, GroupEntry, TimerKey, TimerRow,
};

use plan_sealed_v1::PLAN_SEALED;

/// The most one value may make the decoder allocate.
const LENGTH_MAX: usize = 16 << 20;
const VERSION: u8 = 1;
/// The version of requests that carry the key of their batch.
const REQUEST_OF_BATCH: u8 = 2;
/// The version of requests for a local time.
const REQUEST_FOR_LOCAL_TIME: u8 = 3;
/// The version of requests that are merged with others.
const REQUEST_IN_GROUP: u8 = 4;
/// The version of requests with attachments, a chat or a key that collapses.
const REQUEST_WITH_DELIVERY: u8 = 6;
/// The version of requests that say in which language.
const REQUEST_IN_LOCALE: u8 = 5;
/// The version of how far a campaign is that was paused.
const PROGRESS_WITH_PAUSES: u8 = 2;
/// The version of what belongs to a campaign: its 16 bytes, and then what it is without it, in the version of that.
const REQUEST_OF_CAMPAIGN: u8 = 7;
const PLAN_OF_CAMPAIGN: u8 = 6;
/// The version of requests whose contents are sealed.
const REQUEST_SEALED: u8 = 8;
/// The version of plans with attachments or a key that collapses.
const PLAN_WITH_DELIVERY: u8 = 5;
/// The version of plans that do not read as usual.
const PLAN_WITH_PRESENTATION: u8 = 4;
/// The version of plans that belong to a group.
const PLAN_IN_GROUP: u8 = 3;
/// The version of plans whose decisions and reasons are numbers; all without a group are written so.
const PLAN_IN_NUMBERS: u8 = 2;
/// The version of events that say which of several times they are, who did it, or what it cost.
const EVENT_WITH_OCCASION: u8 = 2;
/// The version of dead letters about records of other programs.
const FOREIGN_LETTER: u8 = 2;
/// The version of what is known of users and addresses where it is sealed.
const SEALED_PERSON: u8 = 2;
/// The version of books that say which rows they have.
const COUNTED_BOOKS: u8 = 2;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<LENGTH_MAX>> =
    bincode::config::standard().with_limit::<LENGTH_MAX>();

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    #[error("it is empty")]
    Empty,
    #[error("its version {0} is not known to this binary: it was written by a newer one, or is damaged")]
    UnknownVersion(u8),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// A record of the log.
pub fn encode_request(request: &NotificationRequest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + request.data.len() + request.metadata.len());
    append_request(request, &mut bytes);
    bytes
}

/// The same behind what is there already.
pub fn append_request(request: &NotificationRequest, bytes: &mut Vec<u8>) {
    if let Some(campaign) = request.campaign {
        bytes.push(REQUEST_OF_CAMPAIGN);
        bytes.extend(campaign.0.to_be_bytes());
    }
    if request.to.chat.is_some() || !request.attachments.is_empty() || request.collapse_key.is_some() {
        return encode_as(REQUEST_WITH_DELIVERY, &delivery_v1::RequestOut::from(request), bytes);
    }
    if let Some(locale) = &request.locale {
        return encode_as(REQUEST_IN_LOCALE, &presentation_v1::RequestOut::new(request, locale), bytes);
    }
    if let Some(aggregate) = &request.aggregate {
        return encode_as(REQUEST_IN_GROUP, &groups_v1::RequestOut::new(request, aggregate), bytes);
    }
    match (request.local_time, request.idempotency.and_then(|retry| retry.batch)) {
        (None, None) => encode(&v1::RequestOut::from(request), bytes),
        (None, Some(batch)) => encode_as(REQUEST_OF_BATCH, &v2::RequestOut::new(request, batch), bytes),
        (Some(time), _) => encode_as(REQUEST_FOR_LOCAL_TIME, &request_v3::RequestOut::new(request, time), bytes),
    }
}

/// Reads what [`encode_request`] wrote.
pub fn decode_request(bytes: &[u8]) -> Result<NotificationRequest, CodecError> {
    let (campaign, bytes) = of_campaign(REQUEST_OF_CAMPAIGN, bytes)?;
    let request = decode_lone_request(bytes)?;
    Ok(NotificationRequest { campaign, ..request })
}

fn decode_lone_request(bytes: &[u8]) -> Result<NotificationRequest, CodecError> {
    match bytes.first() {
        Some(&REQUEST_WITH_DELIVERY) => decode_as::<delivery_v1::Request>(REQUEST_WITH_DELIVERY, bytes)?.into_domain(),
        Some(&REQUEST_IN_LOCALE) => decode_as::<presentation_v1::Request>(REQUEST_IN_LOCALE, bytes)?.into_domain(),
        Some(&REQUEST_IN_GROUP) => decode_as::<groups_v1::Request>(REQUEST_IN_GROUP, bytes)?.into_domain(),
        Some(&REQUEST_FOR_LOCAL_TIME) => decode_as::<request_v3::Request>(REQUEST_FOR_LOCAL_TIME, bytes)?.into_domain(),
        Some(&REQUEST_OF_BATCH) => decode_as::<v2::Request>(REQUEST_OF_BATCH, bytes)?.into_domain(),
        _ => decode::<v1::Request>(bytes)?.into_domain(),
    }
}

/// Appends a plan; its position is the row's key and not in the bytes.
pub fn encode_plan(plan: &Plan, bytes: &mut Vec<u8>) {
    match &plan.personal {
        Personal::Here { .. } => {}
        Personal::Erased => return encode_sealed_plan(plan, None, bytes),
        Personal::Sealed(part) => {
            encode_sealed_plan(plan, Some(&part.owner), bytes);
            bytes.extend_from_slice(&part.bytes);
            return;
        }
    }
    encode_plan_campaign(plan, bytes);
    match &plan.group {
        _ if !plan.delivery.is_usual() => encode_as(PLAN_WITH_DELIVERY, &delivery_v1::PlanOut::from(plan), bytes),
        _ if !plan.presentation.is_usual() => {
            encode_as(PLAN_WITH_PRESENTATION, &presentation_v1::PlanOut::from(plan), bytes);
        }
        Some(group) => encode_as(PLAN_IN_GROUP, &groups_v1::PlanOut::new(plan, group), bytes),
        None => encode_as(PLAN_IN_NUMBERS, &plan_v2::PlanOut::from(plan), bytes),
    }
}

fn encode_plan_campaign(plan: &Plan, bytes: &mut Vec<u8>) {
    if let Some(campaign) = plan.campaign {
        bytes.push(PLAN_OF_CAMPAIGN);
        bytes.extend(campaign.0.to_be_bytes());
    }
}

/// Reads what [`encode_plan`] wrote at `position`, or [`encode_sealed_plan`] with what follows it.
pub fn decode_plan(position: Position, bytes: &[u8]) -> Result<Plan, CodecError> {
    match bytes.split_first() {
        Some((&PLAN_SEALED, rest)) => plan_sealed_v1::decode_sealed_plan(position, rest),
        _ => decode_open_plan(position, bytes),
    }
}

fn decode_open_plan(position: Position, bytes: &[u8]) -> Result<Plan, CodecError> {
    let (campaign, bytes) = of_campaign(PLAN_OF_CAMPAIGN, bytes)?;
    let plan = decode_lone_plan(position, bytes)?;
    Ok(Plan { campaign, ..plan })
}

fn decode_lone_plan(position: Position, bytes: &[u8]) -> Result<Plan, CodecError> {
    match bytes.first() {
        Some(&PLAN_WITH_DELIVERY) => decode_as::<delivery_v1::Plan>(PLAN_WITH_DELIVERY, bytes)?.into_domain(position),
        Some(&PLAN_WITH_PRESENTATION) => {
            decode_as::<presentation_v1::Plan>(PLAN_WITH_PRESENTATION, bytes)?.into_domain(position)
        }
        Some(&PLAN_IN_GROUP) => decode_as::<groups_v1::Plan>(PLAN_IN_GROUP, bytes)?.into_domain(position),
        Some(&PLAN_IN_NUMBERS) => decode_as::<plan_v2::Plan>(PLAN_IN_NUMBERS, bytes)?.into_domain(position),
        _ => decode::<v1::Plan>(bytes)?.into_domain(position),
    }
}

/// The campaign that something belongs to, and the rest of its bytes.
fn of_campaign(version: u8, bytes: &[u8]) -> Result<(Option<CampaignId>, &[u8]), CodecError> {
    let Some((first, rest)) = bytes.split_first().filter(|(first, _)| **first == version) else {
        return Ok((None, bytes));
    };
    let cut = rest.split_first_chunk::<16>().filter(|(_, rest)| rest.first() != Some(first));
    let (campaign, rest) = cut.ok_or_else(|| CodecError::Damaged("its campaign".to_owned()))?;
    Ok((Some(CampaignId(u128::from_be_bytes(*campaign))), rest))
}

/// Appends an event; its position is the row's key and not in the bytes.
pub fn encode_event(event: &Event, bytes: &mut Vec<u8>) {
    match event_v2::EventOut::new(event) {
        Some(event) => encode_as(EVENT_WITH_OCCASION, &event, bytes),
        None => encode(&v1::EventOut::from(event), bytes),
    }
}

/// Reads what [`encode_event`] wrote at `position`.
pub fn decode_event(position: Position, bytes: &[u8]) -> Result<Event, CodecError> {
    match bytes.first() {
        Some(&EVENT_WITH_OCCASION) => decode_as::<event_v2::Event>(EVENT_WITH_OCCASION, bytes)?.into_domain(position),
        _ => decode::<v1::Event>(bytes)?.into_domain(position),
    }
}

/// A claim; its key is the row's key and not in the bytes.
pub fn encode_claim(row: &ClaimRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    encode(&v1::Claim::from(row), &mut bytes);
    bytes
}

/// Reads what [`encode_claim`] wrote under `key`.
pub fn decode_claim(key: crate::domain::ClaimKey, bytes: &[u8]) -> Result<ClaimRow, CodecError> {
    decode::<v1::Claim>(bytes)?.into_domain(key)
}

/// A dead letter; its key is the row's key and not in the bytes.
pub fn encode_dead_letter(letter: &DeadLetter) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reason = &letter.reason;
    match &letter.cause {
        DeadLetterCause::Task { channel, attempt } => {
            encode(&v1::DeadLetterOut::of_task(reason, *channel, *attempt), &mut bytes);
        }
        DeadLetterCause::Record { body } => encode(&v1::DeadLetterOut::of_record(reason, body), &mut bytes),
        DeadLetterCause::Foreign(foreign) => {
            encode_as(FOREIGN_LETTER, &v2::ForeignOut::new(reason, foreign), &mut bytes);
        }
    }
    bytes
}

/// Reads what [`encode_dead_letter`] wrote under `key`.
pub fn decode_dead_letter(key: DeadLetterKey, bytes: &[u8]) -> Result<DeadLetter, CodecError> {
    match bytes.first() {
        Some(&FOREIGN_LETTER) => Ok(decode_as::<v2::Foreign>(FOREIGN_LETTER, bytes)?.into_domain(key)),
        _ => decode::<v1::DeadLetter>(bytes)?.into_domain(key),
    }
}

/// A timer; its key is the row's key and not in the bytes.
pub fn encode_timer(row: &TimerRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8);
    encode(&v1::Timer::from(row), &mut bytes);
    bytes
}

/// Reads what [`encode_timer`] wrote under `key`.
pub fn decode_timer(key: TimerKey, bytes: &[u8]) -> Result<TimerRow, CodecError> {
    decode::<v1::Timer>(bytes)?.into_domain(key)
}

/// The books of a shard.
pub fn encode_books(books: &Books) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(80);
    encode(&v1::Books::from(books), &mut bytes);
    bytes
}

/// Reads what [`encode_books`] wrote.
pub fn decode_books(bytes: &[u8]) -> Result<Books, CodecError> {
    Ok(decode::<v1::Books>(bytes)?.into())
}

/// The books of a shard, and which rows they have.
pub fn encode_counted_books(books: &Books, counted: &Counted) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(100);
    encode_as(COUNTED_BOOKS, &v2::CountedBooks::new(books, counted), &mut bytes);
    bytes
}

/// Reads what [`encode_counted_books`] or [`encode_books`] wrote; of the latter nothing is known.
pub fn decode_counted_books(bytes: &[u8]) -> Result<(Books, Option<Counted>), CodecError> {
    match bytes.first() {
        Some(&COUNTED_BOOKS) => {
            let (books, counted) = decode_as::<v2::CountedBooks>(COUNTED_BOOKS, bytes)?.into_store();
            Ok((books, Some(counted)))
        }
        _ => Ok((decode_books(bytes)?, None)),
    }
}

/// The cursors of a shard.
pub fn encode_cursors(cursors: &Cursors) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20);
    encode(&v1::Cursors::from(cursors), &mut bytes);
    bytes
}

/// Reads what [`encode_cursors`] wrote.
pub fn decode_cursors(bytes: &[u8]) -> Result<Cursors, CodecError> {
    Ok(decode::<v1::Cursors>(bytes)?.into())
}

/// One thing that is known of a user; whose it is is the row's key and not in the bytes.
pub fn encode_user_entry(entry: &UserEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    match users_v1::EntryOut::new(entry) {
        Ok(entry) => encode(&entry, &mut bytes),
        Err(sealed) => encode_as(SEALED_PERSON, &users_v2::EntryOut::from(sealed), &mut bytes),
    }
    bytes
}

/// Reads what [`encode_user_entry`] wrote.
pub fn decode_user_entry(bytes: &[u8]) -> Result<UserEntry, CodecError> {
    match bytes.first() {
        Some(&SEALED_PERSON) => {
            Ok(UserEntry::Sealed(decode_as::<users_v2::Entry>(SEALED_PERSON, bytes)?.into_domain()))
        }
        _ => decode::<users_v1::Entry>(bytes)?.into_domain(),
    }
}

/// A suppression, or `None` where it was lifted; the address is the row's key and not in the bytes.
pub fn encode_suppression(suppression: Option<&Suppression>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    let sealed = suppression.and_then(|one| Some((one, one.sealed_address.as_deref()?)));
    match sealed {
        Some((suppression, address)) => {
            encode_as(SEALED_PERSON, &users_v2::SuppressionOut::new(suppression, address), &mut bytes);
        }
        None => encode(&users_v1::SuppressionOut::from(suppression), &mut bytes),
    }
    bytes
}

/// Reads what [`encode_suppression`] wrote.
pub fn decode_suppression(bytes: &[u8]) -> Result<Option<Suppression>, CodecError> {
    match bytes.first() {
        Some(&SEALED_PERSON) => decode_as::<users_v2::Suppression>(SEALED_PERSON, bytes)?.into_domain().map(Some),
        _ => decode::<users_v1::Suppression>(bytes)?.into_domain(),
    }
}

/// A brake; its scope and its effect are the row's key and not in the bytes.
pub fn encode_brake(brake: &Brake) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    let Brake { is_on, at, reason, .. } = brake;
    encode(&brakes_v1::BrakeOut { is_on: *is_on, at: at.millis(), reason: reason.as_deref() }, &mut bytes);
    bytes
}

/// Reads what [`encode_brake`] wrote.
pub fn decode_brake(scope: BrakeScope, effect: BrakeEffect, bytes: &[u8]) -> Result<Brake, CodecError> {
    let brakes_v1::Brake { is_on, at, reason } = decode(bytes)?;
    Ok(Brake { scope, effect, is_on, at: Timestamp(at), reason })
}

/// What stands under a leader; which one is the row's key and not in the bytes.
pub fn encode_group_entry(entry: &GroupEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    match entry {
        GroupEntry::Sealed(entry) => plan_sealed_v1::encode_sealed_entry(entry, &mut bytes),
        entry => encode_lone_group_entry(entry, &mut bytes),
    }
    bytes
}

fn encode_lone_group_entry(entry: &GroupEntry, bytes: &mut Vec<u8>) {
    encode(&groups_v1::EntryOut::from(entry), bytes);
}

/// Reads what [`encode_group_entry`] wrote.
pub fn decode_group_entry(bytes: &[u8]) -> Result<GroupEntry, CodecError> {
    match plan_sealed_v1::decode_sealed_entry(bytes)? {
        Some(entry) => Ok(entry),
        None => decode_lone_group_entry(bytes),
    }
}

fn decode_lone_group_entry(bytes: &[u8]) -> Result<GroupEntry, CodecError> {
    Ok(decode::<groups_v1::Entry>(bytes)?.into())
}

/// A change of a template; its number is the row's key and not in the bytes.
pub fn encode_template_change(change: &TemplateChange) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    encode(&template_v1::ChangeOut::from(change), &mut bytes);
    bytes
}

/// Reads what [`encode_template_change`] wrote.
pub fn decode_template_change(number: u64, bytes: &[u8]) -> Result<TemplateChange, CodecError> {
    Ok(decode::<template_v1::Change>(bytes)?.into_domain(number))
}

/// A template as its author wrote it. JSON after the version: it has the names of the API, may gain fields, and what has fields that
/// this binary does not know is refused as damaged.
pub fn encode_template(source: &TemplateSource) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, source).expect("a vector takes all bytes, and all keys of a template are texts");
    bytes
}

/// Reads what [`encode_template`] wrote.
pub fn decode_template(bytes: &[u8]) -> Result<TemplateSource, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| CodecError::Damaged(error.to_string())),
        Some((version, _)) => Err(CodecError::UnknownVersion(*version)),
    }
}

/// A run of a schedule.
pub fn encode_schedule_run(run: &ScheduleRun) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + 17 * run.campaigns.len());
    encode(&schedule_v1::Run::of(run), &mut bytes);
    bytes
}

/// Reads what [`encode_schedule_run`] wrote.
pub fn decode_schedule_run(bytes: &[u8]) -> Result<ScheduleRun, CodecError> {
    decode::<schedule_v1::Run>(bytes)?.into_domain()
}

/// An event type or a rule; kind, name and version stand beside it in the row and not in the bytes.
pub fn encode_definition(definition: &Definition) -> Vec<u8> {
    let Definition { body, changed_at, .. } = definition;
    let mut bytes = Vec::with_capacity(16 + body.as_ref().map_or(0, |body| body.len()));
    let out = definition_v1::DefinitionOut { body: body.as_deref(), changed_at: changed_at.millis() };
    encode(&out, &mut bytes);
    bytes
}

/// Reads what [`encode_definition`] wrote.
pub fn decode_definition(
    kind: DefinitionKind,
    name: &str,
    version: u64,
    bytes: &[u8],
) -> Result<Definition, CodecError> {
    let definition_v1::Definition { body, changed_at } = decode(bytes)?;
    Ok(Definition { kind, name: name.into(), version, body, changed_at: Timestamp(changed_at) })
}

/// Who follows a subject, and how; both stand beside it in the row and not in the bytes.
pub fn encode_subscription(subscription: &Subscription) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    encode(&subscription_v1::SubscriptionRow::from(subscription), &mut bytes);
    bytes
}

/// Reads what [`encode_subscription`] wrote.
pub fn decode_subscription(bytes: &[u8]) -> Result<Subscription, CodecError> {
    decode::<subscription_v1::SubscriptionRow>(bytes)?.into_domain()
}

/// What an index holds of a user besides the name of the row: the JSON text of the value, or nothing.
pub fn encode_index_entry(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + value.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// Reads what [`encode_index_entry`] wrote.
pub fn decode_index_entry(bytes: &[u8]) -> Result<&str, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, value)) => std::str::from_utf8(value).map_err(|error| CodecError::Damaged(error.to_string())),
        Some((version, _)) => Err(CodecError::UnknownVersion(*version)),
    }
}

/// A topic; its name is the row's.
pub fn encode_topic(topic: &Topic) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48);
    encode(&topic_v1::Topic::from(topic), &mut bytes);
    bytes
}

/// Reads what [`encode_topic`] wrote.
pub fn decode_topic(bytes: &[u8]) -> Result<Topic, CodecError> {
    Ok(decode::<topic_v1::Topic>(bytes)?.into_domain())
}

/// A message of a topic; its number is the row's name.
pub fn encode_topic_message(message: &TopicMessage) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + message.data.len());
    encode(&topic_v1::MessageOut::from(message), &mut bytes);
    bytes
}

/// Reads what [`encode_topic_message`] wrote.
pub fn decode_topic_message(bytes: &[u8]) -> Result<TopicMessage, CodecError> {
    Ok(decode::<topic_v1::Message>(bytes)?.into_domain())
}

/// How far a group of a topic is; its name is the row's.
pub fn encode_topic_group(group: &TopicGroup) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + 4 * group.pending.len());
    encode(&topic_v1::GroupOut::from(group), &mut bytes);
    bytes
}

/// Reads what [`encode_topic_group`] wrote.
pub fn decode_topic_group(bytes: &[u8]) -> Result<TopicGroup, CodecError> {
    Ok(decode::<topic_v1::Group>(bytes)?.into_domain())
}

/// A number that is kept: an offset, a count.
pub fn encode_mark(mark: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    encode(&mark, &mut bytes);
    bytes
}

/// Reads what [`encode_mark`] wrote.
pub fn decode_mark(bytes: &[u8]) -> Result<u64, CodecError> {
    decode(bytes)
}

fn encode<T: Encode>(value: &T, bytes: &mut Vec<u8>) {
    encode_as(VERSION, value, bytes);
}

fn encode_as<T: Encode>(version: u8, value: &T, bytes: &mut Vec<u8>) {
    bytes.push(version);
    let written = bincode::encode_into_std_write(value, bytes, CONFIGURATION);
    written.expect("a vector takes all bytes, and no field here can fail to encode");
}

fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_as(VERSION, bytes)
}

fn decode_as<T: Decode<()>>(expected: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let (version, rest) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != expected {
        return Err(CodecError::UnknownVersion(*version));
    }
    let (value, used) = decode_prefix::<T>(rest)?;
    if used != rest.len() {
        return Err(CodecError::Damaged(format!("{} bytes follow its end", rest.len() - used)));
    }
    Ok(value)
}

/// A value at the beginning of some bytes, and how many it took.
fn decode_prefix<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    let decoded = bincode::decode_from_slice::<T, _>(bytes, CONFIGURATION);
    decoded.map_err(|error| CodecError::Damaged(error.to_string()))
}
