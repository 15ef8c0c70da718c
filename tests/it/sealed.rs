//! Records of the log are sealed under the secrets of whose they are: whoever is erased is planned as erased, however often they are read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare::domain::{Channel, Disposition, NotificationRequest, Recipient, SkipReason, UserKey};
use fanfare::intake::Seals;
use fanfare::sealing::{AddressKey, Keyring};
use fanfare::store::{BookColumn, UserSecrets};
use fanfare::users::LocalChanges;

use crate::world::{Place, TestProvider, World, mail, on_both};

on_both! {
    records_of_who_was_erased_are_skipped_as_erased_and_the_books_balance
    a_store_that_does_not_tell_secrets_delays_and_skips_nothing
}

/// As another node makes records: this one has no copy of the secrets.
fn elsewhere(world: &World) -> Seals {
    let changes = std::sync::Arc::new(LocalChanges::default());
    Seals::new(Keyring::new(world.secrets.clone(), world.clock.clone(), changes))
}

async fn records_of_who_was_erased_are_skipped_as_erased_and_the_books_balance(place: Place) {
    let mails = TestProvider::new("mails", &[Channel::Email]);
    let world = World::start(place, vec![mails.clone()]).await;
    let one = |user: Option<&str>, address: &str| NotificationRequest {
        user_id: user.map(|user| world.place.own(user).into()),
        to: Recipient {
            email: Some(format!("{}@example.com", world.place.own(address).to_lowercase()).into()),
            ..Recipient::default()
        },
        data: format!(r#"{{"name":"{address}"}}"#).into(),
        dedup_window_seconds: Some(0),
        accepted_at: world.now(),
        ..mail()
    };
    let requests = [one(Some("erased"), "one"), one(None, "erased"), one(Some("stays"), "two"), one(None, "stays")];
    let all: Vec<&NotificationRequest> = requests.iter().collect();
    let records = elsewhere(&world).records(&all).await.expect("made");
    let key = AddressKey::new(&world.secrets.address_key().await.expect("there"));
    let owners: Vec<UserKey> =
        all.iter().filter_map(|one| key.of_message(&one.tenant, one.user_id.as_deref(), &one.to)).collect();
    for owner in &owners[..2] {
        assert_eq!(world.secrets.destroy_user_secrets(owner).await.expect("destroyed"), 1);
    }
    // What is read again, as after a replay of dead letters, is not brought back either.
    for _ in 0..2 {
        let positions = world.log.append(records.clone()).await.expect("appended");
        for (index, position) in positions.into_iter().enumerate() {
            let id = fanfare::domain::NotificationId(position);
            let story = world.until(async || world.story(id).await).await;
            let is_erased = story.plan.disposition == Disposition::Skipped(SkipReason::Erased);
            assert_eq!(is_erased, index < 2, "{:?}", story.plan);
            assert_eq!(*story.plan.data == *"{}", index < 2);
            assert_eq!(story.plan.user_id, requests[index].user_id);
        }
    }
    world.until(async || (mails.taken().len() == 4).then_some(())).await;
    assert_eq!(world.column(BookColumn::SkippedErased).await, 4);
    world.balances().await;
}

async fn a_store_that_does_not_tell_secrets_delays_and_skips_nothing(place: Place) {
    let mails = TestProvider::new("mails", &[Channel::Email]);
    let world = World::start(place, vec![mails.clone()]).await;
    let request =
        NotificationRequest { user_id: Some(world.place.own("alice").into()), accepted_at: world.now(), ..mail() };
    let records = elsewhere(&world).records(&[&request]).await.expect("made");
    let secrets = &world.secrets;
    secrets.failures.store(1, Ordering::SeqCst);
    let position = world.log.append(records).await.expect("appended").remove(0);
    world.until(async || (secrets.failures.load(Ordering::SeqCst) == 0).then_some(())).await;
    let id = fanfare::domain::NotificationId(position);
    let story = world
        .until(async || {
            world.advance(Duration::from_secs(1)).await;
            world.story(id).await
        })
        .await;
    assert_eq!(story.plan.tasks().len(), 1, "{:?}", story.plan.disposition);
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    world.balances().await;
}
