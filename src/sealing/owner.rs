//! Whose something is: the user's that it names, and without one the address's.

use crate::domain::{AddressKind, Owner, Recipient, SuppressedAddress, UserKey};
use crate::store::SuppressionPlace;

/// Before the hash of an address in the place of a user's id; no user's id has it.
const ADDRESS: char = '\u{1}';

/// Whose a message is. `None`: nobody's who could be erased, as of webhooks to an address of a machine.
pub fn of_message(tenant: &str, user_id: Option<&str>, to: &Recipient) -> Option<UserKey> {
    if let Some(user_id) = user_id {
        return Some(UserKey { tenant: tenant.into(), user_id: user_id.into() });
    }
    let by = |kind, address: &Option<Box<str>>| address.as_ref().map(|text| SuppressedAddress::new(tenant, kind, text));
    let address = by(AddressKind::Email, &to.email).or_else(|| by(AddressKind::Phone, &to.phone))?;
    Some(of_address(&address))
}

/// By whose secret what an owner has is sealed.
pub fn of_owner(owner: Owner) -> UserKey {
    match owner {
        Owner::User(user) => user,
        Owner::Address(address) => of_address(&address),
    }
}

/// An address as the owner of what nobody's id stands on: by its hash.
pub fn of_address(address: &SuppressedAddress) -> UserKey {
    of_place(&address.tenant, &SuppressionPlace::of(address))
}

/// The same of an address of which only the place among the suppressions is known.
pub(super) fn of_place(tenant: &str, place: &SuppressionPlace) -> UserKey {
    let mut user_id = String::from(ADDRESS);
    for byte in place.as_bytes() {
        user_id.push_str(&format!("{byte:02x}"));
    }
    UserKey { tenant: tenant.into(), user_id: user_id.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_users_and_without_one_its_addresss() {
        let to = Recipient {
            email: Some("a@example.org".into()),
            phone: Some("+4930123456".into()),
            ..Recipient::default()
        };
        let alice = UserKey { tenant: "default".into(), user_id: "alice".into() };
        assert_eq!(of_message("default", Some("alice"), &to), Some(alice));
        let address = of_message("default", None, &to).expect("it has an address");
        assert_eq!(address, of_address(&SuppressedAddress::new("default", AddressKind::Email, "a@example.org")));
        assert!(!address.user_id.contains("example"));
        assert_ne!(address, of_address(&SuppressedAddress::new("another", AddressKind::Email, "a@example.org")));
        let hook = Recipient { url: Some("https://example.org".into()), ..Recipient::default() };
        assert_eq!(of_message("default", None, &hook), None);
    }
}
