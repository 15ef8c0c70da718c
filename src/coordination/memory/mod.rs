//! Coordination in memory: all of it where there is one process, and what a node decides by while it is cut off.

mod bucket;
mod claims;
mod fanout;
mod presence;

pub(super) use bucket::{SharedBucket, first_tokens, kept_for_critical, usable};
pub(super) use claims::InFlight;
pub(super) use fanout::Channels;
pub(super) use presence::Present;
