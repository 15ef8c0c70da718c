//! Who claimed what first: among the nodes in Redis, and within this node in memory as well. The second is what there is while
//! Redis is lost, and it makes both ends of an outage safe: what is claimed when Redis goes or comes is claimed here anyway.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::link::Link;
use super::metrics::Operation;
use crate::coordination::Wanted;
use crate::coordination::memory::InFlight;
use crate::domain::{ClaimKey, Position, ShardId};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/claim.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/release.lua")));

/// Keys in one script, which nothing else in Redis runs beside: about a millisecond.
const KEYS_MAX: usize = 1000;

/// Who holds each key, in the order asked for.
pub(super) async fn claim(link: &Link, here: &InFlight, wanted: &[Wanted], held_for: Duration) -> Vec<Position> {
    let mut holders = here.claim(wanted);
    // Others are asked only for what is free here.
    let own: Vec<Wanted> =
        wanted.iter().zip(&holders).filter(|(wanted, holder)| wanted.owner == **holder).map(|(own, _)| *own).collect();
    let mut elsewhere: HashMap<ClaimKey, Position> = HashMap::new();
    for chunk in own.chunks(KEYS_MAX) {
        elsewhere.extend(claim_in_redis(link, chunk, held_for).await);
    }
    if elsewhere.is_empty() {
        return holders;
    }
    let lost: Vec<Wanted> = own.into_iter().filter(|own| elsewhere.contains_key(&own.key)).collect();
    here.release(&lost);
    for (holder, wanted) in holders.iter_mut().zip(wanted) {
        *holder = elsewhere.get(&wanted.key).copied().unwrap_or(*holder);
    }
    holders
}

/// The keys that somebody else holds, and who; none where Redis does not answer.
async fn claim_in_redis(link: &Link, wanted: &[Wanted], held_for: Duration) -> Vec<(ClaimKey, Position)> {
    let mut script = CLAIM.arg(held_for.as_millis() as u64);
    for wanted in wanted {
        script.key(key(link, wanted.key)).arg(text(wanted.owner));
    }
    let holders: Vec<String> = link.run(Operation::Claim, &script).await.unwrap_or_default();
    let others = wanted.iter().zip(holders).filter_map(|(wanted, holder)| {
        // What cannot be read was written by nobody of us, and holds nothing.
        let holder = position(&holder)?;
        (holder != wanted.owner).then_some((wanted.key, holder))
    });
    others.collect()
}

/// Lets go of keys, as far as they are held. What Redis does not hear of ends there by itself.
pub(super) async fn release(link: &Link, here: &InFlight, held: &[Wanted]) {
    for chunk in held.chunks(KEYS_MAX) {
        let mut script = RELEASE.prepare_invoke();
        for held in chunk {
            script.key(key(link, held.key)).arg(text(held.owner));
        }
        let _ = link.run::<u8>(Operation::Release, &script).await;
    }
    // Last: until then nobody else of this node asks for it in vain.
    here.release(held);
}

fn key(link: &Link, key: ClaimKey) -> String {
    link.key("claim", format_args!("{:032x}", key.0))
}

/// An owner as Redis keeps it.
fn text(owner: Position) -> String {
    format!("{}:{}", owner.shard.to_u32(), owner.offset)
}

fn position(text: &str) -> Option<Position> {
    let (shard, offset) = text.split_once(':')?;
    Some(Position::new(ShardId::from_u32(shard.parse().ok()?)?, offset.parse().ok()?))
}
