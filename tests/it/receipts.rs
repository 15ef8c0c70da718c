//! What providers tell later of messages: through the API, as they post it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use fanfare::config;
use fanfare::domain::{
    AddressKind, Channel, Event, NotificationId, NotificationRequest, Outcome, Routing, SuppressedAddress, Suppression,
    SuppressionCause, TaskId, UserEntry, UserKey,
};
use fanfare::store::BookColumn;
use serde_json::{Value, json};

use crate::world::{Place, SIGNATURE, Script, TestProvider, World, mail, on_both};

on_both! {
    a_receipt_is_there_when_it_is_answered_and_again_changes_nothing
    receipts_in_any_order_come_to_the_same
    a_receipt_that_comes_before_our_own_row_is_kept
    a_receipt_of_no_task_or_of_anothers_is_counted_and_changes_nothing
    a_receipt_of_what_cannot_have_gone_yet_is_counted_and_it_goes_at_its_time
    a_receipt_of_another_message_of_the_task_counts_only_if_there_may_be_one
    what_is_not_signed_cannot_be_read_or_checked_is_refused_and_what_is_old_is_ignored
    a_thousand_receipts_may_come_at_once
    what_was_in_doubt_and_is_delivered_is_not_sent_again_and_the_books_balance
    what_was_in_doubt_and_is_delivered_can_be_cancelled_and_found_after_a_restart
    in_doubt_and_delivered_the_first_channel_of_a_fallback_needs_no_other
    a_delivery_ends_the_wait_of_the_next_channel_at_once
    a_bounce_gives_the_next_channel_its_turn_at_once
    an_address_that_is_gone_or_complains_is_suppressed_and_an_operators_word_stays
    the_address_of_who_was_erased_is_not_written_again_by_a_late_bounce
    who_takes_themselves_off_at_the_provider_gets_no_more_of_the_category
    receipts_are_told_to_others
}

const PATH: &str = "/v1/providers/mails/receipts";

async fn post(world: &World, provider: &str, receipts: &[Value]) -> StatusCode {
    let path = format!("/v1/providers/{provider}/receipts");
    let body = Value::from(receipts).to_string();
    let (status, _, text) = world.call_without_key(Method::POST, &path, &[SIGNATURE], &body).await;
    assert!(status != StatusCode::OK || text == r#"{"code":0}"#, "{text}");
    status
}

fn task(id: NotificationId, ordinal: u8) -> TaskId {
    TaskId { position: id.0, ordinal }
}

fn receipt(id: NotificationId, ordinal: u8, kind: &str) -> Value {
    json!({"task": task(id, ordinal).to_string(), "kind": kind})
}

/// Posts one receipt, which is taken.
async fn tell(world: &World, provider: &str, id: NotificationId, ordinal: u8, kind: &str) {
    assert_eq!(post(world, provider, &[receipt(id, ordinal, kind)]).await, StatusCode::OK);
}

/// The kinds of what was told of a task.
async fn told(world: &World, id: NotificationId) -> Vec<&'static str> {
    let story = world.story(id).await.expect("planned");
    let told = story.events.iter().filter(|event| event.kind.is_receipt());
    let mut told: Vec<&str> = told.map(|event| event.kind.name()).collect();
    told.sort_unstable();
    told
}

async fn world(place: Place) -> (World, Arc<TestProvider>) {
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    (World::start(place, vec![mails.clone()]).await, mails)
}

async fn sent(world: &World) -> NotificationId {
    let id = world.send(mail()).await;
    world.expect_states(id, &["sent"]).await;
    id
}

/// First a mail, and if that does not arrive a text message.
fn fallback() -> NotificationRequest {
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    request
}

/// A world in which messages are to be confirmed within ten minutes.
async fn confirming(place: Place) -> (World, Arc<TestProvider>, Arc<TestProvider>) {
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry.jitter = 0.0;
    for category in &mut config.categories {
        category.confirm_within = Some(Duration::from_secs(600));
    }
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    let texts = TestProvider::telling("texts", &[Channel::Sms]);
    (World::start_with(place, config, vec![mails.clone(), texts.clone()]).await, mails, texts)
}

fn in_doubt() -> Script {
    Script::Answer(Outcome::Unknown { reason: "no answer".into() })
}

async fn a_receipt_is_there_when_it_is_answered_and_again_changes_nothing(place: Place) {
    let (world, _) = world(place).await;
    let id = sent(&world).await;
    for _ in 0..3 {
        tell(&world, "mails", id, 0, "delivered").await;
        let story = world.story(id).await.expect("planned");
        assert_eq!(story.states()[0].name(), "delivered");
        assert_eq!(told(&world, id).await, ["delivered"]);
    }
    let view = world.ask(Method::GET, &format!("/v1/tasks/{}", task(id, 0)), None).await;
    assert_eq!((&view["status"], &view["attempt"]), (&json!("delivered"), &json!(1)));
    assert_eq!(view["events"][2]["provider"], "mails");
    world.balances().await;
    assert_eq!(world.column(BookColumn::Sent).await, 1);
}

async fn receipts_in_any_order_come_to_the_same(place: Place) {
    let (world, _) = world(place).await;
    for order in [["delivered", "opened", "bounced"], ["bounced", "opened", "delivered"]] {
        let id = sent(&world).await;
        for kind in order {
            tell(&world, "mails", id, 0, kind).await;
        }
        tell(&world, "mails", id, 0, order[0]).await;
        world.expect_states(id, &["delivered"]).await;
        assert_eq!(told(&world, id).await, ["bounced", "delivered", "opened"]);
    }
    let id = sent(&world).await;
    tell(&world, "mails", id, 0, "bounced").await;
    world.expect_states(id, &["sent"]).await;
    world.balances().await;
}

async fn a_receipt_that_comes_before_our_own_row_is_kept(place: Place) {
    let (world, mails) = world(place).await;
    mails.script([Script::Hang]);
    let id = world.send(mail()).await;
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    let ahead = json!({"task": task(id, 0).to_string(), "kind": "delivered", "at": world.now().millis() + 90_000});
    assert_eq!(post(&world, "mails", &[ahead]).await, StatusCode::OK);
    assert_eq!(told(&world, id).await, ["delivered"]);
    mails.release();
    world.until(async || (world.column(BookColumn::Sent).await == 1).then_some(())).await;
    world.balances().await;
    let story = world.story(id).await.expect("planned");
    assert_eq!((story.states()[0].name(), story.booked_states()[0].name()), ("delivered", "sent"));
    assert!(story.events.iter().all(|event| event.at <= world.now()), "nothing has happened yet that is to come");
}

async fn a_receipt_of_no_task_or_of_anothers_is_counted_and_changes_nothing(place: Place) {
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    let texts = TestProvider::telling("texts", &[Channel::Sms]);
    let others = TestProvider::telling("others", &[Channel::Email]);
    let world = World::start(place, vec![mails.clone(), texts]).await;
    let id = sent(&world).await;
    let mut never = task(id, 0);
    never.position.offset += 1000;
    let strange = [
        json!({"task": never.to_string(), "kind": "delivered"}),
        json!({"task": TaskId { ordinal: 7, ..task(id, 0) }.to_string(), "kind": "delivered"}),
        json!({"task": null, "kind": "delivered"}),
        receipt(id, 0, "progress"),
    ];
    assert_eq!(post(&world, "mails", &strange).await, StatusCode::OK);
    tell(&world, "texts", id, 0, "delivered").await;
    let world = world.restart_with_providers(vec![mails, others]).await;
    tell(&world, "others", id, 0, "gone").await;
    assert_eq!(told(&world, id).await, [] as [&str; 0]);
    assert!(world.store.stories(&[never.position]).await.expect("the store reads")[0].is_none());
    let page = world.call_without_key(Method::GET, "/metrics", &[], "").await.2;
    assert!(page.contains(r#"fanfare_receipts_total{provider="mails",outcome="unmatched"}"#), "{page}");
    assert!(page.contains(r#"fanfare_receipts_total{provider="mails",outcome="not_ours"}"#), "{page}");
}

async fn unmatched(world: &World) -> bool {
    let page = world.call_without_key(Method::GET, "/metrics", &[], "").await.2;
    page.contains(r#"outcome="unmatched"}"#)
}

async fn a_receipt_of_what_cannot_have_gone_yet_is_counted_and_it_goes_at_its_time(place: Place) {
    let (world, mails, texts) = confirming(place).await;
    let mut later = mail();
    later.deliver_at = Some(world.now() + Duration::from_secs(3600));
    let later = world.send(later).await;
    world.expect_states(later, &["scheduled"]).await;
    let cancelled = NotificationRequest { deliver_at: Some(world.now() + Duration::from_secs(3600)), ..mail() };
    let cancelled = world.send(cancelled).await;
    world.expect_states(cancelled, &["scheduled"]).await;
    world.engine.cancellations.cancel(cancelled).await.expect("the store writes");
    let waits = world.send(fallback()).await;
    world.expect_states(waits, &["sent", "scheduled"]).await;
    for (provider, id, ordinal) in [("mails", later, 0), ("mails", cancelled, 0), ("texts", waits, 1)] {
        tell(&world, provider, id, ordinal, "delivered").await;
        tell(&world, provider, id, ordinal, "gone").await;
        assert_eq!(told(&world, id).await, [] as [&str; 0]);
    }
    assert!(unmatched(&world).await);
    world.balances().await;
    world.advance(Duration::from_secs(3601)).await;
    world.expect_states(later, &["sent"]).await;
    world.expect_states(cancelled, &["cancelled"]).await;
    world.expect_states(waits, &["sent", "sent"]).await;
    assert_eq!((mails.taken().len(), texts.taken().len()), (2, 1));
    world.balances().await;
}

async fn a_receipt_of_another_message_of_the_task_counts_only_if_there_may_be_one(place: Place) {
    let (world, mails) = world(place).await;
    let of_another = |id| {
        let mut receipt = receipt(id, 0, "delivered");
        receipt["id"] = json!("another");
        receipt
    };
    let id = sent(&world).await;
    assert_eq!(post(&world, "mails", &[of_another(id)]).await, StatusCode::OK);
    assert_eq!(told(&world, id).await, [] as [&str; 0]);
    mails.script([in_doubt()]);
    let id = world.send(mail()).await;
    world.expect_states(id, &["scheduled"]).await;
    world.advance(Duration::from_secs(600)).await;
    world.expect_states(id, &["sent"]).await;
    assert_eq!(post(&world, "mails", &[of_another(id)]).await, StatusCode::OK);
    assert_eq!(told(&world, id).await, ["delivered"], "it may be of the first attempt");
}

async fn what_is_not_signed_cannot_be_read_or_checked_is_refused_and_what_is_old_is_ignored(place: Place) {
    let (world, _) = world(place).await;
    let id = sent(&world).await;
    let body = json!([receipt(id, 0, "delivered")]).to_string();
    let check = async |path: &str, signature: &str, body: &str, expected: u16| {
        let headers = [(SIGNATURE.0, signature)];
        let (status, _, text) = world.call_without_key(Method::POST, path, &headers, body).await;
        assert_eq!(status.as_u16(), expected, "{path} {signature}: {text}");
    };
    check(PATH, "forged", &body, 401).await;
    check(PATH, "old", &body, 200).await;
    check(PATH, "unknown", &body, 503).await;
    check(PATH, "genuine", "no list", 400).await;
    check(PATH, "genuine", &"x".repeat(2 * 1024 * 1024 + 1), 413).await;
    check("/v1/providers/nobody/receipts", "genuine", &body, 404).await;
    assert_eq!(told(&world, id).await, [] as [&str; 0]);
    let world = world.restart_with_providers(vec![TestProvider::new("mails", &[Channel::Email])]).await;
    let (status, _, text) = world.call_without_key(Method::POST, PATH, &[SIGNATURE], &body).await;
    assert_eq!(status.as_u16(), 404);
    assert!(text.contains("has no receipts"), "{text}");
}

async fn a_thousand_receipts_may_come_at_once(place: Place) {
    let (world, mails) = world(place).await;
    let accepted = world.acceptor.accept((0..1000).map(|_| mail()).collect()).await.expect("accepted");
    world.until(async || (mails.taken().len() == 1000).then_some(())).await;
    let receipts: Vec<Value> = accepted.iter().map(|accepted| receipt(accepted.id, 0, "delivered")).collect();
    assert_eq!(post(&world, "mails", &receipts).await, StatusCode::OK);
    let positions: Vec<_> = accepted.iter().map(|accepted| accepted.id.0).collect();
    for stories in positions.chunks(500) {
        for story in world.store.stories(stories).await.expect("the store reads") {
            assert_eq!(story.expect("planned").states()[0].name(), "delivered");
        }
    }
    world.until(async || (world.column(BookColumn::Sent).await == 1000).then_some(())).await;
    world.balances().await;
}

async fn what_was_in_doubt_and_is_delivered_is_not_sent_again_and_the_books_balance(place: Place) {
    let (world, mails) = world(place).await;
    mails.script([in_doubt()]);
    let id = world.send(mail()).await;
    world.expect_states(id, &["scheduled"]).await;
    world.until(async || (world.column(BookColumn::Scheduled).await == 1).then_some(())).await;
    tell(&world, "mails", id, 0, "delivered").await;
    // At once, and not when its next attempt would be.
    world.until(async || (world.column(BookColumn::Sent).await == 1).then_some(())).await;
    assert_eq!(world.column(BookColumn::Scheduled).await, 0);
    world.balances().await;
    world.advance(Duration::from_secs(3600)).await;
    let other = sent(&world).await;
    world.expect_states(id, &["delivered"]).await;
    assert_eq!(mails.taken().iter().filter(|message| message.task != task(other, 0)).count(), 1);
    let story = world.story(id).await.expect("planned");
    let sent = story.events.iter().find(|event| event.kind.name() == "sent").expect("it is settled");
    assert_eq!((sent.attempt, sent.provider.as_deref()), (1, Some("mails")));
    world.balances().await;
}

async fn what_was_in_doubt_and_is_delivered_can_be_cancelled_and_found_after_a_restart(place: Place) {
    let (world, mails) = world(place).await;
    mails.script([in_doubt()]);
    let id = world.send(mail()).await;
    world.until(async || (world.column(BookColumn::Scheduled).await == 1).then_some(())).await;
    // As if this node had been told by another, which stopped then.
    let mut event = Event::new(task(id, 0), Event::NO_ATTEMPT, fanfare::domain::EventKind::Delivered, world.now());
    event.provider = Some("mails".into());
    let batch = fanfare::store::WriteBatch { events: vec![event], ..Default::default() };
    world.store.write(id.0.shard, batch).await.expect("written");
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, fanfare::outcomes::Cancellation::TooLate { too_late: 1 });
    let world = world.restart().await;
    world.balances().await;
    world.advance(Duration::from_secs(3600)).await;
    world.until(async || (world.column(BookColumn::Sent).await == 1).then_some(())).await;
    world.balances().await;
    world.expect_states(id, &["delivered"]).await;
    assert_eq!(mails.taken().len(), 1);
}

async fn in_doubt_and_delivered_the_first_channel_of_a_fallback_needs_no_other(place: Place) {
    let (world, mails, texts) = confirming(place).await;
    for (kind, states, taken) in [("delivered", ["delivered", "skipped"], 0), ("bounced", ["sent", "sent"], 1)] {
        mails.script([in_doubt()]);
        let id = world.send(fallback()).await;
        world.expect_states(id, &["scheduled", "pending"]).await;
        tell(&world, "mails", id, 0, kind).await;
        world.expect_states(id, &states).await;
        world.balances().await;
        assert_eq!(texts.taken().len(), taken);
    }
    assert_eq!(mails.taken().len(), 2);
    assert_eq!((world.column(BookColumn::Scheduled).await, world.column(BookColumn::Waiting).await), (0, 0));
}

async fn a_delivery_ends_the_wait_of_the_next_channel_at_once(place: Place) {
    let (world, _, texts) = confirming(place).await;
    let id = world.send(fallback()).await;
    world.expect_states(id, &["sent", "scheduled"]).await;
    tell(&world, "mails", id, 0, "delivered").await;
    world.expect_states(id, &["delivered", "skipped"]).await;
    world.balances().await;
    assert_eq!(world.column(BookColumn::SkippedDeliveredElsewhere).await, 1);
    world.advance(Duration::from_secs(601)).await;
    world.balances().await;
    assert_eq!(texts.taken().len(), 0);
}

async fn a_bounce_gives_the_next_channel_its_turn_at_once(place: Place) {
    let (world, _, texts) = confirming(place).await;
    let id = world.send(fallback()).await;
    world.expect_states(id, &["sent", "scheduled"]).await;
    tell(&world, "mails", id, 0, "bounced").await;
    world.expect_states(id, &["sent", "sent"]).await;
    world.balances().await;
    world.advance(Duration::from_secs(601)).await;
    sent(&world).await;
    assert_eq!(texts.taken().len(), 1, "its timer comes to nothing");
    world.balances().await;
}

async fn an_address_that_is_gone_or_complains_is_suppressed_and_an_operators_word_stays(place: Place) {
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    let texts = TestProvider::telling("texts", &[Channel::Sms]);
    let world = World::start(place, vec![mails, texts]).await;
    let held = async |kind, address: &str| {
        let address = SuppressedAddress::new("default", kind, address);
        world.users.suppressions(&[address]).await.expect("the store reads").pop().flatten()
    };
    let own = |word: &str| format!("{}@example.com", world.place.own(word).to_lowercase());
    for (kind, expected) in [
        ("gone", Some(SuppressionCause::HardBounce)),
        ("stop", Some(SuppressionCause::OptOut)),
        ("complained", Some(SuppressionCause::Complaint)),
        ("unsubscribed", Some(SuppressionCause::OptOut)),
        ("bounced", None),
        ("delivered", None),
    ] {
        let mut request = mail();
        request.to.email = Some(own(kind).into());
        let id = world.send(request).await;
        world.expect_states(id, &["sent"]).await;
        tell(&world, "mails", id, 0, kind).await;
        let cause = held(AddressKind::Email, &own(kind)).await.map(|held| held.cause);
        assert_eq!(cause, expected, "{kind}");
    }
    let by_hand = Suppression {
        address: None,
        sealed_address: None,
        cause: SuppressionCause::Manual,
        since: world.now(),
        until: None,
    };
    let mut request = mail();
    request.to.email = Some(own("manual").into());
    let id = world.send(request).await;
    world.expect_states(id, &["sent"]).await;
    let address = SuppressedAddress::new("default", AddressKind::Email, &own("manual"));
    world.users.write_suppressions(vec![(address, Some(by_hand.clone()))]).await.expect("written");
    tell(&world, "mails", id, 0, "gone").await;
    assert_eq!(held(AddressKind::Email, &own("manual")).await, Some(by_hand));
    // A number is the same everywhere: it is made this test's own by its last digits.
    let number = format!("+49170{:07}", u32::from(id.0.shard.generation) * 1000 + 17);
    let mut request = mail();
    request.to.phone = Some(number.as_str().into());
    request.channels = vec![Channel::Sms];
    let id = world.send(request).await;
    world.expect_states(id, &["sent"]).await;
    tell(&world, "texts", id, 0, "stop").await;
    assert_eq!(held(AddressKind::Phone, &number).await.map(|held| held.cause), Some(SuppressionCause::OptOut));
}

async fn the_address_of_who_was_erased_is_not_written_again_by_a_late_bounce(place: Place) {
    let (world, _) = world(place).await;
    let address = |user: &str| format!("{}@example.com", world.place.own(user).to_lowercase());
    for (user, is_erased) in [("stays", false), ("erased", true), ("back", true), ("unknown", true)] {
        let own = world.place.own(user);
        let email = || UserEntry::Email(Some(address(user).into()));
        if user != "unknown" {
            world.know(user, [email()]).await;
        }
        let mut request = mail();
        request.user_id = Some(own.as_str().into());
        request.to.email = Some(address(user).into());
        let id = world.send(request).await;
        world.expect_states(id, &["sent"]).await;
        world.advance(Duration::from_secs(1)).await;
        if is_erased && user != "unknown" {
            world.know(user, [UserEntry::Email(None), UserEntry::Erased(Some(world.now()))]).await;
        }
        if user == "back" {
            world.know(user, [email()]).await;
        }
        tell(&world, "mails", id, 0, "gone").await;
        let key = SuppressedAddress::new("default", AddressKind::Email, &address(user));
        let held = world.users.suppressions(&[key]).await.expect("the store reads").pop().flatten();
        let held = held.expect("it takes nothing more");
        assert_eq!(held.address.as_deref(), (!is_erased).then_some(&*address(user)), "{user}");
    }
}

async fn who_takes_themselves_off_at_the_provider_gets_no_more_of_the_category(place: Place) {
    let (world, _) = world(place).await;
    let user_id = world.place.own("carol");
    let request = || {
        let mut request = mail();
        request.user_id = Some(user_id.as_str().into());
        request.category = Some("marketing".into());
        request.dedup_window_seconds = Some(0);
        request
    };
    let id = world.send(request()).await;
    world.states_when(id, |states| states == ["sent"]).await;
    tell(&world, "mails", id, 0, "unsubscribed").await;
    let key = UserKey { tenant: "default".into(), user_id: user_id.as_str().into() };
    let user = world.users.user(&key).await.expect("the store reads").expect("known now");
    assert_eq!(user.preference("marketing", Channel::Email), Some(false));
    let again = world.send(request()).await;
    let story = world.until(async || world.story(again).await).await;
    assert_eq!(story.plan.tasks().len(), 0, "nothing goes there any more");
}

async fn receipts_are_told_to_others(place: Place) {
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    let (world, others) = World::start_shared(place, vec![mails]).await;
    let id = sent(&world).await;
    let is_told = |kind: &str| {
        let event = Event::new(task(id, 0), Event::NO_ATTEMPT, kind_of(kind), world.now());
        let name = format!("{}-{}", event.task, event.sequence());
        // Of opens there may be several, each with a number behind it.
        others.ids().iter().any(|told| *told == name || told.starts_with(&format!("{name}-")))
    };
    tell(&world, "mails", id, 0, "delivered").await;
    assert!(is_told("delivered"), "before the provider is answered");
    others.refuse(true);
    let mut opened = [receipt(id, 0, "opened")];
    opened[0]["event"] = json!("e1");
    assert_eq!(post(&world, "mails", &opened).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!is_told("opened"));
    others.refuse(false);
    assert_eq!(post(&world, "mails", &opened).await, StatusCode::OK);
    assert!(is_told("opened"), "though its row was there");
}

fn kind_of(name: &str) -> fanfare::domain::EventKind {
    fanfare::domain::EventKind::ALL.into_iter().find(|kind| kind.name() == name).expect("a kind")
}
