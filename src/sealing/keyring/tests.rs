//! The keyring over secrets in memory.

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::sealing::testing::FakeSecrets;
use crate::users::{DISTRUST, LocalChanges};

struct World {
    secrets: Arc<FakeSecrets>,
    changes: Arc<LocalChanges>,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
}

fn world() -> World {
    let clock = ManualClock::starting_at(Timestamp::parse("2026-11-21T12:00:00Z").expect("a time"));
    let (secrets, changes) = (Arc::<FakeSecrets>::default(), Arc::<LocalChanges>::default());
    let keyring = Keyring::new(secrets.clone(), clock.clone(), changes.clone());
    World { secrets, changes, clock, keyring }
}

fn user(name: &str) -> UserKey {
    UserKey { tenant: "default".into(), user_id: name.into() }
}

#[tokio::test]
async fn a_user_gets_one_secret_which_is_remembered() {
    let World { secrets, keyring, .. } = world();
    let made = keyring.to_seal(&[user("alice"), user("bob"), user("alice")]).await.expect("made");
    assert_eq!(made[0], made[2]);
    assert_ne!(made[0], made[1]);
    assert_eq!(keyring.to_seal(&[user("alice")]).await.expect("there"), made[..1]);
    let opened = keyring.to_open(&[(user("bob"), made[1].id), (user("alice"), made[0].id)]).await.expect("there");
    assert_eq!(opened, [Some(made[1]), Some(made[0])]);
    assert_eq!(secrets.held().reads, 1, "the rest came from memory");
}

#[tokio::test]
async fn what_many_ask_for_at_once_is_read_together() {
    let World { secrets, keyring, .. } = world();
    let users: Vec<[UserKey; 1]> = (0..100).map(|number| [user(&number.to_string())]).collect();
    let made = join_all(users.iter().map(|one| keyring.to_seal(one))).await;
    assert!(made.iter().all(Result::is_ok));
    assert!(secrets.held().reads <= 2, "{} reads", secrets.held().reads);
}

#[tokio::test]
async fn a_secret_that_another_node_made_is_found_though_this_one_remembers_none() {
    let World { secrets, keyring, .. } = world();
    assert!(keyring.to_open(&[(user("alice"), 1)]).await.is_err(), "it may be on its way");
    let made = secrets.create_user_secrets(&[user("alice")]).await.expect("made");
    assert_eq!(keyring.to_open(&[(user("alice"), made[0].id)]).await.expect("there"), [Some(made[0])]);
}

#[tokio::test]
async fn a_destroyed_secret_is_forgotten_when_it_is_told_and_at_the_latest_with_its_age() {
    let World { secrets, changes, clock, keyring } = world();
    for is_told in [true, false] {
        let alice = user(if is_told { "alice" } else { "bob" });
        let made = keyring.to_seal(std::slice::from_ref(&alice)).await.expect("made");
        match is_told {
            true => changes.announce(&[ChangeKey::of_user(&alice)]).await.expect("told"),
            false => clock.advance(AGE_MAX),
        }
        secrets.destroy_user_secrets(&alice).await.expect("destroyed");
        assert_eq!(keyring.to_open(&[(alice.clone(), made[0].id)]).await.expect("answered"), [None]);
        let new = keyring.to_seal(&[alice]).await.expect("made");
        assert_ne!(new, made, "whoever comes by the name now is somebody new");
        clock.advance(DISTRUST);
    }
}

#[tokio::test]
async fn a_secret_that_nobody_made_or_destroyed_is_an_error_and_no_erasure() {
    let World { secrets, keyring, .. } = world();
    let made = keyring.to_seal(&[user("alice")]).await.expect("made");
    assert!(keyring.to_open(&[(user("alice"), made[0].id + 1), (user("alice"), made[0].id)]).await.is_err());
    assert_eq!(keyring.to_open(&[(user("alice"), made[0].id)]).await.expect("answered"), [Some(made[0])]);
    secrets.destroy_user_secrets(&user("bob")).await.expect("destroyed");
    assert!(keyring.to_open(&[(user("bob"), made[0].id)]).await.is_err(), "who had none had none destroyed");
}

#[tokio::test]
async fn that_a_secret_was_destroyed_is_asked_for_once() {
    let World { secrets, keyring, .. } = world();
    let made = secrets.create_user_secrets(&[user("alice")]).await.expect("made");
    secrets.destroy_user_secrets(&user("alice")).await.expect("destroyed");
    for _ in 0..3 {
        assert_eq!(keyring.to_open(&[(user("alice"), made[0].id)]).await.expect("answered"), [None]);
    }
    assert_eq!(secrets.held().reads, 1);
}
