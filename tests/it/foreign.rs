//! Records that other programs write into the log.

use bytes::Bytes;
use fanfare::domain::{Channel, Disposition, Position, Priority, SkipReason, Source, Story};
use fanfare::log::{Foreign, Outlet};
use fanfare::store::{BookColumn, DeadLetter, DeadLetterCause};

use crate::world::{NOON, Others, Place, TestProvider, World, on_both};

on_both! {
    a_record_of_another_program_is_sent_as_a_request_of_the_api
    a_second_record_with_the_same_idempotency_key_is_skipped_whatever_it_says
    what_cannot_be_used_is_told_before_it_is_committed_and_holds_nobody_up
    a_record_that_is_read_again_stays_what_it_was
}

/// To a user that no other test has.
fn mail_to_own(place: &Place) -> String {
    let user = place.own("u");
    format!(
        r#"{{"user_id":"{user}","to":{{"email":"a@example.com"}},"content":{{"title":"t","body":"b"}},"channels":["email"]}}"#
    )
}

fn headers() -> Foreign {
    Foreign { appended_at: NOON, ..Foreign::default() }
}

async fn write(world: &World, others: &Others, body: impl Into<Bytes>, headers: Foreign) -> Position {
    others.write(&world.log, Priority::High, body, headers).await
}

async fn planned(world: &World, position: Position) -> Story {
    world.until(async || world.story(fanfare::domain::NotificationId(position)).await).await
}

async fn dead_letters(world: &World, count: usize) -> Vec<DeadLetter> {
    world
        .until(async || {
            let letters = world.dead_letters("").await;
            (letters.len() == count).then_some(letters)
        })
        .await
}

async fn a_record_of_another_program_is_sent_as_a_request_of_the_api(place: Place) {
    let mail = mail_to_own(&place);
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![provider.clone()]).await;
    let tenant = Some(Bytes::from_static(b"acme"));
    let position = write(&world, &others, mail.clone(), Foreign { tenant, ..headers() }).await;
    let story = planned(&world, position).await;
    world.expect_states(story.plan.id(), &["sent"]).await;
    assert_eq!((&*story.plan.tenant, story.plan.source, story.plan.accepted_at), ("acme", Source::Kafka, NOON));
    assert_eq!(story.plan.priority(), Priority::High);
    assert_eq!(provider.taken().len(), 1);
    world.balances().await;
}

async fn a_second_record_with_the_same_idempotency_key_is_skipped_whatever_it_says(place: Place) {
    let mail = mail_to_own(&place);
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![provider.clone()]).await;
    let key = world.place.own("once");
    let keyed = || Foreign { idempotency_key: Some(Bytes::from(key.clone())), ..headers() };
    let first = write(&world, &others, mail.clone(), keyed()).await;
    world.expect_states(planned(&world, first).await.plan.id(), &["sent"]).await;
    let other_body = mail.replace("\"b\"", "\"c\"");
    for body in [&mail, &other_body] {
        let again = write(&world, &others, body.clone(), keyed()).await;
        let expected = SkipReason::Duplicate { of: fanfare::domain::NotificationId(first) };
        assert_eq!(planned(&world, again).await.plan.disposition, Disposition::Skipped(expected));
    }
    assert_eq!(provider.taken().len(), 1);
}

async fn what_cannot_be_used_is_told_before_it_is_committed_and_holds_nobody_up(place: Place) {
    let mail = mail_to_own(&place);
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![provider.clone()]).await;
    others.refuse(true);
    let large = vec![b'x'; 10 << 20];
    let unknown = r#"{"user_id":"u","to":{"email":"a@example.com"},"template":"unknown"}"#;
    let text = Foreign { content_type: Some("text/plain".into()), ..headers() };
    for (body, headers) in [
        (Bytes::from_static(b"\0rubbish"), headers()),
        (Bytes::from(large.clone()), headers()),
        (Bytes::from_static(unknown.as_bytes()), headers()),
        (mail.clone().into(), text),
    ] {
        write(&world, &others, body, headers).await;
    }
    let good = write(&world, &others, mail.clone(), headers()).await;
    // The clock stands still, and so does who tries again.
    tokio::task::yield_now().await;
    assert!(others.commits().is_empty(), "nothing is committed that nobody was told of");
    others.refuse(false);
    let story = world
        .until(async || {
            world.advance(std::time::Duration::from_secs(5)).await;
            world.story(fanfare::domain::NotificationId(good)).await
        })
        .await;
    world.expect_states(story.plan.id(), &["sent"]).await;

    let told = others.told(Outlet::DeadLetters);
    assert!(told.iter().any(|told| told.body == large), "byte for byte");
    for told in &told {
        let names: Vec<&str> = told.headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["error", "source-topic", "source-partition", "source-offset"]);
    }
    let committed = world.until(async || others.commits().last().copied()).await;
    assert!(committed.1 == 5 && committed.2 >= 4, "{committed:?}");
    let letters = dead_letters(&world, 4).await;
    let kept = |letter: &DeadLetter| match &letter.cause {
        DeadLetterCause::Foreign(letter) => (letter.body.len(), letter.size),
        other => panic!("{other:?}"),
    };
    assert!(letters.iter().any(|letter| kept(letter) == (256 << 10, 10 << 20)));
    assert!(letters.iter().all(|letter| letter.key.at == NOON));
    assert!(letters.iter().any(|letter| letter.reason.contains("unknown")));
    assert_eq!(world.column(BookColumn::Rejected).await, 4);
    world.balances().await;
}

/// After a crash between the writing of plans and the commit, under a configuration that would judge otherwise.
async fn a_record_that_is_read_again_stays_what_it_was(place: Place) {
    let mail = mail_to_own(&place);
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![provider.clone()]).await;
    others.forget_commits();
    let sent = fanfare::domain::NotificationId(write(&world, &others, mail, headers()).await);
    world.until(async || world.story(sent).await).await;
    world.expect_states(sent, &["sent"]).await;
    write(&world, &others, &b"rubbish"[..], headers()).await;
    let before = dead_letters(&world, 1).await;
    world.until(async || (others.commits().len() >= 2).then_some(())).await;

    let world = world.restart_with_config(|config| config.http.max_body = fanfare::config::ByteSize(16)).await;
    let last = write(&world, &others, &b"again"[..], headers()).await;
    world.until(async || (others.commits().last()?.1 > last.offset).then_some(())).await;
    let letters = dead_letters(&world, 2).await;
    assert_eq!(letters[1], before[0], "and what was sent is no dead letter: {letters:?}");
    assert_eq!(world.column(BookColumn::Rejected).await, 2);
    assert_eq!(provider.taken().len(), 1);
    world.balances().await;
}
