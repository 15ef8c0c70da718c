//! Entries in memory. Pure.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::keys::{self, HistoryKey};
use crate::domain::{ClaimKey, Plan};
use crate::store::{ClaimRow, HistoryEntry};

/// What is to be found of some plans, in the order they were written.
#[derive(Default)]
pub(in crate::store::embedded) struct Entries {
    pub(super) history: Vec<HistoryKey>,
    pub(super) claims: Vec<ClaimRow>,
}

impl Entries {
    pub(in crate::store::embedded) fn add(&mut self, plan: &Plan) {
        self.claims.extend(plan.claims.iter().map(|claim| ClaimRow {
            key: claim.key,
            owner: plan.position,
            body_hash: claim.body_hash,
            expires_at: claim.expires_at,
        }));
        if let Some(user_id) = &plan.user_id {
            let entry = HistoryEntry { accepted_at: plan.accepted_at, notification: plan.id() };
            self.history.push(keys::history(&plan.tenant, user_id, entry));
        }
    }

    pub(super) fn append(&mut self, mut later: Entries) {
        if self.is_empty() {
            *self = later;
            return;
        }
        self.history.append(&mut later.history);
        self.claims.append(&mut later.claims);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.history.is_empty() && self.claims.is_empty()
    }
}

/// Entries that are not in the tables yet.
#[derive(Default)]
pub(super) struct Pending {
    /// In pieces, so that a reader can take hold of all without copying and look through them without holding others up.
    history: Vec<Arc<Vec<HistoryKey>>>,
    claims: FxHashMap<ClaimKey, ClaimRow>,
    entries: usize,
    /// The number of the group they end with.
    pub(super) last_group: u64,
}

/// Smaller pieces are joined.
const PIECE_MIN: usize = 512;

impl Pending {
    /// Adds what was written after all that is held.
    pub(super) fn add(&mut self, mut entries: Entries) {
        self.entries += entries.history.len() + entries.claims.len();
        self.claims.extend(entries.claims.into_iter().map(|row| (row.key, row)));
        if entries.history.is_empty() {
            return;
        }
        // A piece that a reader holds is left alone.
        match self.history.last_mut().filter(|last| last.len() < PIECE_MIN).and_then(Arc::get_mut) {
            Some(last) => last.append(&mut entries.history),
            None => self.history.push(Arc::new(entries.history)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn claim(&self, key: &ClaimKey) -> Option<ClaimRow> {
        self.claims.get(key).copied()
    }

    /// Whether one of these keys of history is among them.
    pub(super) fn has_any(&self, keys: &FxHashSet<HistoryKey>) -> bool {
        !keys.is_empty() && self.history.iter().flat_map(|piece| piece.iter()).any(|key| keys.contains(key))
    }

    pub(super) fn history(&self) -> Vec<Arc<Vec<HistoryKey>>> {
        self.history.clone()
    }

    /// In the order of their keys, each once.
    pub(super) fn sorted_history(&self) -> Vec<HistoryKey> {
        let mut keys: Vec<HistoryKey> = self.history.iter().flat_map(|piece| piece.iter()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// In the order of their keys.
    pub(super) fn sorted_claims(&self) -> Vec<ClaimRow> {
        let mut claims: Vec<ClaimRow> = self.claims.values().copied().collect();
        claims.sort_unstable_by_key(|row| row.key);
        claims
    }
}
