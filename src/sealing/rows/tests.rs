//! Rows about people over a real store on disk: what every backend promises holds, what was written is in no file, and what was sealed
//! under a destroyed secret is as if it were not there.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::{ManualClock, SharedClock};
use crate::codec;
use crate::disk::testing;
use crate::domain::{
    AddressKind, Consent, Device, Platform, SuppressedAddress, Suppression, SuppressionCause, Timestamp, User,
    UserEntry, UserKey,
};
use crate::sealing::testing::FakeSecrets;
use crate::sealing::testing::address_key;
use crate::sealing::{Keyring, SealedStore};
use crate::store::conformance_users::{UserBackend, user_conformance};
use crate::store::{EmbeddedStore, KeyedKind, KeyedPart, KeyedRow, SharedStore, UserChange, UserSecrets, newest_first};
use crate::users::{ChangeKey, Changes, LocalChanges};

const NOW: Timestamp = Timestamp(4_000_000_000_000);

/// A store in a directory of its own, and the secrets beside it.
struct Sealed {
    dir: tempfile::TempDir,
    secrets: Arc<FakeSecrets>,
    changes: Arc<LocalChanges>,
}

impl Sealed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, secrets: Arc::default(), changes: Arc::default() }
    }

    /// The store as it is, and sealed.
    fn both(&self, clock: SharedClock) -> (SharedStore, SharedStore) {
        let disk = testing::disk_with(self.dir.path(), |settings| settings.clock = clock.clone());
        let store: SharedStore = EmbeddedStore::open(disk).expect("the store opens");
        let keyring = Keyring::new(self.secrets.clone(), clock, self.changes.clone());
        (store.clone(), SealedStore::over(store, keyring))
    }

    /// Destroys the secrets of an owner, and tells it.
    async fn destroy(&self, owner: &UserKey) {
        assert!(self.secrets.destroy_user_secrets(owner).await.expect("destroyed") > 0, "there was one");
        self.changes.announce(&[ChangeKey::of_user(owner)]).await.expect("told");
    }
}

#[async_trait]
impl UserBackend for Sealed {
    async fn open(&self) -> SharedStore {
        self.open_at(ManualClock::starting_at(NOW)).await
    }

    async fn open_at(&self, clock: SharedClock) -> SharedStore {
        self.both(clock).1
    }
}

mod people {
    use super::*;

    user_conformance!(Sealed::new());
}

mod keyed {
    use super::*;
    use crate::store::conformance_keyed::keyed_conformance;

    keyed_conformance!(Sealed::new());
}

/// Texts that no file may have.
const PLANTED: [&str; 10] = [
    "planted.mail@example.org",
    "+4930555000",
    "planted-token",
    "planted-attribute",
    "planted-note",
    "planted-inbox",
    "planted.listed@example.org",
    "planted-member-data",
    "planted.suppressed@example.org",
    "planted-day",
];

fn alice() -> UserKey {
    UserKey { tenant: "acme".into(), user_id: "alice".into() }
}

fn listed() -> SuppressedAddress {
    SuppressedAddress::new("acme", AddressKind::Email, PLANTED[6])
}

fn suppressed() -> SuppressedAddress {
    SuppressedAddress::new("acme", AddressKind::Email, PLANTED[8])
}

fn entries() -> Vec<UserEntry> {
    let device = Device {
        platform: Platform::Ios,
        token: PLANTED[2].into(),
        registered_at: NOW,
        seen_at: NOW,
        dead_since: None,
    };
    vec![
        UserEntry::Created(Some(NOW)),
        UserEntry::Email(Some(PLANTED[0].into())),
        UserEntry::Phone(Some(PLANTED[1].into())),
        UserEntry::Device { id: "d".into(), device: Some(device) },
        UserEntry::Attribute { name: "tier".into(), value: Some(PLANTED[3].into()) },
        UserEntry::Consent { purpose: "news".into(), consent: Some(Consent::withdrawn(None, PLANTED[4], NOW)) },
    ]
}

fn row(kind: KeyedKind, words: &[&[u8]], name: &[u8], body: Vec<u8>) -> KeyedRow {
    KeyedRow { part: KeyedPart::of(kind, words), name: name.into(), body: Some(Bytes::from(body)) }
}

/// Rows of every kind that is sealed: of Alice, and the last of an address.
fn rows() -> Vec<KeyedRow> {
    let own: [&[u8]; 2] = [b"acme", b"alice"];
    let text = codec::encode_index_entry;
    let at = newest_first(NOW);
    let member = |who: &str| {
        let json = format!(r#"{{"tenant":"acme",{who},"data":{{"x":"{}"}}}}"#, PLANTED[7]);
        codec::encode_list_member(&json)
    };
    vec![
        row(KeyedKind::Inbox, &own, &at, text(PLANTED[5])),
        row(KeyedKind::InboxArchived, &own, &at, text(PLANTED[5])),
        row(
            KeyedKind::Consents,
            &own,
            b"news\0",
            codec::encode_consent("news", &Consent::withdrawn(None, PLANTED[4], NOW)),
        ),
        row(KeyedKind::DayIndex, &[b"acme", b"born", &[0; 4], &[0; 2]], b"alice", text(PLANTED[9])),
        row(KeyedKind::ListMembers, &[b"lst_1", &[0; 2]], b"alice", member(r#""user_id":"alice""#)),
        row(KeyedKind::ListMembers, &[b"lst_1", &[0; 2]], b"hash", member(&format!(r#""email":"{}""#, PLANTED[6]))),
    ]
}

fn suppression() -> Suppression {
    let (cause, address) = (SuppressionCause::OptOut, Some(PLANTED[8].into()));
    Suppression { address, sealed_address: None, cause, since: NOW, until: None }
}

async fn write_all(store: &SharedStore) {
    store.write_users(vec![UserChange { key: alice(), entries: entries() }]).await.expect("written");
    store.put_keyed(rows()).await.expect("written");
    store.write_suppressions(vec![(suppressed(), Some(suppression()))]).await.expect("written");
}

async fn check_all_is_there(store: &SharedStore) {
    assert_eq!(store.users(&[alice()]).await.expect("read"), [User::from_entries(entries())]);
    for row in rows() {
        let found = store.keyed(&[(row.part.clone(), row.name.clone())]).await.expect("read");
        assert_eq!(found, std::slice::from_ref(&row.body), "{:?}", row.part.kind);
        let listed = store.keyed_between(&row.part, None, None, 100).await.expect("read");
        assert!(listed.iter().any(|(name, body)| *name == row.name && Some(body) == row.body.as_ref()));
    }
    assert_eq!(store.suppressions(&[suppressed()]).await.expect("read"), [Some(suppression())]);
    let all = store.all_suppressions("acme", None, 10).await.expect("read");
    assert_eq!(all.into_iter().map(|one| one.suppression).collect::<Vec<_>>(), [suppression()]);
}

/// Which of the planted texts stand in some file below a directory.
fn found_below(dir: &Path) -> Vec<&'static str> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(found_below(&path));
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found.extend(PLANTED.into_iter().filter(|text| has(text)));
    }
    found
}

#[tokio::test]
async fn what_is_personal_is_in_no_file_and_is_read_as_it_was_written() {
    let place = Sealed::new();
    let (_, store) = place.both(ManualClock::starting_at(NOW));
    write_all(&store).await;
    check_all_is_there(&store).await;
    assert_eq!(found_below(place.dir.path()), Vec::<&str>::new());
}

#[tokio::test]
async fn what_was_written_before_anything_was_sealed_is_read() {
    let place = Sealed::new();
    let (clear, store) = place.both(ManualClock::starting_at(NOW));
    write_all(&clear).await;
    check_all_is_there(&store).await;
    assert!(!found_below(place.dir.path()).is_empty(), "or the search finds nothing");
    assert_eq!(place.secrets.held().reads, 0, "nothing was sealed, and nobody was asked");
}

#[tokio::test]
async fn an_address_that_was_suppressed_before_hashes_had_a_key_stays_so_until_it_is_written_again() {
    let place = Sealed::new();
    let (clear, store) = place.both(ManualClock::starting_at(NOW));
    let before = async || clear.suppressions(&[suppressed()]).await.expect("read").remove(0);
    let held = async || store.suppressions(&[suppressed()]).await.expect("read").remove(0);
    clear.write_suppressions(vec![(suppressed(), Some(suppression()))]).await.expect("written");
    assert_eq!(held().await, Some(suppression()));
    store.write_suppressions(vec![(suppressed(), Some(suppression()))]).await.expect("written");
    assert_eq!((held().await, before().await), (Some(suppression()), None));
    let listed = store.all_suppressions("acme", None, 10).await.expect("read");
    assert_eq!(listed.iter().map(|one| &one.suppression).collect::<Vec<_>>(), [&suppression()]);
    clear.write_suppressions(vec![(suppressed(), Some(suppression()))]).await.expect("written");
    store.write_suppressions(vec![(suppressed(), None)]).await.expect("written");
    assert_eq!(held().await, None);
}

#[tokio::test]
async fn whose_secret_was_destroyed_is_as_if_nothing_were_there() {
    let place = Sealed::new();
    let (_, store) = place.both(ManualClock::starting_at(NOW));
    write_all(&store).await;
    for owner in [alice(), address_key().of_address(&listed()), address_key().of_address(&suppressed())] {
        place.destroy(&owner).await;
    }
    let left = User::from_entries([UserEntry::Created(Some(NOW))]);
    assert_eq!(store.users(&[alice()]).await.expect("read"), [left]);
    for row in rows() {
        assert_eq!(store.keyed(&[(row.part.clone(), row.name)]).await.expect("read"), [None]);
        assert_eq!(store.keyed_between(&row.part, None, None, 100).await.expect("read"), []);
    }
    let without = Suppression { address: None, ..suppression() };
    assert_eq!(store.suppressions(&[suppressed()]).await.expect("read"), [Some(without.clone())]);
    assert_eq!(store.all_suppressions("acme", None, 10).await.expect("read")[0].suppression, without);
    // Whoever comes by the name now is somebody new.
    write_all(&store).await;
    check_all_is_there(&store).await;
}

#[tokio::test]
async fn a_user_of_whom_nothing_can_be_read_is_nobody() {
    let place = Sealed::new();
    let (_, store) = place.both(ManualClock::starting_at(NOW));
    let email = UserEntry::Email(Some(PLANTED[0].into()));
    store.write_users(vec![UserChange { key: alice(), entries: vec![email] }]).await.expect("written");
    place.destroy(&alice()).await;
    assert_eq!(store.users(&[alice()]).await.expect("read"), [None]);
}

#[tokio::test]
async fn a_page_is_short_only_at_the_end_though_most_rows_cannot_be_opened() {
    let place = Sealed::new();
    let (_, store) = place.both(ManualClock::starting_at(NOW));
    let member = |number: usize| {
        let json = format!(r#"{{"tenant":"acme","user_id":"{number:04}"}}"#);
        let name = format!("{number:04}");
        row(KeyedKind::ListMembers, &[b"lst_1", &[0; 2]], name.as_bytes(), codec::encode_list_member(&json))
    };
    let members: Vec<KeyedRow> = (0..500).map(member).collect();
    let part = members[0].part.clone();
    store.put_keyed(members).await.expect("written");
    for number in (0..500).filter(|number| number % 50 != 49) {
        place.destroy(&UserKey { tenant: "acme".into(), user_id: format!("{number:04}").into() }).await;
    }
    let (mut found, mut after): (Vec<usize>, Option<Box<[u8]>>) = (Vec::new(), None);
    loop {
        let page = store.keyed_between(&part, after.as_deref(), Some(b"0480"), 2).await.expect("read");
        found.extend(page.iter().map(|(name, _)| String::from_utf8_lossy(name).parse::<usize>().expect("a number")));
        if page.len() < 2 {
            break;
        }
        after = page.last().map(|(name, _)| name.clone());
    }
    assert_eq!(found, (0..9).map(|number| number * 50 + 49).collect::<Vec<_>>());
    assert_eq!(store.keyed_between(&part, None, None, usize::MAX).await.expect("read").len(), 10);
}

#[tokio::test]
async fn what_was_copied_to_another_place_does_not_open() {
    let place = Sealed::new();
    let (clear, store) = place.both(ManualClock::starting_at(NOW));
    let row = rows().swap_remove(0);
    store.put_keyed(vec![row.clone()]).await.expect("written");
    let body = clear.keyed(&[(row.part.clone(), row.name.clone())]).await.expect("read").swap_remove(0);
    let copied = KeyedRow { name: (*b"another").into(), body, ..row.clone() };
    clear.put_keyed(vec![copied.clone()]).await.expect("written");
    assert!(store.keyed(&[(copied.part, copied.name)]).await.is_err());
}
