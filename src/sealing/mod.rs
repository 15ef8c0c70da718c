//! What is personal is sealed: what is written of a user to the log and to the store is encrypted under a secret of that user, so that
//! destroying the secret makes it unreadable wherever it stands, also where nothing can be deleted.
//!
//! In: users, and bytes that are theirs. Out: the bytes sealed, and opened for as long as the user's secret is there. Promise: what was
//! sealed is never taken for another's, nor for another row's, and on no node is a destroyed secret used for longer than a copy of what is
//! known of a user is believed ([`crate::users`]).
//!
//! Sealed bytes are AES-256-GCM: the id of the secret (8 bytes, little-endian), a nonce (12 bytes), the encrypted bytes, a tag (16).

mod cipher;
mod keyring;
mod owner;
mod rows;
mod store;
mod tasks;

#[cfg(test)]
pub(crate) mod testing;

pub use cipher::{OVERHEAD, ROOM, SealError, open, seal, seal_in_place, secret_of};
pub use keyring::{Keyring, MISSING, Opener, SecretId};
pub use owner::{AddressKey, LazyAddressKey};
pub use store::SealedStore;
