//! What other programs are told of the engine's work.

use std::collections::BTreeSet;
use std::time::Duration;

use fanfare::domain::{Channel, NotificationId};
use fanfare::log::Outlet;
use fanfare::store::BookColumn;

use crate::world::{Others, Place, Script, TestProvider, World, mail, on_both};

on_both! {
    every_event_is_told_once_in_a_quiet_run_and_says_nothing_of_addresses
    sends_go_on_while_nobody_takes_anything_and_everything_is_told_later
    what_was_not_told_before_a_stop_is_told_after_it
    what_a_timer_did_before_a_stop_is_told_when_the_timer_is_found_again
    who_tells_may_crash
    what_does_not_fit_into_memory_is_read_again
}

/// The ids of all that is held of the notifications.
async fn expected(world: &World, ids: &[NotificationId]) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    for ids in ids.chunks(1024) {
        let positions: Vec<_> = ids.iter().map(|id| id.0).collect();
        for story in world.store.stories(&positions).await.expect("the store reads") {
            for event in story.expect("planned").histories() {
                expected.insert(format!("{}-{}", event.task, event.sequence()));
            }
        }
    }
    expected
}

fn distinct(others: &Others) -> BTreeSet<String> {
    others.ids().into_iter().collect()
}

/// Waits until all is told, moving the clock so that who waits tries again.
async fn told(world: &World, others: &Others, ids: &[NotificationId]) {
    world
        .until(async || {
            world.advance(Duration::from_millis(200)).await;
            (distinct(others) == expected(world, ids).await).then_some(())
        })
        .await;
}

async fn sent(world: &World, count: usize) -> Vec<NotificationId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let mut request = mail();
        request.user_id = Some(world.place.own(&format!("user{number}")).into());
        request.metadata = r#"{"order":7}"#.into();
        ids.push(world.send(request).await);
    }
    for id in &ids {
        world.states_when(*id, |states| states.iter().all(|state| *state == "sent")).await;
    }
    ids
}

async fn every_event_is_told_once_in_a_quiet_run_and_says_nothing_of_addresses(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::transient()]);
    let (world, others) = World::start_shared(place, vec![provider]).await;
    let mut request = mail();
    request.user_id = Some(world.place.own("alice").into());
    let retried = world.send(request).await;
    world.expect_states(retried, &["scheduled"]).await;
    world.advance(Duration::from_secs(61)).await;
    world.expect_states(retried, &["sent"]).await;
    let mut ids = sent(&world, 20).await;
    ids.push(retried);
    let mut late = mail();
    late.deliver_at = Some(world.now() + Duration::from_secs(3600));
    late.dedup_key = Some(world.place.own("late").into());
    let late = world.send(late).await;
    world.expect_states(late, &["scheduled"]).await;
    world.engine.cancellations.cancel(late).await.expect("cancelled");
    ids.push(late);
    told(&world, &others, &ids).await;
    assert_eq!(others.ids().len(), distinct(&others).len(), "once");

    let first = others.told(Outlet::Deliveries);
    for told in &first {
        let text = std::str::from_utf8(&told.body).expect("JSON");
        let held_back = ["example.com", "Hello", "metadata"];
        assert!(held_back.iter().all(|word| !text.contains(word)), "{text}");
    }
    let sent: serde_json::Value = first
        .iter()
        .map(|told| serde_json::from_slice(&told.body).expect("JSON"))
        .find(|json: &serde_json::Value| {
            json["type"] == "fanfare.task.sent" && json["data"]["user_id"] == world.place.own("alice")
        })
        .expect("it was sent");
    assert_eq!((&sent["specversion"], &sent["source"]), (&"1.0".into(), &"fanfare".into()));
    assert_eq!(sent["data"]["attempt"], 2);
    assert_eq!(sent["data"]["provider"], "mail");
}

async fn sends_go_on_while_nobody_takes_anything_and_everything_is_told_later(place: Place) {
    let (world, others) = World::start_shared(place, vec![TestProvider::new("mail", &[Channel::Email])]).await;
    others.refuse(true);
    let ids = sent(&world, 30).await;
    world.advance(Duration::from_secs(30)).await;
    assert!(others.ids().is_empty());
    others.refuse(false);
    told(&world, &others, &ids).await;
    assert_eq!(others.ids().len(), distinct(&others).len());
}

async fn what_was_not_told_before_a_stop_is_told_after_it(place: Place) {
    let (world, others) = World::start_shared(place, vec![TestProvider::new("mail", &[Channel::Email])]).await;
    others.refuse(true);
    // More than a block, so that the cursors would pass it.
    let accepted = world.acceptor.accept((0..1100).map(|_| mail()).collect()).await.expect("accepted");
    let ids: Vec<NotificationId> = accepted.iter().map(|accepted| accepted.id).collect();
    // All are done with before the first cursors are derived, since these are not derived anew until they are written.
    world.until(async || (world.column(BookColumn::Sent).await == 1100).then_some(())).await;
    world.balances().await;
    world
        .until(async || {
            world.advance(Duration::from_millis(500)).await;
            (world.cursors(ids[0]).task_block == 1).then_some(())
        })
        .await;
    let world = world.restart().await;
    assert!(others.ids().is_empty());
    assert_eq!(
        world.store.cursors(ids[0].0.shard).await.expect("read").task_block,
        0,
        "no cursor passes what is untold"
    );
    others.refuse(false);
    told(&world, &others, &ids).await;
}

async fn what_a_timer_did_before_a_stop_is_told_when_the_timer_is_found_again(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![provider.clone()]).await;
    provider.script([Script::transient()]);
    let retried = world.send(mail()).await;
    world.expect_states(retried, &["scheduled"]).await;
    // Its block is done with, and the cursor passes it.
    let accepted = world.acceptor.accept((0..1100).map(|_| mail()).collect()).await.expect("accepted");
    world.expect_states(accepted.last().expect("one").id, &["sent"]).await;
    world.balances().await;
    let shard = retried.0.shard;
    world
        .until(async || {
            world.advance(Duration::from_millis(10)).await;
            (world.store.cursors(shard).await.expect("read").task_block == 1).then_some(())
        })
        .await;
    others.refuse(true);
    world.expect_states(retried, &["scheduled"]).await;
    world.advance(Duration::from_secs(61)).await;
    world.expect_states(retried, &["sent"]).await;
    let world = world.restart().await;
    others.refuse(false);
    world
        .until(async || {
            world.advance(Duration::from_millis(200)).await;
            expected(&world, &[retried]).await.is_subset(&distinct(&others)).then_some(())
        })
        .await;
    assert_eq!(provider.taken().len(), 1 + 1100 + 1, "it is told again, not sent again");
}

async fn who_tells_may_crash(place: Place) {
    let (world, others) = World::start_shared(place, vec![TestProvider::new("mail", &[Channel::Email])]).await;
    others.panic_once();
    let ids = sent(&world, 10).await;
    told(&world, &others, &ids).await;
}

async fn what_does_not_fit_into_memory_is_read_again(place: Place) {
    let (world, others) =
        World::start_shared(place, vec![TestProvider::with_slots("mail", &[Channel::Email], 512)]).await;
    others.refuse(true);
    let requests = (0..12_000).map(|_| mail()).collect();
    let accepted = world.acceptor.accept(requests).await.expect("accepted");
    let ids: Vec<NotificationId> = accepted.iter().map(|accepted| accepted.id).collect();
    world.expect_states(*ids.last().expect("one"), &["sent"]).await;
    world.balances().await;
    others.refuse(false);
    // Two events each: more than the queue holds.
    world
        .until(async || {
            world.advance(Duration::from_millis(200)).await;
            (others.told(Outlet::Deliveries).len() >= 24_000).then_some(())
        })
        .await;
    told(&world, &others, &ids).await;
}
