//! What every backend of secrets of users must do; run against each of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{SecretsOf, UserSecret, UserSecrets};
use crate::domain::UserKey;

/// A place for secrets that may be opened several times, one after the other, and then has what was there.
pub(crate) trait SecretBackend {
    async fn secrets(&self) -> Arc<dyn UserSecrets>;
}

fn user(tenant: &str, name: &str) -> UserKey {
    UserKey { tenant: tenant.into(), user_id: name.into() }
}

async fn held(secrets: &Arc<dyn UserSecrets>, user: &UserKey) -> Vec<UserSecret> {
    all(secrets, user).await.there
}

async fn all(secrets: &Arc<dyn UserSecrets>, user: &UserKey) -> SecretsOf {
    secrets.user_secrets(std::slice::from_ref(user)).await.expect("read").pop().expect("one answer")
}

/// What was made is there after opening again, for its user alone, and all of it is random.
pub(crate) async fn secrets_are_random_and_stay(backend: &impl SecretBackend) {
    let secrets = backend.secrets().await;
    let users: Vec<UserKey> =
        ["", "acme"].iter().flat_map(|tenant| (0..50).map(|n| user(tenant, &n.to_string()))).collect();
    assert!(secrets.user_secrets(&users).await.expect("read").iter().all(|of| *of == SecretsOf::default()));
    let made = secrets.create_user_secrets(&users).await.expect("made");
    let distinct: BTreeSet<_> = made.iter().map(|secret| secret.bytes).collect();
    assert_eq!(distinct.len(), users.len());
    assert_eq!(made.iter().map(|secret| secret.id).collect::<BTreeSet<_>>().len(), users.len());
    drop(secrets);
    let secrets = backend.secrets().await;
    let found = secrets.user_secrets(&users).await.expect("read");
    assert!(found.iter().zip(&made).all(|(found, made)| found.there[..] == [*made]));
    let new = secrets.create_user_secrets(&[user("acme", "new")]).await.expect("made");
    assert!(!distinct.contains(&new[0].bytes), "what is made later is another");
    assert_eq!(secrets.user_secrets(&[]).await.expect("read"), []);
    assert_eq!(secrets.create_user_secrets(&[]).await.expect("made"), []);
}

/// Nodes that meet a user at once each make one, and all of them count.
pub(crate) async fn a_user_may_have_several(backend: &impl SecretBackend) {
    let (secrets, alice) = (backend.secrets().await, user("acme", "alice"));
    let mut made = Vec::new();
    for _ in 0..3 {
        made.extend(secrets.create_user_secrets(std::slice::from_ref(&alice)).await.expect("made"));
    }
    let mut found = held(&secrets, &alice).await;
    assert!(found.is_sorted_by_key(|secret| secret.id) || found.len() == 3, "{found:?}");
    found.sort_by_key(|secret| secret.id);
    made.sort_by_key(|secret| secret.id);
    assert_eq!(found, made);
}

/// Destroyed ones are gone for good, and known to have been there; those of others are not, and who comes by the name later gets new ones.
pub(crate) async fn what_is_destroyed_is_gone(backend: &impl SecretBackend) {
    let (secrets, alice, bob) = (backend.secrets().await, user("acme", "alice"), user("acme", "bob"));
    let old = secrets.create_user_secrets(&[alice.clone(), bob.clone()]).await.expect("made");
    let second = secrets.create_user_secrets(std::slice::from_ref(&alice)).await.expect("made");
    assert_eq!(secrets.destroy_user_secrets(&alice).await.expect("destroyed"), 2);
    assert_eq!(secrets.destroy_user_secrets(&alice).await.expect("destroyed"), 0);
    assert_eq!(secrets.destroy_user_secrets(&user("acme", "nobody")).await.expect("destroyed"), 0);
    drop(secrets);
    let secrets = backend.secrets().await;
    let of_alice = all(&secrets, &alice).await;
    assert_eq!(of_alice.there, []);
    let ids = |destroyed: Vec<u64>| destroyed.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(ids(of_alice.destroyed), BTreeSet::from([old[0].id, second[0].id]), "that they were is known");
    assert_eq!(all(&secrets, &user("acme", "nobody")).await, SecretsOf::default());
    assert_eq!(held(&secrets, &bob).await, old[1..]);
    let new = secrets.create_user_secrets(std::slice::from_ref(&alice)).await.expect("made");
    assert_ne!(new, old[..1]);
    assert_ne!(new[0].id, old[0].id);
    assert_eq!(held(&secrets, &alice).await, new);
    assert_eq!(all(&secrets, &alice).await.destroyed.len(), 2);
}

/// Whoever asks for it gets the same, at once and later, and no user has it.
pub(crate) async fn the_key_of_addresses_is_one_and_stays(backend: &impl SecretBackend) {
    let secrets = backend.secrets().await;
    let asked = futures_util::future::join_all((0..5).map(|_| secrets.address_key())).await;
    let keys: BTreeSet<_> = asked.into_iter().map(|key| key.expect("there")).collect();
    assert_eq!(keys.len(), 1);
    let made = secrets.create_user_secrets(&[user("", "addresses")]).await.expect("made");
    assert_eq!(secrets.destroy_user_secrets(&user("", "addresses")).await.expect("destroyed"), 1);
    assert!(!keys.contains(&made[0].bytes));
    drop(secrets);
    let again = backend.secrets().await.address_key().await.expect("there");
    assert_eq!(keys, BTreeSet::from([again]));
    assert_ne!(again, [0; UserSecret::BYTES]);
}

macro_rules! secret_conformance {
    ($backend:expr) => {
        $crate::store::conformance_secrets::secret_conformance! { $backend =>
            secrets_are_random_and_stay,
            a_user_may_have_several,
            what_is_destroyed_is_gone,
            the_key_of_addresses_is_one_and_stays,
        }
    };
    ($backend:expr => $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::store::conformance_secrets::$name(&$backend).await;
        }
    )*};
}
pub(crate) use secret_conformance;
