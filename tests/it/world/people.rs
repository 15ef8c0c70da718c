//! What a test lets be known of users and addresses.

use fanfare::domain::{AddressKind, SuppressedAddress, Suppression, SuppressionCause, Timestamp, UserEntry, UserKey};
use fanfare::store::UserChange;

use super::World;

impl World {
    /// Makes it known, as the API does, of the test's own user of that name.
    pub async fn know(&self, user: &str, entries: impl IntoIterator<Item = UserEntry>) {
        let key = UserKey { tenant: "default".into(), user_id: self.place.own(user).into() };
        let change = UserChange { key, entries: entries.into_iter().collect() };
        self.users.write_users(vec![change]).await.expect("written");
    }

    pub async fn suppress(&self, kind: AddressKind, address: &str) {
        let suppression = Suppression {
            address: None,
            sealed_address: None,
            cause: SuppressionCause::HardBounce,
            since: Timestamp(0),
            until: None,
        };
        let address = SuppressedAddress::new("default", kind, address);
        self.users.write_suppressions(vec![(address, Some(suppression))]).await.expect("written");
    }
}
