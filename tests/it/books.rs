//! The books balance.

use std::time::Duration;

use fanfare::domain::{Channel, Outcome};
use fanfare::log::NewRecord;
use fanfare::outcomes::Replay;
use fanfare::store::{BookColumn, DeadLetterCause};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    every_item_is_in_one_place_whatever_the_provider_answers
    a_dead_letter_that_is_replayed_gets_one_more_attempt
    a_replay_whose_caller_goes_away_is_carried_out_all_the_same
    a_record_that_cannot_be_read_goes_to_the_dead_letters_byte_for_byte_and_stops_nothing
}

async fn every_item_is_in_one_place_whatever_the_provider_answers(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script((0..200).map(|index| {
        Script::Answer(match index % 5 {
            0 => Outcome::Accepted { message_id: None },
            1 => Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false },
            2 => Outcome::dead("gone"),
            3 => Outcome::BadRequest { reason: "wrong".into() },
            _ => Outcome::Unknown { reason: "no answer".into() },
        })
    }));
    let world = World::start(place, vec![provider]).await;
    // Each to another address: one that is gone is not written to again.
    let requests = (0..200).map(|number| {
        let mut request = mail();
        request.to.email = Some(format!("{}{number}@example.com", world.place.own("books").to_lowercase()).into());
        request
    });
    let ids: Vec<_> = world.acceptor.accept(requests.collect()).await.expect("accepted");
    world.until(async || (world.column(BookColumn::Scheduled).await == 80).then_some(())).await;
    world.balances().await;
    world.advance(Duration::from_secs(120)).await;
    world.until(async || (world.column(BookColumn::Sent).await == 120).then_some(())).await;
    assert_eq!(world.column(BookColumn::In).await, ids.len() as i64);
    assert_eq!(world.column(BookColumn::Failed).await, 80);
    world.balances().await;
    let world = world.restart().await;
    assert_eq!(world.column(BookColumn::Sent).await, 120);
    world.balances().await;
}

async fn a_dead_letter_that_is_replayed_gets_one_more_attempt(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Answer(Outcome::BadRequest { reason: "wrong".into() })]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["failed"]).await;
    let letters = world.some_dead_letters("default").await;
    assert_eq!(world.engine.replays.replay(&letters[0].key).await.expect("the store writes"), Replay::Requeued);
    world.expect_states(id, &["sent"]).await;
    assert!(world.dead_letters("default").await.is_empty());
    assert_eq!(world.engine.replays.replay(&letters[0].key).await.expect("the store reads"), Replay::NotReplayable);
    world.balances().await;
}

async fn a_replay_whose_caller_goes_away_is_carried_out_all_the_same(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Answer(Outcome::BadRequest { reason: "wrong".into() })]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["failed"]).await;
    let letters = world.some_dead_letters("default").await;
    let mut replaying = Box::pin(world.engine.replays.replay(&letters[0].key));
    assert!(futures_util::poll!(&mut replaying).is_pending(), "it is durable only later");
    drop(replaying);
    world.expect_states(id, &["sent"]).await;
    world.balances().await;
}

async fn a_record_that_cannot_be_read_goes_to_the_dead_letters_byte_for_byte_and_stops_nothing(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider]).await;
    let rubbish = bytes::Bytes::from_static(b"\xff\x00rubbish");
    let lane = fanfare::domain::Priority::Normal;
    world.log.append(vec![NewRecord { lane, key: 0, body: rubbish.clone() }]).await.expect("appended");
    let letters = world
        .until(async || {
            let letters = world.dead_letters("").await;
            (!letters.is_empty()).then_some(letters)
        })
        .await;
    assert_eq!(letters[0].cause, DeadLetterCause::Record { body: rubbish });
    for _ in 0..4 {
        let id = world.send(mail()).await;
        world.expect_states(id, &["sent"]).await;
    }
}
