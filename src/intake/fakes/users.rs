//! Users and suppressions, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;

use super::{FakeStore, lock};
use crate::domain::{Brake, SuppressedAddress, Suppression, User, UserKey};
use crate::store::{
    BrakeRows, ListedSuppression, StoreError, SuppressionChange, SuppressionPlace, Suppressions, UserChange, Users,
};

#[derive(Debug, Default)]
pub(super) struct Kept {
    users: Mutex<HashMap<UserKey, User>>,
    /// By tenant and place.
    suppressions: Mutex<BTreeMap<(Box<str>, SuppressionPlace), Suppression>>,
    brakes: Mutex<Vec<Brake>>,
}

#[async_trait]
impl Users for FakeStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        self.answers().await?;
        let users = lock(&self.kept.users);
        let known = |key: &UserKey| users.get(key).filter(|user| **user != User::default()).cloned();
        Ok(keys.iter().map(known).collect())
    }

    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        self.answers().await?;
        let mut users = lock(&self.kept.users);
        for UserChange { key, entries } in changes {
            let user = users.entry(key).or_default();
            entries.into_iter().for_each(|entry| user.apply(entry));
        }
        Ok(())
    }
}

fn place(address: &SuppressedAddress) -> (Box<str>, SuppressionPlace) {
    (address.tenant.clone(), SuppressionPlace::of(address))
}

#[async_trait]
impl Suppressions for FakeStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        self.answers().await?;
        let held = lock(&self.kept.suppressions);
        Ok(addresses.iter().map(|address| held.get(&place(address)).cloned()).collect())
    }

    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError> {
        self.answers().await?;
        let mut held = lock(&self.kept.suppressions);
        for (address, suppression) in changes {
            match suppression {
                Some(suppression) => held.insert(place(&address), suppression),
                None => held.remove(&place(&address)),
            };
        }
        Ok(())
    }

    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        self.answers().await?;
        let held = lock(&self.kept.suppressions);
        let listed = held.iter().filter(|((owner, place), _)| **owner == *tenant && after.is_none_or(|it| *place > it));
        let listed = listed.take(limit);
        Ok(listed.map(|((_, place), held)| ListedSuppression { place: *place, suppression: held.clone() }).collect())
    }
}

#[async_trait]
impl BrakeRows for FakeStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.answers().await?;
        Ok(lock(&self.kept.brakes).clone())
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        self.answers().await?;
        let mut brakes = lock(&self.kept.brakes);
        brakes.retain(|other| (&other.scope, other.effect) != (&brake.scope, brake.effect));
        brakes.push(brake.clone());
        brakes.sort();
        Ok(())
    }
}
