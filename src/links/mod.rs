//! Links that go out in messages and are called by strangers: signed, so that nobody makes their own.
//!
//! In: what a link is to say. Out: a token for an address, and back. Promise: what is read from a token was written here, with a
//! key that is still known; a token says all that is needed to do what it asks for, since it outlives the rows of its message.

mod choices;
mod pass;
mod token;
mod tracked;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::domain::{Channel, TaskId, Timestamp};

pub use choices::{ChoicesLink, LinkError};
pub use pass::{MaySee, PASS_PREFIX, PASS_USERS_MAX, Pass, PassError};
pub use tracked::{ClickLink, TrackedMail};

/// Letters of a token; a tenant, a user and a category as long as the API takes them fit.
const TOKEN_CHARS_MAX: usize = 2048;
/// Of the signature: 128 bits, half of HMAC-SHA256, as RFC 2104 (5) allows at least.
const MAC_BYTES: usize = 16;
/// Which key signed it: enough to tell a few apart.
const KEY_ID_BYTES: usize = 4;
/// Characters of a secret: fewer can be guessed.
const SECRET_CHARS_MIN: usize = 32;

/// What a token is for is signed with it: one is never taken for the other.
const UNSUBSCRIBE: &[u8] = b"fanfare: unsubscribe\0";
const PSEUDONYM: &[u8] = b"fanfare: pseudonym\0";
const PASS: &[u8] = b"fanfare: pass\0";
const CHOICES: &[u8] = b"fanfare: choices\0";

const OPEN: &[u8] = b"fanfare: open\0";
const CLICK: &[u8] = b"fanfare: click\0";

/// Where links lead that are for the reader alone, and counted by nobody.
const OWN_PATHS: [&str; 3] = ["/u/", "/preferences/", "/t/"];

/// Letters of a pass: with as many users as it may name, and ids of the usual length. Proxies take no longer addresses.
const PASS_CHARS_MAX: usize = 4096;

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
    /// The same as addresses are written out.
    canonical: String,
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
        let base = public_url.trim_end_matches('/').to_owned();
        let canonical =
            url::Url::parse(&base).map_or_else(|_| base.clone(), |url| url.as_str().trim_end_matches('/').to_owned());
        Ok(Self { base, canonical, keys: keys? })
    }

    /// A name in the place of a user's, which tells them from others and not who they are; as long as the secret is the same, the same.
    pub fn pseudonym(&self, tenant: &str, user_id: &str) -> String {
        let mut said = (tenant.len() as u64).to_be_bytes().to_vec();
        said.extend_from_slice(tenant.as_bytes());
        said.extend_from_slice(user_id.as_bytes());
        let mac = self.keys.first().map(|key| key.mac(PSEUDONYM, &said)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(mac)
    }

    /// The address that takes somebody off a list; `None`: its token would be longer than anybody takes.
    pub fn unsubscribe(&self, said: &Unsubscribe) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = key.id.to_vec();
        token::write(said, &mut bytes)?;
        let token = key.sealed(UNSUBSCRIBE, bytes);
        (token.len() <= TOKEN_CHARS_MAX).then(|| format!("{}/u/{token}", self.base))
    }

    /// What a token says; `None`: it was not made here.
    pub fn read_unsubscribe(&self, token: &str) -> Option<Unsubscribe> {
        token::read(&self.opened(UNSUBSCRIBE, token, TOKEN_CHARS_MAX)?)
    }

    /// The address of the page where somebody chooses what they get; `None`: its token would be longer than anybody takes.
    pub fn choices(&self, link: &ChoicesLink) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = key.id.to_vec();
        choices::write(link, &mut bytes)?;
        let token = key.sealed(CHOICES, bytes);
        (token.len() <= TOKEN_CHARS_MAX).then(|| format!("{}/preferences/{token}", self.base))
    }

    /// Whose choices they are.
    pub fn read_choices(&self, token: &str, now: Timestamp) -> Result<ChoicesLink, LinkError> {
        let bytes = self.opened(CHOICES, token, TOKEN_CHARS_MAX).ok_or(LinkError::Unknown)?;
        let link = choices::read(&bytes).ok_or(LinkError::Unknown)?;
        if link.expires_at <= now { Err(LinkError::Expired) } else { Ok(link) }
    }

    /// The address of the image that notes that a mail was opened; `None`: its tenant's name is too long.
    pub fn open(&self, mail: &TrackedMail) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = key.id.to_vec();
        tracked::write_mail(mail, &mut bytes)?;
        Some(format!("{}/t/o/{}", self.base, key.sealed(OPEN, bytes)))
    }

    /// Which mail was opened; `None`: it was not made here.
    pub fn read_open(&self, token: &str) -> Option<TrackedMail> {
        tracked::read_mail(&self.opened(OPEN, token, TOKEN_CHARS_MAX)?)
    }

    /// The address that notes a click and leads on to `target`, which is an absolute address of http or https as [`url::Url`] writes it
    /// out; `None`: it is none, or its token would be longer than anybody takes.
    pub fn click(&self, mail: &TrackedMail, ordinal: u16, target: &str) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = Vec::with_capacity(target.len() + 128);
        bytes.extend_from_slice(&key.id);
        tracked::write_click(mail, ordinal, target, &mut bytes)?;
        let token = key.sealed(CLICK, bytes);
        (token.len() <= TOKEN_CHARS_MAX).then(|| format!("{}/t/c/{token}", self.base))
    }

    /// Which link was followed, and where it leads; `None`: it was not made here.
    pub fn read_click(&self, token: &str) -> Option<ClickLink> {
        tracked::read_click(&self.opened(CLICK, token, TOKEN_CHARS_MAX)?)
    }

    /// Whether an address, as [`url::Url`] writes it out, is one of those that are made here.
    pub fn is_own(&self, target: &str) -> bool {
        let path = target.strip_prefix(&self.canonical);
        path.is_some_and(|path| OWN_PATHS.iter().any(|own| path.starts_with(own)))
    }

    /// What a program of a user shows us instead of a key; `None`: it says more than fits.
    pub fn pass(&self, pass: &Pass) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = key.id.to_vec();
        pass::write(pass, &mut bytes)?;
        let sealed = key.sealed(PASS, bytes);
        (sealed.len() <= PASS_CHARS_MAX).then(|| format!("{PASS_PREFIX}{sealed}"))
    }

    /// Who shows it.
    pub fn read_pass(&self, token: &str, now: Timestamp) -> Result<Pass, PassError> {
        let sealed = token.strip_prefix(PASS_PREFIX).ok_or(PassError::Unknown)?;
        let bytes = self.opened(PASS, sealed, PASS_CHARS_MAX).ok_or(PassError::Unknown)?;
        let pass = pass::read(&bytes).ok_or(PassError::Unknown)?;
        if pass.expires_at <= now { Err(PassError::Expired) } else { Ok(pass) }
    }

    /// What was sealed for this use; `None`: not here.
    fn opened(&self, purpose: &[u8], token: &str, chars_max: usize) -> Option<Vec<u8>> {
        if token.len() > chars_max {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (id, said) = signed.split_first_chunk::<KEY_ID_BYTES>()?;
        let is_genuine = |key: &&Key| key.id == *id && bool::from(key.mac(purpose, signed).ct_eq(mac));
        self.keys.iter().find(is_genuine)?;
        Some(said.to_vec())
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

    /// As it goes out, with its signature; it begins with this key's id.
    fn sealed(&self, purpose: &[u8], mut bytes: Vec<u8>) -> String {
        let mac = self.mac(purpose, &bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(&bytes)
    }

    /// Over what a token says, and what it is for.
    fn mac(&self, purpose: &[u8], signed: &[u8]) -> [u8; MAC_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
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
    fn a_pass_is_taken_until_it_ends_and_is_no_other_token() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        for may_see in [MaySee::Nobody, MaySee::Everybody, MaySee::These(vec!["bob".into(), "Ünal".into()])] {
            let pass = Pass { tenant: "acme".into(), user_id: "alice".into(), expires_at: Timestamp(2_000), may_see };
            let token = links.pass(&pass).expect("short enough");
            assert_eq!(links.read_pass(&token, Timestamp(1_999)), Ok(pass));
            assert_eq!(links.read_pass(&token, Timestamp(2_000)), Err(PassError::Expired));
            assert_eq!(links.read_pass(&token[..token.len() - 1], Timestamp(0)), Err(PassError::Unknown));
            let bare = token.strip_prefix(PASS_PREFIX).expect("it begins so");
            assert_eq!(links.read_unsubscribe(bare), None);
            assert_eq!(links.read_pass(bare, Timestamp(0)), Err(PassError::Unknown));
        }
        let unsubscribe = token(&links, &said(Whom::User("alice".into())));
        assert_eq!(links.read_pass(&format!("{PASS_PREFIX}{unsubscribe}"), Timestamp(0)), Err(PassError::Unknown));
        let many = (0..=PASS_USERS_MAX).map(|one| format!("u{one}").into()).collect();
        let pass = Pass {
            tenant: "acme".into(),
            user_id: "alice".into(),
            expires_at: Timestamp(2_000),
            may_see: MaySee::These(many),
        };
        assert_eq!(links.pass(&pass), None);
    }

    #[test]
    fn a_link_to_choices_is_taken_until_it_ends_and_is_no_other_token() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let link = ChoicesLink {
            tenant: "acme".into(),
            user_id: "<b>Ünal</b>".into(),
            made_at: Timestamp(1_000),
            expires_at: Timestamp(2_000),
        };
        let url = links.choices(&link).expect("short enough");
        let token = url.strip_prefix("https://notify.example.com/preferences/").expect("it begins so");
        assert_eq!(links.read_choices(token, Timestamp(1_999)), Ok(link.clone()));
        assert_eq!(links.read_choices(token, Timestamp(2_000)), Err(LinkError::Expired));
        assert_eq!(links.read_choices(&token[..token.len() - 1], Timestamp(0)), Err(LinkError::Unknown));
        assert_eq!(links.read_unsubscribe(token), None);
        assert!(links.read_pass(&format!("{PASS_PREFIX}{token}"), Timestamp(0)).is_err());
        let unsubscribe = self::token(&links, &said(Whom::User("alice".into())));
        assert_eq!(links.read_choices(&unsubscribe, Timestamp(0)), Err(LinkError::Unknown));
        let long = ChoicesLink { user_id: "u".repeat(3_000).into(), ..link };
        assert_eq!(links.choices(&long), None);
    }

    fn tracked_mail() -> TrackedMail {
        let task = said(Whom::User("alice".into())).task;
        TrackedMail { tenant: "acme".into(), task, made_at: Timestamp(1_795_000_000_123) }
    }

    const TARGET: &str = "https://shop.example/orders/7?from=mail&x=%C3%BC#top";

    #[test]
    fn a_pixel_and_a_link_say_what_was_put_into_them_and_are_taken_for_nothing_else() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let mail = tracked_mail();
        let open = links.open(&mail).expect("short enough");
        let open = open.strip_prefix("https://notify.example.com/t/o/").expect("it begins so");
        let click = links.click(&mail, 3, TARGET).expect("short enough");
        let click = click.strip_prefix("https://notify.example.com/t/c/").expect("it begins so");
        assert_eq!(links.read_open(open), Some(mail.clone()));
        assert_eq!(links.read_click(click), Some(ClickLink { mail, ordinal: 3, target: TARGET.into() }));
        assert!(open.len() <= 64, "{} letters in every mail", open.len());
        assert!(click.len() <= 64 + TARGET.len() * 4 / 3 + 3, "{} letters in every link", click.len());
        assert_eq!((links.read_open(click), links.read_click(open)), (None, None));
        let unsubscribe = token(&links, &said(Whom::User("alice".into())));
        assert_eq!((links.read_open(&unsubscribe), links.read_click(&unsubscribe)), (None, None));
        assert_eq!((links.read_unsubscribe(click), links.read_unsubscribe(open)), (None, None));
        assert!(links.read_choices(click, Timestamp(0)).is_err());
    }

    #[test]
    fn a_pixel_or_a_link_that_was_changed_anywhere_or_cut_is_nobodys() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let read = |token: &str| (links.read_open(token).is_some(), links.read_click(token).is_some());
        for url in [links.open(&tracked_mail()), links.click(&tracked_mail(), 1, TARGET)] {
            let url = url.expect("short enough");
            let bytes = URL_SAFE_NO_PAD.decode(url.rsplit('/').next().expect("a token")).expect("as it was made");
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert_eq!(read(&URL_SAFE_NO_PAD.encode(&changed)), (false, false), "byte {at} of {url}");
                assert_eq!(read(&URL_SAFE_NO_PAD.encode(&bytes[..at])), (false, false), "{url} cut at {at}");
            }
        }
        assert_eq!(read(&"A".repeat(5000)), (false, false));
        assert_eq!(read("https://evil.example"), (false, false));
    }

    #[test]
    fn a_link_outlives_its_secret_as_long_as_that_is_still_taken() {
        let before = Links::new(URL, &secret("a"), &[]).expect("long enough");
        let click = before.click(&tracked_mail(), 1, TARGET).expect("short enough");
        let click = click.rsplit('/').next().expect("a token");
        let after = Links::new(URL, &secret("b"), &[secret("a")]).expect("long enough");
        assert!(after.read_click(click).is_some());
        let without = Links::new(URL, &secret("b"), &[]).expect("long enough");
        assert_eq!(without.read_click(click), None);
    }

    #[test]
    fn nothing_but_the_web_can_be_signed_as_a_target_nor_what_does_not_fit() {
        let links = Links::new(URL, &secret("a"), &[]).expect("long enough");
        for target in [
            "javascript:alert(1)",
            "mailto:a@example.com",
            "//evil.example",
            "https://a b",
            "https://ü",
            "",
            "HTTP://x",
        ] {
            assert_eq!(links.click(&tracked_mail(), 1, target), None, "{target}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(1_600));
        assert_eq!(links.click(&tracked_mail(), 1, &long), None);
        assert!(links.click(&tracked_mail(), 1, &long[..1_400]).is_some());
    }

    #[test]
    fn our_own_links_are_known_however_our_address_is_written() {
        for url in ["https://Notify.example.com:443/base/", "https://notify.example.com/base"] {
            let links = Links::new(url, &secret("a"), &[]).expect("long enough");
            for own in ["u/abc", "preferences/abc", "t/c/abc"] {
                assert!(links.is_own(&format!("https://notify.example.com/base/{own}")), "{own} of {url}");
            }
            for other in
                ["https://notify.example.com/base/docs", "https://notify.example.com/u/x", "https://shop.example/u/x"]
            {
                assert!(!links.is_own(other), "{other} of {url}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Links::new(URL, &Secret::new("short"), &[]).err(), Some(ShortSecret));
    }
}
