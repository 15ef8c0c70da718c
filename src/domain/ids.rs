//! Identity is the position in the log. An id is the position printed, so a look-up needs no index, the same record
//! always gets the same ids, and neither a clock nor a random number takes part.

use std::fmt;
use std::str::FromStr;

use super::Priority;

/// One ordered stream of the log, owned by at most one node at a time: a partition of one priority's topic.
///
/// `generation` counts how often the topic was made anew; without it, offsets that start again at zero would give
/// ids that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    pub generation: u8,
    pub lane: Priority,
    pub partition: u16,
}

impl ShardId {
    /// The generation of what was accepted into the store while the log could not be written; no topic has it.
    pub const SPILL: u8 = 255;

    /// The generation of the topic of events, which is no lane: records of it are never notifications. No lane's topic has it.
    pub const EVENTS: u8 = 254;

    /// The generation of homes, which are leased as shards are and have no records.
    pub const HOMES: u8 = 253;

    /// A home, as far as its lease goes.
    pub fn of_home(home: u16) -> Self {
        Self { generation: Self::HOMES, lane: Priority::Normal, partition: home }
    }

    /// Whether it is a home.
    pub fn is_home(self) -> bool {
        self.generation == Self::HOMES
    }

    /// A partition of the topic of events.
    pub fn of_events(partition: u16) -> Self {
        Self { generation: Self::EVENTS, lane: Priority::Normal, partition }
    }

    /// Whether it is a partition of the topic of events.
    pub fn is_events(self) -> bool {
        self.generation == Self::EVENTS
    }

    /// Whether it stands in the store and not in the log; its partition is then the slot of the process that wrote it.
    pub fn is_spill(self) -> bool {
        self.generation == Self::SPILL
    }

    /// Packs the shard into four bytes whose order is that of the shards.
    pub fn to_u32(self) -> u32 {
        u32::from(self.generation) << 24 | u32::from(self.lane.index() as u8) << 16 | u32::from(self.partition)
    }

    /// Reads what [`ShardId::to_u32`] wrote; `None` for a lane that does not exist.
    pub fn from_u32(packed: u32) -> Option<Self> {
        let lane = Priority::from_index((packed >> 16 & 0xff) as usize)?;
        Some(Self { generation: (packed >> 24) as u8, lane, partition: packed as u16 })
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_events() {
            return write!(f, "events/{}", self.partition);
        }
        let spill = if self.is_spill() { "spill/" } else { "" };
        write!(f, "{spill}{}/{}", self.lane, self.partition)
    }
}

/// Offsets per block. A block is the unit of scanning and of retention, and one partition of a CQL table.
pub const BLOCK_OFFSETS: u64 = 1024;

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub shard: ShardId,
    /// Below 2^48; the log refuses to grow beyond.
    pub offset: u64,
}

impl Position {
    pub fn new(shard: ShardId, offset: u64) -> Self {
        Self { shard, offset }
    }

    /// The block of [`BLOCK_OFFSETS`] consecutive offsets this position falls into.
    pub fn block(self) -> u64 {
        self.offset / BLOCK_OFFSETS
    }

    fn to_bytes(self) -> [u8; 11] {
        let mut bytes = [0; 11];
        bytes[0] = ID_VERSION;
        bytes[1..5].copy_from_slice(&self.shard.to_u32().to_be_bytes());
        bytes[5..11].copy_from_slice(&self.offset.to_be_bytes()[2..]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 11 || bytes[0] != ID_VERSION {
            return None;
        }
        let shard = ShardId::from_u32(u32::from_be_bytes(bytes[1..5].try_into().ok()?))?;
        let mut offset = [0; 8];
        offset[2..].copy_from_slice(&bytes[5..11]);
        Some(Self { shard, offset: u64::from_be_bytes(offset) })
    }
}

/// A notification: one accepted request. Printed as `ntf_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(pub Position);

/// One message to one person on one channel. Printed as `tsk_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub position: Position,
    /// The task's index within its notification's plan, below [`TASKS_MAX`].
    pub ordinal: u8,
}

/// A campaign: 128 bits that say where its rows are. Printed as `cmp_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignId(pub u128);

/// The most tasks one notification may have (channels × addresses).
pub const TASKS_MAX: usize = 32;

const ID_VERSION: u8 = 1;

impl TaskId {
    pub fn notification(self) -> NotificationId {
        NotificationId(self.position)
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 4 + 18];
        text[..4].copy_from_slice(b"ntf_");
        base32(&self.0.to_bytes(), &mut text[4..]);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 12];
        bytes[..11].copy_from_slice(&self.position.to_bytes());
        bytes[11] = self.ordinal;
        let mut text = [0; 4 + 20];
        text[..4].copy_from_slice(b"tsk_");
        base32(&bytes, &mut text[4..]);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 4 + 26];
        text[..4].copy_from_slice(b"cmp_");
        base32(&self.0.to_be_bytes(), &mut text[4..]);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

impl FromStr for NotificationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; 11] = unbase32(text.strip_prefix("ntf_").ok_or(InvalidId)?)?;
        Position::from_bytes(&bytes).map(Self).ok_or(InvalidId)
    }
}

impl FromStr for CampaignId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        unbase32::<16>(text.strip_prefix("cmp_").ok_or(InvalidId)?).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }
}

impl FromStr for TaskId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; 12] = unbase32(text.strip_prefix("tsk_").ok_or(InvalidId)?)?;
        let position = Position::from_bytes(&bytes[..11]).ok_or(InvalidId)?;
        if usize::from(bytes[11]) >= TASKS_MAX {
            return Err(InvalidId);
        }
        Ok(Self { position, ordinal: bytes[11] })
    }
}

/// Crockford's alphabet in lower case: no letter that is read as another, and its order is that of the bytes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn base32(bytes: &[u8], text: &mut [u8]) {
    let mut buffer = 0u32;
    let mut bits = 0;
    let mut out = text.iter_mut();
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            if let Some(slot) = out.next() {
                *slot = ALPHABET[(buffer >> bits & 31) as usize];
            }
        }
    }
    if bits > 0
        && let Some(slot) = out.next()
    {
        *slot = ALPHABET[(buffer << (5 - bits) & 31) as usize];
    }
}

fn unbase32<const N: usize>(text: &str) -> Result<[u8; N], InvalidId> {
    if text.len() != (N * 8).div_ceil(5) {
        return Err(InvalidId);
    }
    let mut bytes = [0; N];
    let mut filled = 0;
    let mut buffer = 0u32;
    let mut bits = 0;
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|candidate| *candidate == letter).ok_or(InvalidId)?;
        buffer = buffer << 5 | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes[filled] = (buffer >> bits) as u8;
            filled += 1;
        }
    }
    // Bits left over must be zero, or two texts would mean one id.
    if buffer & ((1 << bits) - 1) != 0 {
        return Err(InvalidId);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_position() -> impl Strategy<Value = Position> {
        (any::<u8>(), 0usize..4, any::<u16>(), 0u64..1 << 48).prop_map(|(generation, lane, partition, offset)| {
            let lane = Priority::from_index(lane).expect("below four");
            Position::new(ShardId { generation, lane, partition }, offset)
        })
    }

    proptest! {
        #[test]
        fn an_id_read_back_is_the_id_that_was_printed(position in any_position(), ordinal in 0u8..32) {
            let task = TaskId { position, ordinal };
            prop_assert_eq!(task.to_string().parse::<TaskId>(), Ok(task));
            let notification = NotificationId(position);
            prop_assert_eq!(notification.to_string().parse::<NotificationId>(), Ok(notification));
        }

        #[test]
        fn ids_of_one_shard_sort_as_their_positions(a in any_position(), offset in 0u64..1 << 48) {
            let b = Position::new(a.shard, offset);
            prop_assert_eq!(
                NotificationId(a).to_string().cmp(&NotificationId(b).to_string()),
                a.offset.cmp(&b.offset)
            );
        }

        #[test]
        fn text_that_is_no_id_is_refused_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<TaskId>();
            let _ = format!("ntf_{text}").parse::<NotificationId>();
        }
    }

    #[test]
    fn one_id_has_one_text() {
        let id = NotificationId(Position::new(ShardId { generation: 0, lane: Priority::Low, partition: 7 }, 42));
        let text = id.to_string();
        let last = text.chars().last().expect("not empty");
        let other = ALPHABET.iter().map(|letter| *letter as char).find(|letter| *letter != last).expect("another");
        let forged = format!("{}{other}", &text[..text.len() - 1]);
        assert_ne!(forged.parse::<NotificationId>(), Ok(id));
        assert!(text.to_uppercase().parse::<NotificationId>().is_err());
    }
}
