//! What every backend of templates must do; run against each of them.

use std::sync::Arc;

use super::conformance::NOON;
use super::conformance_users::UserBackend;
use super::{SharedStore, TemplateBodyPlace};
use crate::domain::{TemplateAction, TemplateChange};

fn change(number: u64, code: &str) -> TemplateChange {
    let action = TemplateAction::Saved { version: 1, body: u128::from(number) << 100, comment: Some("why".into()) };
    TemplateChange { number, code: code.into(), action, by: "key 1".into(), at: NOON }
}

async fn append(store: &SharedStore, tenant: &str, change: &TemplateChange) -> bool {
    store.append_template_change(tenant, change).await.expect("answered")
}

/// They stand in the order of their numbers, are read on from any of them, and are there after opening again.
pub(crate) async fn changes_are_read_in_their_order_from_any_number_on(backend: &impl UserBackend) {
    let store = backend.open().await;
    assert!(store.template_tenants().await.expect("read").is_empty());
    assert_eq!(store.template_changes("acme", 0, 10).await.expect("read"), []);
    let changes: Vec<TemplateChange> = (1..=5).map(|number| change(number, "welcome")).collect();
    for change in &changes {
        assert!(append(&store, "acme", change).await);
    }
    let others = change(1, "of another tenant");
    assert!(append(&store, "ac", &others).await);
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.template_changes("acme", 0, 10).await.expect("read"), changes);
    assert_eq!(store.template_changes("acme", 2, 2).await.expect("read"), changes[2..4]);
    assert_eq!(store.template_changes("acme", 5, 2).await.expect("read"), []);
    assert_eq!(store.template_changes("ac", 0, 10).await.expect("read"), [others]);
    let mut tenants = store.template_tenants().await.expect("read");
    tenants.sort();
    assert_eq!(tenants, ["ac", "acme"].map(Box::<str>::from));
}

/// Of many that append one number at once, one does; and whoever appends the same change again is told the same.
pub(crate) async fn a_number_is_taken_by_one_change(backend: &impl UserBackend) {
    let store = backend.open().await;
    let codes: Vec<String> = (0..8).map(|index| format!("code{index}")).collect();
    let mut appends = Vec::new();
    for code in &codes {
        let (store, change) = (Arc::clone(&store), change(1, code));
        appends.push(tokio::spawn(async move { (append(&store, "acme", &change).await, change) }));
    }
    let mut taken = Vec::new();
    for append in appends {
        let (is_taken, change) = append.await.expect("no panic");
        taken.extend(is_taken.then_some(change));
    }
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(store.template_changes("acme", 0, 10).await.expect("read"), taken);
    assert!(append(&store, "acme", &taken[0]).await, "the same once more");
    let mut other = taken[0].clone();
    other.by = "somebody else".into();
    assert!(!append(&store, "acme", &other).await);
    assert_eq!(store.template_changes("acme", 0, 10).await.expect("read"), taken);
}

/// Bodies have their own places, are given back in the order asked for, and can be forgotten.
pub(crate) async fn bodies_are_kept_by_code_and_name(backend: &impl UserBackend) {
    let store = backend.open().await;
    let place = |code: &str, body| TemplateBodyPlace { code: code.into(), body };
    let places = [place("a", 1), place("a", u128::MAX), place("ab", 1)];
    let large = vec![7; 200_000];
    for (place, body) in places.iter().zip([&b"one"[..], &large, b"three"]) {
        store.put_template_body("acme", place, body).await.expect("kept");
        store.put_template_body("acme", place, body).await.expect("kept again");
    }
    drop(store);
    let store = backend.open().await;
    let [one, two, three] = places;
    let asked = [three.clone(), place("a", 2), one.clone(), two];
    let read = store.template_bodies("acme", &asked).await.expect("read");
    assert_eq!(read, [Some(b"three".to_vec()), None, Some(b"one".to_vec()), Some(large)]);
    assert_eq!(store.template_bodies("ac", &asked[..1]).await.expect("read"), [None]);
    store.delete_template_body("acme", &one).await.expect("forgotten");
    let read = store.template_bodies("acme", &[one, three]).await.expect("read");
    assert_eq!(read, [None, Some(b"three".to_vec())]);
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`UserBackend`].
macro_rules! template_conformance {
    ($backend:expr) => {
        $crate::store::conformance_templates::template_conformance! { $backend =>
            changes_are_read_in_their_order_from_any_number_on
            a_number_is_taken_by_one_change
            bodies_are_kept_by_code_and_name
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_templates::$name(&$backend).await;
        })*
    };
}
pub(crate) use template_conformance;
