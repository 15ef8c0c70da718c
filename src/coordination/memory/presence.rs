//! Who is connected to which node, as far as this process knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::coordination::{PRESENCE_TTL, PresentOn, UserKey};
use crate::domain::Timestamp;

/// Entries end by themselves; what has ended is thrown away when the user is next spoken of, and once in a while for all.
#[derive(Debug, Default)]
pub(in crate::coordination) struct Present {
    users: Mutex<Users>,
}

#[derive(Debug, Default)]
struct Users {
    nodes: FxHashMap<UserKey, BTreeMap<Box<str>, Entry>>,
    swept_at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    connections: u32,
    until: Timestamp,
}

/// How often what has ended is looked for everywhere.
const SWEEP: Duration = PRESENCE_TTL;

impl Present {
    /// Notes how many connections of each user the node has; 0 takes it away.
    pub(in crate::coordination) fn set(&self, node: &str, users: &[(UserKey, u32)], now: Timestamp) {
        let mut known = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, connections) in users {
            let nodes = known.nodes.entry(*user).or_default();
            nodes.remove(node);
            if *connections > 0 {
                nodes.insert(node.into(), Entry { connections: *connections, until: now + PRESENCE_TTL });
            }
            if nodes.is_empty() {
                known.nodes.remove(user);
            }
        }
        if now.since(known.swept_at) >= SWEEP {
            known.swept_at = now;
            known.nodes.retain(|_, nodes| {
                nodes.retain(|_, entry| entry.until > now);
                !nodes.is_empty()
            });
        }
    }

    /// The nodes that have connections of each user, in the order asked for.
    pub(in crate::coordination) fn nodes_of(&self, users: &[UserKey], now: Timestamp) -> Vec<Vec<PresentOn>> {
        let known = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = |user| {
            let nodes = known.nodes.get(user).into_iter().flatten().filter(|(_, entry)| entry.until > now);
            nodes.map(|(node, entry)| PresentOn { node: node.to_string(), connections: entry.connections }).collect()
        };
        users.iter().map(of_one).collect()
    }
}
