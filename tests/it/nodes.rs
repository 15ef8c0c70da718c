//! Several nodes share the work: what only a log, a store and leases that nodes share can show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{Channel, NotificationId, NotificationRequest};
use fanfare::store::BookColumn;

use crate::world::{Place, Script, TestProvider, World, mail};

/// Of each lane.
const PARTITIONS: u16 = 3;
const SHARDS: usize = PARTITIONS as usize * 4;

/// To so many users, so that every partition has some.
fn mails(count: usize) -> Vec<NotificationRequest> {
    (0..count).map(|number| NotificationRequest { dedup_window_seconds: Some(0), ..to(number) }).collect()
}

fn to(number: usize) -> NotificationRequest {
    NotificationRequest { user_id: Some(format!("user{number}").into()), ..mail() }
}

async fn accept(world: &World, count: usize) -> Vec<NotificationId> {
    let accepted = world.acceptor.accept(mails(count)).await.expect("accepted");
    accepted.iter().map(|accepted| accepted.id).collect()
}

/// Moves the clock on, by which nodes look for leases, until there is an answer.
async fn moving<T>(nodes: &[&World], mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    nodes[0]
        .until(async || {
            for node in nodes {
                node.advance(Duration::from_millis(50)).await;
            }
            ask().await
        })
        .await
}

fn shards(node: &World) -> usize {
    node.engine.ownership.shards().len()
}

/// Waits until every shard is somebody's, and everybody has some.
async fn shared_out(nodes: &[&World]) {
    moving(nodes, async || {
        let shards: Vec<usize> = nodes.iter().map(|node| shards(node)).collect();
        (shards.iter().sum::<usize>() == SHARDS && shards.iter().all(|count| *count > 0)).then_some(())
    })
    .await;
}

async fn all_sent(nodes: &[&World], ids: &[NotificationId]) {
    moving(nodes, async || {
        let positions: Vec<_> = ids.iter().map(|id| id.0).collect();
        let stories = nodes[0].store.stories(&positions).await.expect("the store reads");
        let is_sent = |state: &str| state == "sent";
        let sent = stories.iter().flatten().filter(|story| story.states().iter().all(|state| is_sent(state.name())));
        (sent.count() == ids.len()).then_some(())
    })
    .await;
}

/// How often each notification was given to the provider.
fn given(provider: &TestProvider) -> BTreeMap<NotificationId, usize> {
    let mut given = BTreeMap::new();
    for message in provider.taken() {
        *given.entry(message.task.notification()).or_default() += 1;
    }
    given
}

#[track_caller]
fn assert_each_once(provider: &TestProvider, ids: &[NotificationId]) {
    let given = given(provider);
    let wrong: Vec<_> = ids.iter().filter(|id| given.get(id) != Some(&1)).map(|id| (id.0, given.get(id))).collect();
    assert!(wrong.is_empty(), "not once: {wrong:?}");
    assert_eq!(given.len(), ids.len());
}

async fn first_node(place: Place, provider: &Arc<TestProvider>) -> World {
    let mut config = config::defaults();
    config.log.partitions = PARTITIONS;
    World::start_with(place, config, vec![provider.clone()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_partitions_and_a_third_joins_and_everything_is_sent_once() {
    let Some(place) = Place::on_services().await else { return };
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let first = first_node(place, &provider).await;
    let mut ids = accept(&first, 100).await;
    let second = first.another().await;
    ids.extend(accept(&second, 200).await);
    shared_out(&[&first, &second]).await;
    ids.extend(accept(&first, 200).await);
    let third = first.another().await;
    ids.extend(accept(&third, 200).await);
    shared_out(&[&first, &second, &third]).await;
    ids.extend(accept(&second, 200).await);
    all_sent(&[&first, &second, &third], &ids).await;
    assert_each_once(&provider, &ids);
    let nodes = [&first, &second, &third];
    let unaccounted = async || first.unaccounted().await + second.unaccounted().await + third.unaccounted().await;
    moving(&nodes, async || (unaccounted().await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_while_it_sends_hands_over_and_nothing_is_lost_or_sent_twice() {
    let Some(place) = Place::on_services().await else { return };
    let provider = TestProvider::with_slots("mail", &[Channel::Email], 8);
    let first = first_node(place, &provider).await;
    let second = first.another().await;
    shared_out(&[&first, &second]).await;
    provider.script(std::iter::repeat_n(Script::Hang, 4));
    let ids = accept(&second, 400).await;
    first.until(async || (!provider.taken().is_empty()).then_some(())).await;
    let stays = [&second];
    let releasing = moving(&stays, async || {
        provider.release();
        (shards(&second) == SHARDS).then_some(())
    });
    tokio::join!(first.engine.drain(), releasing);
    provider.release();
    let more = accept(&second, 100).await;
    let ids = [ids, more].concat();
    all_sent(&[&second], &ids).await;
    assert_each_once(&provider, &ids);
    second.balances().await;
}

/// The first node's runtime ends with everything in it: no lease is let go, no outcome and no cursor is written any more.
#[test]
fn what_a_node_had_in_hand_when_it_died_is_sent_by_the_next_once_its_leases_have_ended() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (dying, surviving) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    // The place, and what it holds of the services, belongs to the one that stays.
    let Some(place) = surviving.block_on(Place::on_services()) else { return };
    let provider = TestProvider::with_slots("mail", &[Channel::Email], 8);
    let (first, ids) = dying.block_on(async {
        let first = first_node(place, &provider).await;
        provider.script(std::iter::repeat_n(Script::Hang, 3));
        let ids = accept(&first, 50).await;
        first.until(async || (first.column(BookColumn::Sent).await == 47).then_some(())).await;
        (first, ids)
    });
    surviving.block_on(async {
        let second = first.another().await;
        let died_at = first.now();
        drop(first);
        dying.shutdown_background();
        let taken_over = moving(&[&second], async || (shards(&second) == SHARDS).then_some(second.now())).await;
        assert!(taken_over.since(died_at) >= Duration::from_secs(20), "a lease holds for its time");
        all_sent(&[&second], &ids).await;
        let given = given(&provider);
        assert!(ids.iter().all(|id| (1..=2).contains(given.get(id).unwrap_or(&0))), "{given:?}");
        assert_eq!(given.values().filter(|times| **times == 2).count(), 3, "those in hand, whose end nobody knows");
        second.balances().await;
    });
}
