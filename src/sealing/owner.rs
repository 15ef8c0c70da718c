//! Whose something is: the user's that it names, and without one the address's, of which only a hash stands.
//!
//! The hash is keyed (HMAC-SHA-256, RFC 2104), by a key of the whole installation: without it nobody can try addresses against what
//! stands in the log and in the database.

use std::sync::Arc;

use ring::hmac::{self, HMAC_SHA256};
use tokio::sync::OnceCell;

use crate::domain::{AddressKind, Owner, Recipient, SuppressedAddress, UserKey};
use crate::store::{StoreError, SuppressionPlace, UserSecret, UserSecrets};

/// Before the hash of an address in the place of a user's id; no user's id has it.
const ADDRESS: char = '\u{1}';

/// What addresses are hashed under.
pub struct AddressKey(hmac::Key);

impl AddressKey {
    pub fn new(bytes: &[u8; UserSecret::BYTES]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, bytes))
    }

    /// Whose a message is. `None`: nobody's who could be erased, as of webhooks to an address of a machine.
    pub fn of_message(&self, tenant: &str, user_id: Option<&str>, to: &Recipient) -> Option<UserKey> {
        if let Some(user_id) = user_id {
            return Some(UserKey { tenant: tenant.into(), user_id: user_id.into() });
        }
        let by = |kind, text: &Option<Box<str>>| text.as_ref().map(|text| SuppressedAddress::new(tenant, kind, text));
        let address = by(AddressKind::Email, &to.email).or_else(|| by(AddressKind::Phone, &to.phone))?;
        Some(self.of_address(&address))
    }

    /// By whose secret what an owner has is sealed.
    pub fn of_owner(&self, owner: Owner) -> UserKey {
        match owner {
            Owner::User(user) => user,
            Owner::Address(address) => self.of_address(&address),
        }
    }

    /// An address as the owner of what nobody's id stands on: by its hash.
    pub fn of_address(&self, address: &SuppressedAddress) -> UserKey {
        of_place(&address.tenant, &SuppressionPlace::of(&self.hidden(address)))
    }

    /// What stands for an address where it is written: of the same tenant and kind, and nothing of it can be read.
    pub(super) fn hidden(&self, address: &SuppressedAddress) -> SuppressedAddress {
        let mut hash = hmac::Context::with_key(&self.0);
        hash.update(&[address.kind as u8]);
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update(&(address.tenant.len() as u64).to_be_bytes());
        hash.update(address.tenant.as_bytes());
        hash.update(address.address().as_bytes());
        let mut text = String::with_capacity(64);
        add_hex(hash.sign().as_ref(), &mut text);
        SuppressedAddress::new(&address.tenant, address.kind, &text)
    }
}

/// The key of an installation, asked for when it is first needed, and once.
pub struct LazyAddressKey {
    secrets: Arc<dyn UserSecrets>,
    key: OnceCell<AddressKey>,
}

impl LazyAddressKey {
    pub fn new(secrets: Arc<dyn UserSecrets>) -> Self {
        Self { secrets, key: OnceCell::new() }
    }

    pub async fn get(&self) -> Result<&AddressKey, StoreError> {
        self.key.get_or_try_init(async || Ok(AddressKey::new(&self.secrets.address_key().await?))).await
    }
}

/// The same of an address of which only the place among the suppressions is known.
pub(super) fn of_place(tenant: &str, place: &SuppressionPlace) -> UserKey {
    let mut user_id = String::with_capacity(1 + 2 * place.as_bytes().len());
    user_id.push(ADDRESS);
    add_hex(place.as_bytes(), &mut user_id);
    UserKey { tenant: tenant.into(), user_id: user_id.into() }
}

fn add_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    text.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> AddressKey {
        AddressKey::new(&[byte; UserSecret::BYTES])
    }

    fn mail(tenant: &str) -> SuppressedAddress {
        SuppressedAddress::new(tenant, AddressKind::Email, "a@example.org")
    }

    #[test]
    fn what_stands_for_an_address_is_another_under_another_key_and_of_another_kind_or_tenant() {
        let phone = SuppressedAddress::new("default", AddressKind::Phone, "a@example.org");
        let all = [
            key(1).of_address(&mail("default")),
            key(2).of_address(&mail("default")),
            key(1).of_address(&mail("another")),
            key(1).of_address(&phone),
            of_place("default", &SuppressionPlace::of(&mail("default"))),
        ];
        for (number, one) in all.iter().enumerate() {
            assert!(all[..number].iter().all(|before| before.user_id != one.user_id));
        }
        assert_eq!(key(1).of_address(&SuppressedAddress::new("default", AddressKind::Email, "A@example.ORG")), all[0]);
    }

    #[test]
    fn a_message_is_its_users_and_without_one_its_addresss() {
        let to = Recipient {
            email: Some("a@example.org".into()),
            phone: Some("+4930123456".into()),
            ..Recipient::default()
        };
        let alice = UserKey { tenant: "default".into(), user_id: "alice".into() };
        assert_eq!(key(1).of_message("default", Some("alice"), &to), Some(alice));
        let address = key(1).of_message("default", None, &to).expect("it has an address");
        assert_eq!(address, key(1).of_address(&mail("default")));
        assert!(!address.user_id.contains("example"));
        let hook = Recipient { url: Some("https://example.org".into()), ..Recipient::default() };
        assert_eq!(key(1).of_message("default", None, &hook), None);
    }
}
