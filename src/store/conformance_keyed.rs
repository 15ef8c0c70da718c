//! What every backend of rows by part and name must do; run against each of them.

use bytes::Bytes;

use super::conformance_users::UserBackend;
use super::{KeyedKind, KeyedPart, KeyedRow, NamedRow, SharedStore, newest_first};
use crate::domain::Timestamp;

fn part(key: &[u8]) -> KeyedPart {
    KeyedPart::of(KeyedKind::ListMembers, &[b"acme", key])
}

fn row(part: &KeyedPart, name: &[u8], body: Option<&str>) -> KeyedRow {
    KeyedRow { part: part.clone(), name: name.into(), body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())) }
}

async fn put(store: &SharedStore, rows: impl IntoIterator<Item = KeyedRow>) {
    store.put_keyed(rows.into_iter().collect()).await.expect("written");
}

async fn between(
    store: &SharedStore,
    part: &KeyedPart,
    after: Option<&[u8]>,
    before: Option<&[u8]>,
    limit: usize,
) -> Vec<NamedRow> {
    store.keyed_between(part, after, before, limit).await.expect("read")
}

async fn names(store: &SharedStore, part: &KeyedPart) -> Vec<Vec<u8>> {
    between(store, part, None, None, 10_000).await.into_iter().map(|(name, _)| name.into()).collect()
}

/// Rows are read in the order of their names, byte by byte, whatever the bytes are, and are there after opening again.
pub(crate) async fn rows_are_kept_in_the_order_of_their_names(backend: &impl UserBackend) {
    let store = backend.open().await;
    let members = part(b"list");
    assert!(names(&store, &members).await.is_empty());
    let sorted: [&[u8]; 8] = [b"\x00", b"\x00\x00", b"\x00\xff", b"a", b"a\x00", b"ab", b"\xff", b"\xff\xff"];
    put(&store, sorted.iter().rev().map(|name| row(&members, name, Some("x")))).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(names(&store, &members).await, sorted);
    let wanted: Vec<_> = sorted.iter().rev().map(|name| (members.clone(), Box::from(*name))).collect();
    let found = store.keyed(&wanted).await.expect("read");
    assert!(found.iter().all(|body| body.as_deref() == Some(b"x")), "{found:?}");
    let missing = [(members.clone(), Box::from(&b"b"[..])), (part(b"other"), Box::from(&b"a"[..]))];
    assert_eq!(store.keyed(&missing).await.expect("read"), [None, None]);
    assert_eq!(store.keyed(&[]).await.expect("read"), []);
}

/// Both ends of a range are outside of it, and need not be there.
pub(crate) async fn ranges_are_without_their_ends(backend: &impl UserBackend) {
    let store = backend.open().await;
    let members = part(b"list");
    put(&store, [b"a", b"c", b"e", b"g"].iter().map(|name| row(&members, &name[..], Some("x")))).await;
    let check = async |after: Option<&str>, before: Option<&str>, limit: usize, expected: &str| {
        let rows = between(&store, &members, after.map(str::as_bytes), before.map(str::as_bytes), limit).await;
        let found: String = rows.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        assert_eq!(found, expected, "{after:?} {before:?} {limit}");
    };
    check(Some("a"), Some("g"), 10, "ce").await;
    check(Some("b"), Some("f"), 10, "ce").await;
    check(Some("c"), None, 10, "eg").await;
    check(None, Some("c"), 10, "a").await;
    check(None, None, 3, "ace").await;
    check(Some("g"), None, 10, "").await;
    check(None, Some("a"), 10, "").await;
    check(Some("e"), Some("c"), 10, "").await;
    check(Some("c"), Some("c"), 10, "").await;
}

/// What is taken away is there no more, may be taken away again, and may come back; of one call the last counts.
pub(crate) async fn what_is_taken_away_is_gone_until_it_is_put_again(backend: &impl UserBackend) {
    let store = backend.open().await;
    let members = part(b"list");
    put(&store, [row(&members, b"a", Some("1")), row(&members, b"b", Some("2")), row(&members, b"c", Some("3"))]).await;
    put(&store, [row(&members, b"b", None), row(&members, b"never", None)]).await;
    put(&store, [row(&members, b"b", None)]).await;
    assert_eq!(names(&store, &members).await, [b"a", b"c"]);
    // What is gone takes no place of a page.
    assert_eq!(between(&store, &members, Some(b"a"), None, 1).await[0].0.as_ref(), b"c");
    assert_eq!(store.keyed(&[(members.clone(), Box::from(&b"b"[..]))]).await.expect("read"), [None]);
    put(&store, [row(&members, b"b", None), row(&members, b"b", Some("4")), row(&members, b"a", Some("5"))]).await;
    put(&store, [row(&members, b"c", Some("6")), row(&members, b"c", None)]).await;
    drop(store);
    let store = backend.open().await;
    let found = between(&store, &members, None, None, 10).await;
    let found: Vec<(&[u8], &[u8])> = found.iter().map(|(name, body)| (&**name, &**body)).collect();
    assert_eq!(found, [(&b"a"[..], &b"5"[..]), (&b"b"[..], &b"4"[..])]);
}

/// More than any page of a backend are read in pages of the caller, also where most of them were taken away.
pub(crate) async fn a_part_with_many_rows_is_read_page_by_page(backend: &impl UserBackend) {
    const COUNT: usize = 6000;
    let store = backend.open().await;
    let members = part(b"list");
    let name = |number: usize| format!("user-{number:05}").into_bytes();
    put(&store, (0..COUNT).map(|number| row(&members, &name(number), Some("x")))).await;
    let is_kept = |number: usize| number.is_multiple_of(3) || number < 600;
    put(&store, (0..COUNT).filter(|number| !is_kept(*number)).map(|number| row(&members, &name(number), None))).await;
    let expected: Vec<Vec<u8>> = (0..COUNT).filter(|number| is_kept(*number)).map(name).collect();
    assert_eq!(names(&store, &members).await, expected);
    let (mut found, mut after): (Vec<Vec<u8>>, Option<Box<[u8]>>) = (Vec::new(), None);
    loop {
        let page = between(&store, &members, after.as_deref(), None, 700).await;
        found.extend(page.iter().map(|(name, _)| name.to_vec()));
        if page.len() < 700 {
            break;
        }
        after = page.last().map(|(name, _)| name.clone());
    }
    assert_eq!(found, expected);
}

/// Equal keys of two kinds are two parts, a key that begins another is another, and words are not run together.
pub(crate) async fn parts_are_kept_apart(backend: &impl UserBackend) {
    let store = backend.open().await;
    let parts = [
        KeyedPart::of(KeyedKind::Subscribers, &[b"acme", b"s"]),
        KeyedPart::of(KeyedKind::SubscriptionsOf, &[b"acme", b"s"]),
        KeyedPart::of(KeyedKind::Subscribers, &[b"acme"]),
        KeyedPart::of(KeyedKind::Subscribers, &[b"acme", b"s", b""]),
        KeyedPart::of(KeyedKind::Subscribers, &[b"acm", b"es"]),
        KeyedPart::of(KeyedKind::Subscribers, &[b"acme", b"s\x00"]),
        KeyedPart::of(KeyedKind::Subscribers, &[b"acme", b"s\xff"]),
        KeyedPart::of(KeyedKind::Archive, &[]),
    ];
    let numbered = parts.iter().enumerate();
    put(&store, numbered.clone().map(|(number, part)| row(part, b"name", Some(&number.to_string())))).await;
    for (number, part) in numbered {
        let rows = between(&store, part, None, None, 10).await;
        assert_eq!(rows, [(Box::from(&b"name"[..]), Bytes::from(number.to_string()))], "{part:?}");
    }
}

/// Rows with a date are read as the others, the latest first.
pub(crate) async fn rows_with_a_date_are_kept_newest_first(backend: &impl UserBackend) {
    let store = backend.open().await;
    let inbox = KeyedPart::of(KeyedKind::Inbox, &[b"acme", b"alice"]);
    let name = |second: u64| [&newest_first(Timestamp(4_000_000_000_000 + second * 1000)), &b"x"[..]].concat();
    let (first, second, third) = (name(1), name(2), name(3));
    put(&store, [&second, &first, &third].map(|name| row(&inbox, name, Some("x")))).await;
    let others = part(b"list");
    put(&store, [row(&others, b"a", Some("y")), row(&inbox, &second, None)]).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(names(&store, &inbox).await, [third.clone(), first.clone()]);
    assert_eq!(names(&store, &others).await, [b"a"]);
    let wanted = [(inbox.clone(), first.into()), (inbox, second.into())];
    let found = store.keyed(&wanted).await.expect("read");
    assert_eq!(found, [Some(Bytes::from_static(b"x")), None]);
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`UserBackend`].
macro_rules! keyed_conformance {
    ($backend:expr) => {
        $crate::store::conformance_keyed::keyed_conformance! { $backend =>
            rows_are_kept_in_the_order_of_their_names
            ranges_are_without_their_ends
            what_is_taken_away_is_gone_until_it_is_put_again
            a_part_with_many_rows_is_read_page_by_page
            parts_are_kept_apart
            rows_with_a_date_are_kept_newest_first
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_keyed::$name(&$backend).await;
        })*
    };
}
pub(crate) use keyed_conformance;
