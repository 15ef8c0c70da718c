//! What the pixel and the links of a mail say: which message they stood in, when it was made, and where a link leads.

use crate::domain::{Position, ShardId, TaskId, Timestamp};

/// The first byte; another form has another.
const VERSION: u8 = 1;

/// The message that a pixel or a link stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedMail {
    pub tenant: Box<str>,
    pub task: TaskId,
    /// When this try of the message was made, right before it was handed to the provider.
    pub made_at: Timestamp,
}

/// A link of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickLink {
    pub mail: TrackedMail,
    /// 1 for the first of the mail that is counted.
    pub ordinal: u16,
    /// Where it leads: an absolute address of http or https, in ASCII.
    pub target: Box<str>,
}

/// `None`: the tenant's name is longer than its length can say.
pub(super) fn write_mail(mail: &TrackedMail, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.extend_from_slice(&[VERSION, mail.task.ordinal, u8::try_from(mail.tenant.len()).ok()?]);
    bytes.extend_from_slice(&mail.task.position.shard.to_u32().to_be_bytes());
    // Both are far below 2⁴⁸, and a token that stands in every link should be short.
    bytes.extend_from_slice(&mail.task.position.offset.to_be_bytes()[2..]);
    bytes.extend_from_slice(&mail.made_at.millis().to_be_bytes()[2..]);
    bytes.extend_from_slice(mail.tenant.as_bytes());
    Some(())
}

/// `None`: as of [`write_mail`], or it leads nowhere that a mail's reader may be sent to.
pub(super) fn write_click(mail: &TrackedMail, ordinal: u16, target: &str, bytes: &mut Vec<u8>) -> Option<()> {
    if !is_on_the_web(target) {
        return None;
    }
    write_mail(mail, bytes)?;
    bytes.extend_from_slice(&ordinal.to_be_bytes());
    bytes.extend_from_slice(target.as_bytes());
    Some(())
}

pub(super) fn read_mail(bytes: &[u8]) -> Option<TrackedMail> {
    let (mail, rest) = mail(bytes)?;
    rest.is_empty().then_some(mail)
}

pub(super) fn read_click(bytes: &[u8]) -> Option<ClickLink> {
    let (mail, rest) = mail(bytes)?;
    let (ordinal, target) = rest.split_first_chunk::<2>()?;
    let target = std::str::from_utf8(target).ok().filter(|target| is_on_the_web(target))?;
    Some(ClickLink { mail, ordinal: u16::from_be_bytes(*ordinal), target: target.into() })
}

fn mail(bytes: &[u8]) -> Option<(TrackedMail, &[u8])> {
    let (&[version, ordinal, length], rest) = bytes.split_first_chunk()?;
    let (shard, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk::<6>()?;
    let (made_at, rest) = rest.split_first_chunk::<6>()?;
    let (tenant, rest) = rest.split_at_checked(usize::from(length))?;
    if version != VERSION {
        return None;
    }
    let position = Position::new(ShardId::from_u32(u32::from_be_bytes(*shard))?, wide(offset));
    let tenant = std::str::from_utf8(tenant).ok()?.into();
    Some((TrackedMail { tenant, task: TaskId { position, ordinal }, made_at: Timestamp(wide(made_at)) }, rest))
}

fn wide(low: &[u8; 6]) -> u64 {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(low);
    u64::from_be_bytes(bytes)
}

/// As addresses are written out: in ASCII, with a scheme in small letters.
fn is_on_the_web(target: &str) -> bool {
    let is_web = target.starts_with("https://") || target.starts_with("http://");
    is_web && target.bytes().all(|byte| byte.is_ascii_graphic())
}
