//! Where the rows of campaigns are. Pure.

use bytes::Bytes;

use crate::codec;
use crate::domain::{
    Campaign, CampaignCommand, CampaignId, CampaignKind, CampaignProgress, ChunkResult, Missed, NotificationId,
    Timestamp,
};
use crate::homes::home_of;
use crate::store::{KeyedKind, KeyedPart, KeyedRow};

/// Chunks whose rows are one part.
const CHUNKS_PER_PART: u32 = 128;

/// The names of the rows of a campaign's own part.
pub(super) const SPEC: &[u8] = b"a";
pub(super) const PROGRESS: &[u8] = b"b";
pub(super) const COMMAND: &[u8] = b"c";

/// The home that a campaign is worked on at.
pub(super) fn home(id: CampaignId) -> u16 {
    home_of(&id.0.to_be_bytes())
}

/// The part of what is known of a campaign as a whole.
pub(super) fn part(id: CampaignId) -> KeyedPart {
    KeyedPart::of(KeyedKind::Campaign, &[&id.0.to_be_bytes()])
}

/// What there is of each chunk. The letters are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkKind {
    Members = b'm' as isize,
    Result = b'r' as isize,
    Missed = b'x' as isize,
}

pub(super) fn chunk_part(id: CampaignId, chunk: u32) -> KeyedPart {
    let block = (chunk / CHUNKS_PER_PART).to_be_bytes();
    KeyedPart::of(KeyedKind::Campaign, &[&id.0.to_be_bytes(), &block])
}

pub(super) fn chunk_name(kind: ChunkKind, chunk: u32) -> Box<[u8]> {
    let mut name = vec![kind as u8];
    name.extend(chunk.to_be_bytes());
    name.into()
}

/// The number of a chunk, from the end of its name.
pub(super) fn read_chunk_name(name: &[u8]) -> Option<u32> {
    name.last_chunk::<4>().map(|number| u32::from_be_bytes(*number))
}

/// The first chunk of the part after that of this one.
pub(super) fn next_chunk_part(chunk: u32) -> u32 {
    (chunk / CHUNKS_PER_PART + 1).saturating_mul(CHUNKS_PER_PART)
}

pub(super) fn open_part(home: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::OpenCampaigns, &[&home.to_be_bytes()])
}

/// Where it is noted which campaigns of a home are over, in the order of when.
pub(super) fn over_part(home: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::OpenCampaigns, &[&home.to_be_bytes(), b"over"])
}

/// The campaigns of a tenant that somebody asked for and that are not over.
pub(super) fn open_of_part(tenant: &str) -> KeyedPart {
    KeyedPart::of(KeyedKind::CampaignsOf, &[tenant.as_bytes(), b"open"])
}

pub(super) fn tenant_part(tenant: &str) -> KeyedPart {
    KeyedPart::of(KeyedKind::CampaignsOf, &[tenant.as_bytes()])
}

/// Newest first.
pub(super) fn listed_name(made_at: Timestamp, id: CampaignId) -> Box<[u8]> {
    let mut name = (u64::MAX - made_at.millis()).to_be_bytes().to_vec();
    name.extend(id.0.to_be_bytes());
    name.into()
}

pub(super) fn read_id(name: &[u8]) -> Option<CampaignId> {
    name.last_chunk::<16>().map(|id| CampaignId(u128::from_be_bytes(*id)))
}

fn row(part: KeyedPart, name: impl Into<Box<[u8]>>, body: Vec<u8>) -> KeyedRow {
    KeyedRow { part, name: name.into(), body: Some(Bytes::from(body)) }
}

pub(super) fn spec_row(campaign: &Campaign) -> KeyedRow {
    row(part(campaign.id), SPEC, codec::encode_campaign(campaign))
}

pub(super) fn progress_row(id: CampaignId, progress: &CampaignProgress) -> KeyedRow {
    row(part(id), PROGRESS, codec::encode_campaign_progress(progress))
}

pub(super) fn command_row(id: CampaignId, command: CampaignCommand, at: Timestamp) -> KeyedRow {
    row(part(id), COMMAND, codec::encode_campaign_command(command, at))
}

pub(super) fn open_row(id: CampaignId, is_open: bool) -> KeyedRow {
    let body = is_open.then(|| Bytes::from_static(&[1]));
    KeyedRow { part: open_part(home(id)), name: id.0.to_be_bytes().into(), body }
}

pub(super) fn listed_row(campaign: &Campaign) -> KeyedRow {
    row(tenant_part(&campaign.tenant), listed_name(campaign.made_at, campaign.id), vec![1])
}

/// It is in no list any more.
pub(super) fn unlisted_row(campaign: &Campaign) -> KeyedRow {
    KeyedRow { body: None, ..listed_row(campaign) }
}

pub(super) fn over_row(id: CampaignId, at: Timestamp) -> KeyedRow {
    let mut name = at.millis().to_be_bytes().to_vec();
    name.extend(id.0.to_be_bytes());
    row(over_part(home(id)), name, vec![1])
}

/// `None`: nobody asked for it, and it is not counted among those of its tenant.
pub(super) fn open_of_row(campaign: &Campaign, is_open: bool) -> Option<KeyedRow> {
    let body = is_open.then(|| Bytes::from_static(&[1]));
    let name = campaign.id.0.to_be_bytes().into();
    (campaign.kind == CampaignKind::Asked).then(|| KeyedRow { part: open_of_part(&campaign.tenant), name, body })
}

pub(super) fn members_row(id: CampaignId, chunk: u32, members: &[(Box<str>, NotificationId)]) -> KeyedRow {
    row(chunk_part(id, chunk), chunk_name(ChunkKind::Members, chunk), codec::encode_chunk(members))
}

pub(super) fn result_row(id: CampaignId, chunk: u32, result: &ChunkResult) -> KeyedRow {
    row(chunk_part(id, chunk), chunk_name(ChunkKind::Result, chunk), codec::encode_chunk_result(result))
}

pub(super) fn missed_row(id: CampaignId, chunk: u32, missed: &[Missed]) -> KeyedRow {
    row(chunk_part(id, chunk), chunk_name(ChunkKind::Missed, chunk), codec::encode_missed(missed))
}
