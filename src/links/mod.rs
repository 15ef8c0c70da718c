//! Links that go out in messages and are called by strangers: signed, so that nobody makes their own.
//!
//! In: what a link is to say. Out: a token for an address, and back. Promise: what is read from a token was written here, with a
//! key that is still known; a token says all that is needed to do what it asks for, since it outlives the rows of its message.

mod token;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::domain::{Channel, TaskId};

/// Letters of a token; a tenant, a user and a category as long as the API takes them fit.
const TOKEN_CHARS_MAX: usize = 2048;
/// Of the signature: 128 bits, half of HMAC-SHA256, as RFC 2104 (5) allows at least.
const MAC_BYTES: usize = 16;
/// Which key signed it: enough to tell a few apart.
const KEY_ID_BYTES: usize = 4;
/// Characters of a secret: fewer can be guessed.
const SECRET_CHARS_MIN: usize = 32;

/// A secret that is too short to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret that signs links must have at least {SECRET_CHARS_MIN} characters: make one with `openssl rand -hex 32`"
)]
pub struct ShortSecret;

/// Who takes themselves off a list, and off which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    pub tenant: Box<str>,
    pub whom: Whom,
    pub category: Box<str>,
    pub channel: Channel,
    /// The message that the link stood in.
    pub task: TaskId,
}

/// Whom a link is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// By the id that the tenant has for them.
    User(Box<str>),
    /// Nobody with an id: who reads this mailbox.
    Email(Box<str>),
}

/// Makes and reads links.
pub struct Links {
    /// What addresses begin with, without a slash at its end.
    base: String,
    /// The first signs; what any of them signed is taken.
    keys: Vec<Key>,
}

struct Key {
    id: [u8; KEY_ID_BYTES],
    key: hmac::Key,
}

impl Links {
    /// `public_url`: what the outside knows us by. `old`: secrets that signed before and are still taken.
    pub fn new(public_url: &str, secret: &Secret, old: &[Secret]) -> Result<Self, ShortSecret> {
        let keys: Result<Vec<Key>, ShortSecret> = std::iter::once(secret).chain(old).map(Key::new).collect();
        Ok(Self { base: public_url.trim_end_matches('/').to_owned(), keys: keys? })
    }

    /// The address that takes somebody off a list; `None`: its token would be longer than anybody takes.
    pub fn unsubscribe(&self, said: &Unsubscribe) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = key.id.to_vec();
        token::write(said, &mut bytes)?;
        let mac = key.mac(&bytes);
        bytes.extend_from_slice(&mac);
        let token = URL_SAFE_NO_PAD.encode(&bytes);
        (token.len() <= TOKEN_CHARS_MAX).then(|| format!("{}/u/{token}", self.base))
    }

    /// What a token says; `None`: it was not made here.
    pub fn read_unsubscribe(&self, token: &str) -> Option<Unsubscribe> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (id, said) = signed.split_first_chunk::<KEY_ID_BYTES>()?;
        let is_genuine = |key: &&Key| key.id == *id && bool::from(key.mac(signed).ct_eq(mac));
        self.keys.iter().find(is_genuine)?;
        token::read(said)
    }
}

impl Key {
    fn new(secret: &Secret) -> Result<Self, ShortSecret> {
        let secret = secret.expose();
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(ShortSecret);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hmac::sign(&key, b"fanfare: the id of this key").as_ref()[..KEY_ID_BYTES]);
        Ok(Self { id, key })
    }

    /// Over what a token says, and what it is for.
    fn mac(&self, signed: &[u8]) -> [u8; MAC_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"fanfare: unsubscribe\0");
        context.update(signed);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&context.sign().as_ref()[..MAC_BYTES]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, Priority, ShardId};

    const URL: &str = "https://notify.example.com";

    fn secret(letter: &str) -> Secret {
        Secret::new(letter.repeat(40))
    }

    fn said(whom: Whom) -> Unsubscribe {
        let shard = ShardId { generation: 1, lane: Priority::Low, partition: 3 };
        let task = TaskId { position: Position::new(shard, 1 << 40 | 7), ordinal: 2 };
        Unsubscribe { tenant: "acme".into(), whom, category: "marketing".into(), channel: Channel::Email, task }
    }

    fn token(links: &Links, said: &Unsubscribe) -> String {
        let link = links.unsubscribe(said).expect("short enough");
        link.strip_prefix("https://notify.example.com/u/").expect("it begins so").to_owned()
    }

    #[test]
    fn a_token_says_what_was_put_into_it() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        for whom in [Whom::User("alice".into()), Whom::Email("a@example.com".into())] {
            let token = token(&links, &said(whom.clone()));
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
            assert_eq!(links.read_unsubscribe(&token), Some(said(whom)));
        }
    }

    #[test]
    fn a_token_that_was_changed_anywhere_or_cut_is_nobodys() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let token = token(&links, &said(Whom::User("alice".into())));
        let bytes = URL_SAFE_NO_PAD.decode(&token).expect("as it was made");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(links.read_unsubscribe(&URL_SAFE_NO_PAD.encode(&changed)), None, "byte {at}");
            assert_eq!(links.read_unsubscribe(&URL_SAFE_NO_PAD.encode(&bytes[..at])), None, "cut at {at}");
        }
        assert_eq!(links.read_unsubscribe(&"A".repeat(5000)), None);
        assert_eq!(links.read_unsubscribe("é/.."), None);
    }

    #[test]
    fn a_token_of_an_old_secret_is_taken_and_one_of_a_strange_secret_is_not() {
        let before = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let token = token(&before, &said(Whom::User("alice".into())));
        let after = Links::new(URL, &secret("b"), &[secret("a")]).expect("long enough");
        assert!(after.read_unsubscribe(&token).is_some());
        let strange = Links::new(URL, &secret("b"), &[]).expect("long enough");
        assert_eq!(strange.read_unsubscribe(&token), None);
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Links::new(URL, &Secret::new("short"), &[]).err(), Some(ShortSecret));
    }
}
