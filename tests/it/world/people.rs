//! What is known of users and addresses, in memory: it says what it was asked for.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use fanfare::domain::{
    AddressKind, SuppressedAddress, Suppression, SuppressionCause, Timestamp, User, UserEntry, UserKey,
};
use fanfare::store::{StoreError, SuppressionChange, Suppressions, UserChange, Users};

#[derive(Default)]
pub struct TestPeople {
    users: Mutex<HashMap<UserKey, User>>,
    suppressed: Mutex<HashMap<SuppressedAddress, Suppression>>,
}

impl TestPeople {
    pub fn know(&self, user_id: &str, entries: impl IntoIterator<Item = UserEntry>) {
        let key = UserKey { tenant: "default".into(), user_id: user_id.into() };
        let mut users = self.users.lock().expect("not poisoned");
        let user = users.entry(key).or_default();
        entries.into_iter().for_each(|entry| user.apply(entry));
    }

    pub fn suppress(&self, kind: AddressKind, address: &str) {
        let suppression =
            Suppression { address: None, cause: SuppressionCause::HardBounce, since: Timestamp(0), until: None };
        let address = SuppressedAddress::new("default", kind, address);
        self.suppressed.lock().expect("not poisoned").insert(address, suppression);
    }
}

#[async_trait]
impl Users for TestPeople {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let users = self.users.lock().expect("not poisoned");
        Ok(keys.iter().map(|key| users.get(key).cloned()).collect())
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("tests say what is known".to_owned()))
    }
}

#[async_trait]
impl Suppressions for TestPeople {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        let suppressed = self.suppressed.lock().expect("not poisoned");
        Ok(addresses.iter().map(|address| suppressed.get(address).cloned()).collect())
    }

    async fn write_suppressions(&self, _: Vec<SuppressionChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("tests say what is known".to_owned()))
    }

    async fn all_suppressions(
        &self,
        _: &str,
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<(Vec<u8>, Suppression)>, StoreError> {
        Ok(Vec::new())
    }
}
