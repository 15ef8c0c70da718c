//! Opens what was read: all of an answer with one question to the keyring, and none where nothing is sealed.

use super::{place_of_entry, place_of_plan};
use crate::codec::{self, CodecError};
use crate::domain::{Personal, Plan, Position};
use crate::sealing::{SealError, SealedStore, SecretId, open, secret_of};
use crate::store::{GroupEntry, StoreError};

impl SealedStore {
    /// Puts back what is personal of each plan; of those whose secret was destroyed nothing is left of it.
    pub(super) async fn open_plans(&self, plans: impl Iterator<Item = &mut Plan>) -> Result<(), StoreError> {
        let (mut sealed, mut wanted): (Vec<&mut Plan>, Vec<SecretId>) = (Vec::new(), Vec::new());
        for plan in plans {
            if let Personal::Sealed(part) = &plan.personal {
                wanted.push((part.owner.clone(), secret_of(&part.bytes).map_err(unreadable)?));
                sealed.push(plan);
            } else if plan.is_erased() {
                plan.erase();
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let secrets = self.keyring.to_open(&wanted).await?;
        for (plan, secret) in sealed.into_iter().zip(secrets) {
            let (Personal::Sealed(part), Some(secret)) = (&plan.personal, secret) else {
                plan.erase();
                continue;
            };
            let plain = open(&secret, &place_of_plan(plan.position), &part.bytes).map_err(unreadable)?;
            codec::restore_personal(plan, &plain)?;
        }
        Ok(())
    }

    /// Opens what stands under leaders; of those whose secret was destroyed the numbers are left.
    pub(super) async fn open_groups(
        &self,
        leaders: &[Position],
        groups: &mut [Vec<GroupEntry>],
    ) -> Result<(), StoreError> {
        let (mut sealed, mut wanted): (Vec<(Position, &mut GroupEntry)>, Vec<SecretId>) = (Vec::new(), Vec::new());
        for (leader, entries) in leaders.iter().zip(groups) {
            for entry in entries {
                if let GroupEntry::Sealed(part) = &*entry {
                    wanted.push((part.owner.clone(), secret_of(&part.bytes).map_err(unreadable)?));
                    sealed.push((*leader, entry));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let secrets = self.keyring.to_open(&wanted).await?;
        for ((leader, entry), secret) in sealed.into_iter().zip(secrets) {
            let GroupEntry::Sealed(part) = &*entry else { continue };
            let opened = match secret {
                None => part.bare.clone(),
                Some(secret) => {
                    let place = place_of_entry(leader, part.bare.place());
                    let plain = open(&secret, &place, &part.bytes).map_err(unreadable)?;
                    opened_entry(&plain, &part.bare)?
                }
            };
            *entry = opened;
        }
        Ok(())
    }
}

/// The entry that was sealed, which is none that is sealed itself.
fn opened_entry(plain: &[u8], bare: &GroupEntry) -> Result<GroupEntry, CodecError> {
    let entry = codec::decode_group_entry(plain)?;
    if entry.bare() == *bare {
        Ok(entry)
    } else {
        Err(CodecError::Damaged("what is sealed of it is another's".to_owned()))
    }
}

fn unreadable(error: SealError) -> StoreError {
    StoreError::Unreadable(format!("what is sealed of it: {error}"))
}
