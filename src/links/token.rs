//! What a token says, as bytes: a version, the channel, the task, and texts with their lengths.

use super::{Unsubscribe, Whom};
use crate::domain::{Channel, Position, ShardId, TaskId};

/// The first byte; another form has another.
const VERSION: u8 = 1;
const USER: u8 = 0;
const EMAIL: u8 = 1;

/// `None`: a text is longer than its length can say.
pub(super) fn write(said: &Unsubscribe, bytes: &mut Vec<u8>) -> Option<()> {
    let (kind, whom) = match &said.whom {
        Whom::User(id) => (USER, id),
        Whom::Email(address) => (EMAIL, address),
    };
    let channel = u8::try_from(said.channel.index()).ok()?;
    bytes.extend_from_slice(&[VERSION, channel, kind, said.task.ordinal]);
    bytes.extend_from_slice(&said.task.position.shard.to_u32().to_be_bytes());
    bytes.extend_from_slice(&said.task.position.offset.to_be_bytes()[2..]);
    for text in [&said.tenant, whom, &said.category] {
        bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(())
}

pub(super) fn read(bytes: &[u8]) -> Option<Unsubscribe> {
    let (&[version, channel, kind, ordinal], rest) = bytes.split_first_chunk()?;
    let (shard, rest) = rest.split_first_chunk()?;
    let (low, mut rest) = rest.split_first_chunk::<6>()?;
    if version != VERSION {
        return None;
    }
    let mut offset = [0; 8];
    offset[2..].copy_from_slice(low);
    let position = Position::new(ShardId::from_u32(u32::from_be_bytes(*shard))?, u64::from_be_bytes(offset));
    let (tenant, whom, category) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    let whom = match kind {
        USER => Whom::User(whom),
        EMAIL => Whom::Email(whom),
        _ => return None,
    };
    let channel = Channel::ALL.get(usize::from(channel)).copied()?;
    rest.is_empty().then_some(Unsubscribe { tenant, whom, category, channel, task: TaskId { position, ordinal } })
}

pub(super) fn text(rest: &mut &[u8]) -> Option<Box<str>> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    std::str::from_utf8(text).ok().map(Into::into)
}
