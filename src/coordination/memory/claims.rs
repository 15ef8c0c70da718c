//! Claims of batches that are on their way to the disk.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::coordination::Wanted;
use crate::domain::{ClaimKey, Position};

/// Few at any time: those of the batches being written. Locked once a batch.
#[derive(Debug, Default)]
pub(in crate::coordination) struct InFlight {
    holders: Mutex<FxHashMap<ClaimKey, Position>>,
}

impl InFlight {
    /// Who holds each key now; the one who asks, where nobody did.
    pub(in crate::coordination) fn claim(&self, wanted: &[Wanted]) -> Vec<Position> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.iter().map(|wanted| *holders.entry(wanted.key).or_insert(wanted.owner)).collect()
    }

    /// Lets go of keys, as far as the one who asks holds them.
    pub(in crate::coordination) fn release(&self, held: &[Wanted]) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        for held in held {
            if holders.get(&held.key) == Some(&held.owner) {
                holders.remove(&held.key);
            }
        }
    }
}
