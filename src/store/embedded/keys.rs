//! Keys. Pure.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::codec::{self, CodecError};
use crate::domain::{
    BLOCK_OFFSETS, BrakeEffect, BrakeKind, BrakeScope, ClaimKey, DefinitionKind, NotificationId, Position, ShardId,
    TaskId, Timestamp, UserKey,
};
use crate::store::received::user_hash;
use crate::store::{
    BudgetKey, ClaimRow, DeadLetterKey, HistoryEntry, KeyedPart, SuppressionPlace, TemplateBodyPlace, TimerKey,
};

/// Builds a key part by part.
#[derive(Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn with(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(part);
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn shard(shard: ShardId) -> Key {
    Key(Vec::with_capacity(40)).with(&shard.to_u32().to_be_bytes())
}

/// The row of plans from `first` to `last`, which are in one block.
pub(super) fn plans(id: ShardId, first: u64, last: u64, write: u64) -> Vec<u8> {
    let within = (last % BLOCK_OFFSETS) as u16;
    shard(id).with(&first.to_be_bytes()).with(&within.to_be_bytes()).with(&write.to_be_bytes()).done()
}

/// Of each key of a row of plans.
pub(super) const PLANS_LENGTH: usize = 4 + 8 + 2 + 8;

/// Where rows of plans start whose first offset is `first` or later.
pub(super) fn plans_from(id: ShardId, first: u64) -> Vec<u8> {
    shard(id).with(&first.to_be_bytes()).done()
}

/// The first and the last offset of a row of plans.
pub(super) fn read_plans(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.get(4..)?.split_first_chunk::<8>()?;
    let first = u64::from_be_bytes(*first);
    let within = u64::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
    Some((first, first / BLOCK_OFFSETS * BLOCK_OFFSETS + within))
}

pub(super) fn event(id: ShardId, block: u64, write: u64) -> Vec<u8> {
    shard(id).with(&block.to_be_bytes()).with(&write.to_be_bytes()).done()
}

pub(super) fn timer(id: ShardId, key: TimerKey) -> Vec<u8> {
    let due = shard(id).with(&key.due.millis().to_be_bytes());
    due.with(&key.offset.to_be_bytes()).with(&[key.ordinal, key.attempt]).done()
}

pub(super) fn read_timer(bytes: &[u8]) -> Option<TimerKey> {
    let rest = bytes.get(4..)?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let [ordinal, attempt] = *rest else { return None };
    Some(TimerKey { due: Timestamp(u64::from_be_bytes(*due)), offset: u64::from_be_bytes(*offset), ordinal, attempt })
}

/// Where what stands under a leader starts.
pub(super) fn group_of(leader: Position) -> Vec<u8> {
    shard(leader.shard).with(&leader.offset.to_be_bytes()).done()
}

/// The offset of the leader, from the key of what stands under it.
pub(super) fn read_leader(bytes: &[u8]) -> Option<u64> {
    bytes.get(4..)?.first_chunk::<8>().map(|offset| u64::from_be_bytes(*offset))
}

pub(super) fn group(leader: Position, place: u64) -> Vec<u8> {
    Key(group_of(leader)).with(&place.to_be_bytes()).done()
}

fn user(tenant: &str, user_id: &str) -> [u8; 16] {
    let mut hash = Xxh3::new();
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hash.update(&(tenant.len() as u64).to_be_bytes());
    hash.update(tenant.as_bytes());
    hash.update(user_id.as_bytes());
    hash.digest128().to_be_bytes()
}

/// Where a user's history starts.
pub(super) fn history_of(tenant: &str, user_id: &str) -> Vec<u8> {
    user(tenant, user_id).to_vec()
}

/// Hash of tenant and user, inverted time, and position, inverted as well so that of two in one millisecond the later one
/// comes first.
pub(super) type HistoryKey = [u8; 36];

pub(super) fn history(tenant: &str, user_id: &str, entry: HistoryEntry) -> HistoryKey {
    let position = entry.notification.0;
    let mut key = [0; 36];
    key[..16].copy_from_slice(&user(tenant, user_id));
    key[16..24].copy_from_slice(&(u64::MAX - entry.accepted_at.millis()).to_be_bytes());
    key[24..28].copy_from_slice(&(u32::MAX - position.shard.to_u32()).to_be_bytes());
    key[28..].copy_from_slice(&(u64::MAX - position.offset).to_be_bytes());
    key
}

/// Where the entries of what a user was planned to get start.
pub(super) fn received_of(user: &UserKey) -> [u8; 16] {
    user_hash(user)
}

pub(super) fn received(user: &UserKey, position: Position) -> Vec<u8> {
    let start = Key(received_of(user).to_vec()).with(&position.shard.to_u32().to_be_bytes());
    start.with(&position.offset.to_be_bytes()).done()
}

pub(super) fn read_received(bytes: &[u8]) -> Option<Position> {
    let (shard, offset) = bytes.get(16..)?.split_first_chunk::<4>()?;
    let shard = ShardId::from_u32(u32::from_be_bytes(*shard))?;
    Some(Position::new(shard, u64::from_be_bytes(*offset.first_chunk()?)))
}

pub(super) fn claim(key: ClaimKey) -> [u8; 16] {
    key.0.to_be_bytes()
}

/// The expiry stands before the claim, for the filter.
pub(super) fn claim_value(row: &ClaimRow) -> Vec<u8> {
    let mut value = row.expires_at.millis().to_be_bytes().to_vec();
    value.extend(codec::encode_claim(row));
    value
}

pub(super) fn read_claim(key: ClaimKey, value: &[u8]) -> Result<ClaimRow, CodecError> {
    codec::decode_claim(key, value.get(8..).unwrap_or(&[]))
}

pub(super) fn read_history(bytes: &[u8]) -> Option<HistoryEntry> {
    let rest = bytes.get(16..)?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (shard, rest) = rest.split_first_chunk::<4>()?;
    let offset = rest.first_chunk::<8>()?;
    let shard = ShardId::from_u32(u32::MAX - u32::from_be_bytes(*shard))?;
    let position = Position::new(shard, u64::MAX - u64::from_be_bytes(*offset));
    let accepted_at = Timestamp(u64::MAX - u64::from_be_bytes(*time));
    Some(HistoryEntry { accepted_at, notification: NotificationId(position) })
}

/// Where a tenant's dead letters start.
pub(super) fn dead_letters_of(tenant: &str) -> Vec<u8> {
    xxh3_128(tenant.as_bytes()).to_be_bytes().to_vec()
}

pub(super) fn dead_letter(key: &DeadLetterKey) -> Vec<u8> {
    let position = key.task.position;
    let start = Key(dead_letters_of(&key.tenant)).with(&(u64::MAX - key.at.millis()).to_be_bytes());
    let place = start.with(&(u32::MAX - position.shard.to_u32()).to_be_bytes());
    place.with(&(u64::MAX - position.offset).to_be_bytes()).with(&[u8::MAX - key.task.ordinal]).done()
}

pub(super) fn read_dead_letter(tenant: &str, bytes: &[u8]) -> Option<DeadLetterKey> {
    let entry = read_history(bytes)?;
    let ordinal = u8::MAX - *bytes.get(36)?;
    let task = TaskId { position: entry.notification.0, ordinal };
    Some(DeadLetterKey { tenant: tenant.into(), at: entry.accepted_at, task })
}

/// The kinds of rows in `shards`.
pub(super) fn books(id: ShardId) -> Vec<u8> {
    shard(id).with(b"b").done()
}

pub(super) fn cursors(id: ShardId) -> Vec<u8> {
    shard(id).with(b"c").done()
}

/// A text with its length before it, so that nothing that follows can be taken for a part of it. Texts are bounded by who
/// takes them in, far below the length that four bytes can say.
fn text(text: &str) -> Key {
    Key(Vec::with_capacity(96)).with(&(text.len() as u32).to_be_bytes()).with(text.as_bytes())
}

/// Where a user's entries start. The whole names stand there and no hash: users choose their names, and two with the same hash
/// would get each other's messages.
pub(super) fn entries_of(user: &UserKey) -> Vec<u8> {
    text(&user.tenant).with(&text(&user.user_id).done()).done()
}

/// What no entry of a user comes after: their kinds are small numbers.
pub(super) fn after_entries_of(user: &UserKey) -> Vec<u8> {
    Key(entries_of(user)).with(&[u8::MAX]).done()
}

/// Whose entry a key is of.
pub(super) fn read_user(key: &[u8]) -> Option<UserKey> {
    let (tenant, rest) = read_text(key)?;
    let (user_id, _) = read_text(rest)?;
    Some(UserKey { tenant: tenant.into(), user_id: user_id.into() })
}

/// A text with its length before it, and what follows.
fn read_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

pub(super) fn entry(user: &UserKey, (kind, name): &(u8, String)) -> Vec<u8> {
    Key(entries_of(user)).with(&[*kind]).with(name.as_bytes()).done()
}

/// Where what was drawn of a budget starts.
pub(super) fn budgets_of(key: &BudgetKey) -> Vec<u8> {
    text(&key.category).with(&key.day.to_be_bytes()).done()
}

pub(super) fn budget(key: &BudgetKey, process: u64) -> Vec<u8> {
    Key(budgets_of(key)).with(&process.to_be_bytes()).done()
}

/// Where a tenant's suppressions start.
pub(super) fn suppressions_of(tenant: &str) -> Vec<u8> {
    text(tenant).done()
}

pub(super) fn suppression(tenant: &str, place: &SuppressionPlace) -> Vec<u8> {
    text(tenant).with(place.as_bytes()).done()
}

pub(super) fn read_suppression(tenant: &str, bytes: &[u8]) -> Option<SuppressionPlace> {
    SuppressionPlace::from_bytes(bytes.get(4 + tenant.len()..)?)
}

pub(super) fn brake(scope: &BrakeScope, effect: BrakeEffect) -> Vec<u8> {
    text(&scope.tenant).with(&[scope.kind as u8, effect as u8]).with(scope.name.as_bytes()).done()
}

pub(super) fn read_brake(bytes: &[u8]) -> Option<(BrakeScope, BrakeEffect)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (tenant, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let ([kind, effect], name) = rest.split_first_chunk::<2>()?;
    let words = |bytes| std::str::from_utf8(bytes).ok().map(Box::from);
    let kind = BrakeKind::from_index(usize::from(*kind))?;
    let scope = BrakeScope { tenant: words(tenant)?, kind, name: words(name)? };
    Some((scope, BrakeEffect::from_index(usize::from(*effect))?))
}

/// What is in `templates`: the tenants that have some, their changes, and their bodies.
const TEMPLATE_TENANTS: &[u8] = b"t";
const TEMPLATE_CHANGES: &[u8] = b"c";
const TEMPLATE_BODIES: &[u8] = b"b";

/// Where the tenants that have templates start; the rest of a key is the tenant.
pub(super) fn template_tenants() -> Vec<u8> {
    TEMPLATE_TENANTS.to_vec()
}

pub(super) fn template_tenant(tenant: &str) -> Vec<u8> {
    Key(template_tenants()).with(tenant.as_bytes()).done()
}

pub(super) fn read_template_tenant(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes.get(1..)?).ok().map(Box::from)
}

/// Where a tenant's changes of templates start.
pub(super) fn template_changes_of(tenant: &str) -> Vec<u8> {
    Key(TEMPLATE_CHANGES.to_vec()).with(&text(tenant).done()).done()
}

pub(super) fn template_change(tenant: &str, number: u64) -> Vec<u8> {
    Key(template_changes_of(tenant)).with(&number.to_be_bytes()).done()
}

/// The number of a change, from the end of its key.
pub(super) fn read_template_change(bytes: &[u8]) -> Option<u64> {
    bytes.last_chunk::<8>().map(|number| u64::from_be_bytes(*number))
}

pub(super) fn template_body(tenant: &str, place: &TemplateBodyPlace) -> Vec<u8> {
    let start = Key(TEMPLATE_BODIES.to_vec()).with(&text(tenant).done());
    start.with(&text(&place.code).done()).with(&place.body.to_be_bytes()).done()
}

/// What is in `definitions`: the tenants that have some, and what they defined.
const DEFINITION_TENANTS: &[u8] = b"t";
const DEFINITIONS: &[u8] = b"d";

/// Where the tenants that defined something start; the rest of a key is the tenant.
pub(super) fn definition_tenants() -> Vec<u8> {
    DEFINITION_TENANTS.to_vec()
}

pub(super) fn definition_tenant(tenant: &str) -> Vec<u8> {
    Key(definition_tenants()).with(tenant.as_bytes()).done()
}

pub(super) fn read_definition_tenant(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes.get(1..)?).ok().map(Box::from)
}

/// Where a tenant's definitions start.
pub(super) fn definitions_of(tenant: &str) -> Vec<u8> {
    Key(DEFINITIONS.to_vec()).with(&text(tenant).done()).done()
}

pub(super) fn definition(tenant: &str, kind: DefinitionKind, name: &str) -> Vec<u8> {
    Key(definitions_of(tenant)).with(&[kind.index() as u8]).with(name.as_bytes()).done()
}

pub(super) fn read_definition(tenant: &str, bytes: &[u8]) -> Option<(DefinitionKind, Box<str>)> {
    let (kind, name) = bytes.get(1 + 4 + tenant.len()..)?.split_first()?;
    let kind = DefinitionKind::from_index(usize::from(*kind))?;
    std::str::from_utf8(name).ok().map(|name| (kind, name.into()))
}

/// A row under a key of two parts.
pub(super) fn keyed(part: &KeyedPart, name: &[u8]) -> Vec<u8> {
    let start = Key(Vec::with_capacity(5 + part.key.len() + name.len())).with(&[part.kind as u8]);
    start.with(&(part.key.len() as u32).to_be_bytes()).with(&part.key).with(name).done()
}

/// The first key behind all of a part; `None`: there is none.
pub(super) fn after_part(part: &KeyedPart) -> Option<Vec<u8>> {
    let mut key = keyed(part, &[]);
    let last = key.iter().rposition(|byte| *byte != u8::MAX)?;
    key.truncate(last + 1);
    key[last] += 1;
    Some(key)
}
