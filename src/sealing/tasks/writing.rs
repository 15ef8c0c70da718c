//! Seals what a batch writes. Plans are shared with whoever sends them and never changed: the bytes of their rows are made here, and the
//! store writes those.

use super::{place_of_entry, place_of_plan};
use crate::codec;
use crate::domain::{Content, Plan, UserKey};
use crate::sealing::{AddressKey, OVERHEAD, SealError, SealedStore, seal};
use crate::store::{GroupEntry, GroupRow, PlanRows, SealedEntry, StoreError, UserSecret, WriteBatch};

/// Whose what is in a batch, each with the place of its owner among `users`; none of what has nothing personal.
struct Owners {
    users: Vec<UserKey>,
    plans: Vec<Option<usize>>,
    groups: Vec<Option<usize>>,
}

impl SealedStore {
    /// The batch as it is to be written: one question to the keyring, and none where there is nothing to seal.
    pub(super) async fn seal_batch(&self, mut batch: WriteBatch) -> Result<WriteBatch, StoreError> {
        let is_bare = batch.plans.iter().any(|plan| plan.is_to_be_bare());
        if batch.plans.is_empty() && batch.groups.is_empty() {
            return Ok(batch);
        }
        let key = self.keyring.address_key().await?;
        let owners = Owners::of(&batch, key);
        if owners.users.is_empty() && !is_bare {
            return Ok(batch);
        }
        let secrets = if owners.users.is_empty() { Vec::new() } else { self.keyring.to_seal(&owners.users).await? };
        batch.plan_rows = owners.plan_rows(&batch, &secrets).map_err(failed)?;
        let mut plain = Vec::new();
        for (row, owner) in batch.groups.iter_mut().zip(&owners.groups) {
            if let Some(owner) = *owner {
                row.entry = sealed_entry(row, &owners.users[owner], &secrets[owner], &mut plain).map_err(failed)?;
            }
        }
        Ok(batch)
    }
}

impl Owners {
    fn of(batch: &WriteBatch, key: &AddressKey) -> Self {
        let mut users: Vec<UserKey> = Vec::with_capacity(batch.plans.len());
        let mut add = |owner: UserKey| {
            // Of neighbours that are one user's, one is asked for.
            if users.last() != Some(&owner) {
                users.push(owner);
            }
            users.len() - 1
        };
        let plans = batch.plans.iter().map(|plan| {
            let owner = (has_personal(plan) && !plan.is_to_be_bare()).then(|| plan.owner())?;
            owner.map(|owner| add(key.of_owner(owner)))
        });
        let plans = plans.collect();
        let groups = batch.groups.iter().map(|row| {
            let owner = row.owner.clone().filter(|_| row.entry.is_personal())?;
            Some(add(key.of_owner(owner)))
        });
        let groups = groups.collect();
        Self { users, plans, groups }
    }

    fn plan_rows(&self, batch: &WriteBatch, secrets: &[UserSecret]) -> Result<PlanRows, SealError> {
        let about = batch.plans.iter().map(|plan| plan.data.len() + plan.metadata.len() + 384 + OVERHEAD).sum();
        let mut rows = PlanRows::with_capacity(batch.plans.len(), about);
        let mut plain = Vec::with_capacity(1024);
        for (plan, owner) in batch.plans.iter().zip(&self.plans) {
            rows.add(|bytes| match *owner {
                Some(owner) => {
                    codec::encode_sealed_plan(plan, Some(&self.users[owner]), bytes);
                    plain.clear();
                    codec::encode_personal(plan, &mut plain);
                    seal(&secrets[owner], &place_of_plan(plan.position), &plain, bytes)
                }
                None => {
                    match plan.is_to_be_bare() {
                        true => codec::encode_sealed_plan(plan, None, bytes),
                        false => codec::encode_plan(plan, bytes),
                    }
                    Ok(())
                }
            })?;
        }
        Ok(rows)
    }
}

/// Whether there is anything to seal: who is erased gets no new secret for nothing.
fn has_personal(plan: &Plan) -> bool {
    let says = |text: &str| !matches!(text, "" | "{}");
    matches!(plan.content, Content::Inline { .. })
        || says(&plan.data)
        || says(&plan.metadata)
        || !plan.delivery.is_usual()
        || plan.presentation.zone.is_some()
        || plan.group.as_ref().is_some_and(|group| group.actor.is_some())
        || plan.tasks().iter().any(|task| task.address.personal().is_some_and(|text| !text.is_empty()))
}

fn sealed_entry(
    row: &GroupRow,
    owner: &UserKey,
    secret: &UserSecret,
    plain: &mut Vec<u8>,
) -> Result<GroupEntry, SealError> {
    plain.clear();
    plain.extend(codec::encode_group_entry(&row.entry));
    let mut bytes = Vec::new();
    seal(secret, &place_of_entry(row.leader, row.place()), plain, &mut bytes)?;
    let entry = SealedEntry { bare: row.entry.bare(), owner: owner.clone(), bytes: bytes.into() };
    Ok(GroupEntry::Sealed(Box::new(entry)))
}

fn failed(error: SealError) -> StoreError {
    StoreError::Failed(format!("cannot seal what is to be written: {error}"))
}
