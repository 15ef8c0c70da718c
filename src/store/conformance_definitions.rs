//! What every backend of definitions must do; run against each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SharedStore;
use super::conformance::NOON;
use super::conformance_users::UserBackend;
use crate::domain::{Definition, DefinitionKind};

fn definition(kind: DefinitionKind, name: &str, version: u64, body: Option<&str>) -> Definition {
    Definition { kind, name: name.into(), version, body: body.map(Box::from), changed_at: NOON }
}

fn rule(name: &str, version: u64, body: &str) -> Definition {
    definition(DefinitionKind::Rule, name, version, Some(body))
}

async fn put(store: &SharedStore, tenant: &str, definition: &Definition) -> bool {
    store.put_definition(tenant, definition).await.expect("answered")
}

async fn all(store: &SharedStore, tenant: &str) -> Vec<Definition> {
    store.definitions(tenant).await.expect("read")
}

async fn numbers(store: &SharedStore) -> BTreeMap<Box<str>, u64> {
    store.definition_tenants().await.expect("read").into_iter().collect()
}

/// They come in the order of kind and name, large ones and deleted ones with them, each to its tenant, and are there after opening again.
pub(crate) async fn definitions_are_kept_by_tenant_kind_and_name(backend: &impl UserBackend) {
    let store = backend.open().await;
    assert!(numbers(&store).await.is_empty());
    assert_eq!(all(&store, "acme").await, []);
    let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(60_000));
    let saved = [
        definition(DefinitionKind::EventType, "user.registered", 1, Some("{}")),
        definition(DefinitionKind::EventType, "welcome", 1, None),
        rule("welcome", 1, &large),
        rule("welcome.2", 1, "{}"),
    ];
    for definition in saved.iter().rev() {
        assert!(put(&store, "acme", definition).await);
    }
    let others = rule("welcome", 1, r#"{"of":"another tenant"}"#);
    assert!(put(&store, "ac", &others).await);
    drop(store);
    let store = backend.open().await;
    assert_eq!(all(&store, "acme").await, saved);
    assert_eq!(all(&store, "ac").await, std::slice::from_ref(&others));
    assert_eq!(all(&store, "a").await, []);
    let one = store.definition("ac", DefinitionKind::Rule, "welcome").await.expect("read");
    assert_eq!(one, Some(others));
    assert_eq!(store.definition("ac", DefinitionKind::EventType, "welcome").await.expect("read"), None);
    assert_eq!(numbers(&store).await.into_keys().collect::<Vec<_>>(), ["ac", "acme"].map(Box::<str>::from));
}

/// One takes the place of the version before it only; whoever puts the same again is told the same.
pub(crate) async fn a_definition_follows_the_version_before_it_only(backend: &impl UserBackend) {
    let store = backend.open().await;
    for version in [0, 2, u64::MAX] {
        assert!(!put(&store, "acme", &rule("welcome", version, "{}")).await, "{version}: there is no first one");
    }
    assert_eq!(all(&store, "acme").await, []);
    let (first, deleted) = (rule("welcome", 1, "1"), definition(DefinitionKind::Rule, "welcome", 2, None));
    let third = rule("welcome", 3, "3");
    for definition in [&first, &deleted, &third] {
        assert!(put(&store, "acme", definition).await);
        assert!(put(&store, "acme", definition).await, "the same once more");
    }
    for late in [&first, &deleted, &rule("welcome", 3, "another"), &rule("welcome", 5, "5")] {
        assert!(!put(&store, "acme", late).await, "{late:?}");
    }
    assert_eq!(all(&store, "acme").await, [third]);
}

/// Of many that put one version at once, one does.
pub(crate) async fn a_version_is_taken_by_one_definition(backend: &impl UserBackend) {
    let store = backend.open().await;
    for version in 1..=2 {
        let mut puts = Vec::new();
        for writer in 0..8 {
            let (store, definition) = (Arc::clone(&store), rule("welcome", version, &writer.to_string()));
            puts.push(tokio::spawn(async move { (put(&store, "acme", &definition).await, definition) }));
        }
        let mut taken = Vec::new();
        for put in puts {
            let (is_taken, definition) = put.await.expect("no panic");
            taken.extend(is_taken.then_some(definition));
        }
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!(all(&store, "acme").await, taken);
    }
}

/// After each change of a tenant its number is another one, also where several change at once, and that of no other tenant.
pub(crate) async fn a_tenant_has_another_number_after_each_change(backend: &impl UserBackend) {
    let store = backend.open().await;
    assert!(put(&store, "other", &rule("welcome", 1, "{}")).await);
    let mut seen = vec![numbers(&store).await];
    for version in 1..=3 {
        assert!(put(&store, "acme", &rule("welcome", version, "{}")).await);
        seen.push(numbers(&store).await);
    }
    let mut puts = Vec::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        puts.push(tokio::spawn(async move {
            let mine = rule(&format!("rule{writer}"), 1, "{}");
            assert!(put(&store, "acme", &mine).await);
        }));
    }
    for put in puts {
        put.await.expect("no panic");
    }
    drop(store);
    seen.push(numbers(&backend.open().await).await);
    for pair in seen.windows(2) {
        assert_ne!(pair[0].get("acme"), pair[1].get("acme"), "{seen:?}");
        assert_eq!(pair[0]["other"], pair[1]["other"], "{seen:?}");
    }
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`UserBackend`].
macro_rules! definition_conformance {
    ($backend:expr) => {
        $crate::store::conformance_definitions::definition_conformance! { $backend =>
            definitions_are_kept_by_tenant_kind_and_name
            a_definition_follows_the_version_before_it_only
            a_version_is_taken_by_one_definition
            a_tenant_has_another_number_after_each_change
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_definitions::$name(&$backend).await;
        })*
    };
}
pub(crate) use definition_conformance;
