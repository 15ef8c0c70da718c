//! Version 1 of the rows of campaigns, frozen: never edit a field here, make a `campaign_v2.rs`. The id of a campaign and the number of a
//! chunk are the row's key.

use std::time::Duration;

use bincode::{Decode, Encode};

use super::{
    CodecError, PROGRESS_WITH_PAUSES, VERSION, campaign_v2, decode, decode_as, decode_request, encode, encode_as,
    encode_request,
};
use crate::domain::{
    self, Audience, Campaign, CampaignCommand, CampaignId, CampaignKind, CampaignProgress, CampaignStatus, Canary,
    ChunkResult, Missed, NotificationId, Position, ShardId, Timestamp,
};

type Text = Box<str>;

fn damaged(what: &str) -> CodecError {
    CodecError::Damaged(what.to_owned())
}

#[derive(Encode, Decode)]
enum AudienceRow {
    List(Text),
    Subject(Text),
    Segment(Text),
    /// Attribute, day, first part, end part, condition.
    Day(Text, i32, u16, u16, Option<Text>),
}

/// Share, seconds, bounces, complaints.
type CanaryRow = (f64, u32, f64, f64);

#[derive(Encode, Decode)]
pub(super) struct CampaignRow {
    tenant: Text,
    kind: u8,
    name: Option<Text>,
    made_at: u64,
    starts_at: u64,
    message: Vec<u8>,
    audience: AudienceRow,
    is_counted: bool,
    ceiling: Option<u64>,
    rate_per_second: Option<u32>,
    canary: Option<CanaryRow>,
    made_by: Option<Text>,
    body_hash: u64,
}

impl From<&domain::Campaign> for CampaignRow {
    fn from(campaign: &domain::Campaign) -> Self {
        let audience = match &campaign.audience {
            Audience::List { list } => AudienceRow::List(list.clone()),
            Audience::Subject { subject } => AudienceRow::Subject(subject.clone()),
            Audience::Segment { condition } => AudienceRow::Segment(condition.clone()),
            Audience::Day { attribute, day, first_part, end_part, condition } => {
                AudienceRow::Day(attribute.clone(), *day, *first_part, *end_part, condition.clone())
            }
        };
        let canary = campaign.canary.map(|canary| {
            let Canary { share, wait_seconds, bounces_max, complaints_max } = canary;
            (share, wait_seconds, bounces_max, complaints_max)
        });
        Self {
            tenant: campaign.tenant.clone(),
            kind: campaign.kind as u8,
            name: campaign.name.clone(),
            made_at: campaign.made_at.millis(),
            starts_at: campaign.starts_at.millis(),
            message: encode_request(&campaign.message),
            audience,
            is_counted: campaign.is_counted,
            ceiling: campaign.ceiling,
            rate_per_second: campaign.rate_per_second,
            canary,
            made_by: campaign.made_by.clone(),
            body_hash: campaign.body_hash,
        }
    }
}

impl CampaignRow {
    pub(super) fn into_domain(self, id: CampaignId) -> Result<domain::Campaign, CodecError> {
        let audience = match self.audience {
            AudienceRow::List(list) => Audience::List { list },
            AudienceRow::Subject(subject) => Audience::Subject { subject },
            AudienceRow::Segment(condition) => Audience::Segment { condition },
            AudienceRow::Day(attribute, day, first_part, end_part, condition) => {
                Audience::Day { attribute, day, first_part, end_part, condition }
            }
        };
        let canary = self.canary.map(|(share, wait_seconds, bounces_max, complaints_max)| Canary {
            share,
            wait_seconds,
            bounces_max,
            complaints_max,
        });
        Ok(domain::Campaign {
            id,
            tenant: self.tenant,
            kind: CampaignKind::from_index(usize::from(self.kind)).ok_or_else(|| damaged("kind of a campaign"))?,
            name: self.name,
            made_at: Timestamp(self.made_at),
            starts_at: Timestamp(self.starts_at),
            message: decode_request(&self.message)?,
            audience,
            is_counted: self.is_counted,
            ceiling: self.ceiling,
            rate_per_second: self.rate_per_second,
            canary,
            made_by: self.made_by,
            body_hash: self.body_hash,
        })
    }
}

#[derive(Encode, Decode)]
pub(super) struct ProgressRow {
    status: u8,
    reason: Option<Text>,
    total: Option<u64>,
    counted: u64,
    handed_on: u64,
    succeeded: u64,
    failed: u64,
    skipped: Vec<(Text, u64)>,
    rows_read: u64,
    cursor: Vec<u8>,
    chunks: u32,
    started_at: Option<u64>,
    ended_at: Option<u64>,
    written_at: u64,
}

impl From<&CampaignProgress> for ProgressRow {
    fn from(progress: &CampaignProgress) -> Self {
        Self {
            status: progress.status as u8,
            reason: progress.reason.clone(),
            total: progress.total,
            counted: progress.counted,
            handed_on: progress.handed_on,
            succeeded: progress.succeeded,
            failed: progress.failed,
            skipped: progress.skipped.clone(),
            rows_read: progress.rows_read,
            cursor: progress.cursor.to_vec(),
            chunks: progress.chunks,
            started_at: progress.started_at.map(Timestamp::millis),
            ended_at: progress.ended_at.map(Timestamp::millis),
            written_at: progress.written_at.millis(),
        }
    }
}

impl ProgressRow {
    pub(super) fn into_domain(self) -> Result<CampaignProgress, CodecError> {
        let status = CampaignStatus::from_index(usize::from(self.status));
        Ok(CampaignProgress {
            status: status.ok_or_else(|| damaged("status of a campaign"))?,
            reason: self.reason,
            total: self.total,
            counted: self.counted,
            handed_on: self.handed_on,
            succeeded: self.succeeded,
            failed: self.failed,
            skipped: self.skipped,
            rows_read: self.rows_read,
            cursor: self.cursor.into(),
            chunks: self.chunks,
            started_at: self.started_at.map(Timestamp),
            ended_at: self.ended_at.map(Timestamp),
            written_at: Timestamp(self.written_at),
            paused_at: None,
            paused: Duration::ZERO,
        })
    }
}

/// Each member of a chunk by its name, with the shard and the offset of its notification.
#[derive(Encode, Decode)]
pub(super) struct ChunkRow {
    members: Vec<(Text, u32, u64)>,
}

impl ChunkRow {
    pub(super) fn new(members: &[(Text, NotificationId)]) -> Self {
        let row = |(name, id): &(Text, NotificationId)| (name.clone(), id.0.shard.to_u32(), id.0.offset);
        Self { members: members.iter().map(row).collect() }
    }

    pub(super) fn into_domain(self) -> Result<Vec<(Text, NotificationId)>, CodecError> {
        let members = self.members.into_iter().map(|(name, shard, offset)| {
            let shard = ShardId::from_u32(shard).ok_or_else(|| damaged("shard of a member"))?;
            Ok((name, NotificationId(Position::new(shard, offset))))
        });
        members.collect()
    }
}

/// What became of a chunk whose messages are over: succeeded, failed, skipped by reason.
#[derive(Encode, Decode)]
pub(super) struct ResultRow {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) skipped: Vec<(Text, u64)>,
}

/// Who of a chunk got nothing: the member, its notification as text (empty: there is none), the state and the reason.
#[derive(Encode, Decode)]
pub(super) struct MissedRow {
    pub(super) members: Vec<(Text, Text, Text, Text)>,
}

/// A command, and when it was given.
#[derive(Encode, Decode)]
pub(super) struct CommandRow {
    pub(super) command: u8,
    pub(super) at: u64,
}

/// What was asked for of a campaign; its id is the row's key and not in the bytes.
pub fn encode_campaign(campaign: &Campaign) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    encode(&CampaignRow::from(campaign), &mut bytes);
    bytes
}

/// Reads what [`encode_campaign`] wrote.
pub fn decode_campaign(id: CampaignId, bytes: &[u8]) -> Result<Campaign, CodecError> {
    decode::<CampaignRow>(bytes)?.into_domain(id)
}

/// How far a campaign is.
pub fn encode_campaign_progress(progress: &CampaignProgress) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(112);
    match progress.paused_at.is_some() || !progress.paused.is_zero() {
        true => encode_as(PROGRESS_WITH_PAUSES, &campaign_v2::ProgressRow::from(progress), &mut bytes),
        false => encode(&ProgressRow::from(progress), &mut bytes),
    }
    bytes
}

/// Reads what [`encode_campaign_progress`] wrote.
pub fn decode_campaign_progress(bytes: &[u8]) -> Result<CampaignProgress, CodecError> {
    match bytes.first() {
        Some(&PROGRESS_WITH_PAUSES) => {
            decode_as::<campaign_v2::ProgressRow>(PROGRESS_WITH_PAUSES, bytes)?.into_domain()
        }
        _ => decode::<ProgressRow>(bytes)?.into_domain(),
    }
}

/// What somebody wants of a campaign, and when they said so.
pub fn encode_campaign_command(command: CampaignCommand, at: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    encode(&CommandRow { command: command as u8, at: at.millis() }, &mut bytes);
    bytes
}

/// Reads what [`encode_campaign_command`] wrote.
pub fn decode_campaign_command(bytes: &[u8]) -> Result<(CampaignCommand, Timestamp), CodecError> {
    let CommandRow { command, at } = decode(bytes)?;
    let command = CampaignCommand::from_index(usize::from(command));
    Ok((command.ok_or_else(|| damaged("command"))?, Timestamp(at)))
}

/// The members of a chunk of a campaign, each with its notification.
pub fn encode_chunk(members: &[(Box<str>, NotificationId)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(members.len() * 24);
    encode(&ChunkRow::new(members), &mut bytes);
    bytes
}

/// Reads what [`encode_chunk`] wrote.
pub fn decode_chunk(bytes: &[u8]) -> Result<Vec<(Box<str>, NotificationId)>, CodecError> {
    decode::<ChunkRow>(bytes)?.into_domain()
}

/// What became of a chunk of a campaign.
pub fn encode_chunk_result(result: &ChunkResult) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    let ChunkResult { succeeded, failed, skipped } = result;
    let row = ResultRow { succeeded: *succeeded, failed: *failed, skipped: skipped.clone() };
    encode(&row, &mut bytes);
    bytes
}

/// Reads what [`encode_chunk_result`] wrote.
pub fn decode_chunk_result(bytes: &[u8]) -> Result<ChunkResult, CodecError> {
    let ResultRow { succeeded, failed, skipped } = decode(bytes)?;
    Ok(ChunkResult { succeeded, failed, skipped })
}

/// Who of a chunk got nothing.
pub fn encode_missed(missed: &[Missed]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(missed.len() * 64);
    let row = |one: &Missed| (one.member.clone(), one.notification.clone(), one.status.clone(), one.reason.clone());
    encode(&MissedRow { members: missed.iter().map(row).collect() }, &mut bytes);
    bytes
}

/// Reads what [`encode_missed`] wrote.
pub fn decode_missed(bytes: &[u8]) -> Result<Vec<Missed>, CodecError> {
    let MissedRow { members } = decode(bytes)?;
    let missed = |(member, notification, status, reason)| Missed { member, notification, status, reason };
    Ok(members.into_iter().map(missed).collect())
}

/// A member of a list, as JSON after the version: it has the names of the API.
pub fn encode_list_member(json: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + json.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// Reads what [`encode_list_member`] wrote.
pub fn decode_list_member(bytes: &[u8]) -> Result<&str, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, json)) => std::str::from_utf8(json).map_err(|error| CodecError::Damaged(error.to_string())),
        Some((version, _)) => Err(CodecError::UnknownVersion(*version)),
    }
}

/// What tells whose a member of a list is.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
pub struct ListMemberOwner {
    /// `None`: written before rows said it.
    #[serde(default)]
    pub tenant: Option<Text>,
    #[serde(default)]
    pub user_id: Option<Text>,
    #[serde(default)]
    pub email: Option<Text>,
    #[serde(default)]
    pub phone: Option<Text>,
}

/// Reads of what [`encode_list_member`] wrote whose it is.
pub fn decode_list_member_owner(bytes: &[u8]) -> Result<ListMemberOwner, CodecError> {
    serde_json::from_str(decode_list_member(bytes)?).map_err(|error| damaged(&error.to_string()))
}

/// What is known of a list as a whole, as JSON after the version.
pub fn encode_list_head(json: &str) -> Vec<u8> {
    encode_list_member(json)
}

/// Reads what [`encode_list_head`] wrote.
pub fn decode_list_head(bytes: &[u8]) -> Result<&str, CodecError> {
    decode_list_member(bytes)
}
