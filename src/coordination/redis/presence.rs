//! Who is connected where: in Redis for all nodes, and this node's own in memory as well, for while Redis is lost.

use std::sync::LazyLock;

use redis::Script;

use super::link::Link;
use super::metrics::Operation;
use crate::coordination::memory::Present;
use crate::coordination::{PRESENCE_TTL, PresentNodes, PresentOn, UserKey};

static SET_PRESENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/set_present.lua")));
static PRESENT_ON: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/present_on.lua")));

/// Users in one script, which nothing else in Redis runs beside.
const USERS_MAX: usize = 500;

pub(super) async fn set_present(link: &Link, here: &Present, node: &str, users: &[(UserKey, u32)]) {
    here.set(node, users, link.clock.now());
    for chunk in users.chunks(USERS_MAX) {
        let mut script = SET_PRESENT.arg(node);
        script.arg(PRESENCE_TTL.as_millis() as u64).arg(link.script_time().unwrap_or_default());
        for (user, connections) in chunk {
            script.key(key(link, *user)).arg(*connections);
        }
        // What Redis does not hear of now it hears with the next repetition.
        let _ = link.run::<u8>(Operation::Presence, &script).await;
    }
}

pub(super) async fn present_on(link: &Link, here: &Present, users: &[UserKey]) -> PresentNodes {
    let mut found = PresentNodes { nodes: Vec::with_capacity(users.len()), is_all: true };
    for chunk in users.chunks(USERS_MAX) {
        let mut script = PRESENT_ON.arg(link.script_time().unwrap_or_default());
        for user in chunk {
            script.key(key(link, *user));
        }
        match link.run::<Vec<Vec<(String, u32)>>>(Operation::Presence, &script).await {
            Ok(answers) if answers.len() == chunk.len() => {
                found.nodes.extend(answers.into_iter().map(by_name));
            }
            _ => {
                found.nodes.extend(here.nodes_of(chunk, link.clock.now()));
                found.is_all = false;
            }
        }
    }
    found
}

fn by_name(nodes: Vec<(String, u32)>) -> Vec<PresentOn> {
    let mut present: Vec<PresentOn> =
        nodes.into_iter().map(|(node, connections)| PresentOn { node, connections }).collect();
    present.sort();
    present
}

fn key(link: &Link, user: UserKey) -> String {
    link.key("present", format_args!("{:032x}", user.0))
}
