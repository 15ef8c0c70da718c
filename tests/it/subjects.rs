//! Who follows a subject is told of its events, once, on the channel of their choice.

use std::collections::BTreeSet;

use fanfare::domain::{Channel, UserEntry};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Place, TestProvider, World, on_both};

on_both! {
    an_event_that_comes_twice_reaches_ten_followers_once_each
    who_is_erased_follows_nothing_any_more
}

fn providers() -> [std::sync::Arc<TestProvider>; 2] {
    [TestProvider::new("mail", &[Channel::Email]), TestProvider::new("text", &[Channel::Sms])]
}

/// A type of events and its rule, of this test alone.
async fn declare(world: &World, name: &str) {
    let declared = json!({"example": {"title": "One"}});
    world.ask(Method::PUT, &format!("/v1/event-types/{name}"), Some(&declared)).await;
    let rule = json!({
        "event": name,
        "audience": "subscribers",
        "send": {"content": {"title": "{{title}}", "body": "{{event.subject}}: {{title}}", "sms": "{{title}}"}},
    });
    world.ask(Method::PUT, &format!("/v1/rules/{name}"), Some(&rule)).await;
}

async fn follow(world: &World, subject: &str, user: &str, said: &Value) {
    let path = format!("/v1/subjects/{subject}/subscriptions/{}", world.place.own(user));
    world.ask(Method::PUT, &path, Some(said)).await;
}

fn count(taken: &Value) -> usize {
    taken["notifications"].as_array().expect("a list").len()
}

async fn an_event_that_comes_twice_reaches_ten_followers_once_each(place: Place) {
    let [mail, text] = providers();
    let world = World::start(place, vec![mail.clone(), text.clone()]).await;
    let (subject, name) = (world.place.own("show"), "show.episode");
    declare(&world, name).await;
    for number in 0..10 {
        let user = format!("user{number}");
        let email = UserEntry::Email(Some(format!("{user}@example.com").into()));
        world.know(&user, [email, UserEntry::Phone(Some(format!("+493012345{number}").into()))]).await;
        let channel = if number < 7 { "email" } else { "sms" };
        follow(&world, &subject, &user, &json!({"channel": channel})).await;
    }
    follow(&world, &subject, "quiet", &json!({"channel": "none"})).await;
    follow(&world, &subject, "away", &json!({"channel": "email", "status": "inactive"})).await;
    let event = json!({"type": name, "id": world.place.own("e1"), "subject": subject, "data": {"title": "One"}});
    let first = world.ask(Method::POST, "/v1/events", Some(&event)).await;
    assert_eq!(count(&first), 10, "{first}");
    let again = world.ask(Method::POST, "/v1/events", Some(&event)).await;
    assert_eq!(first["notifications"], again["notifications"]);
    world.until(async || (mail.taken().len() + text.taken().len() >= 10).then_some(())).await;
    assert_eq!((mail.taken().len(), text.taken().len()), (7, 3));
    let addresses: BTreeSet<String> = mail.taken().into_iter().map(|mail| format!("{:?}", mail.address)).collect();
    assert_eq!(addresses.len(), 7);
    world.balances().await;
}

async fn who_is_erased_follows_nothing_any_more(place: Place) {
    let [mail, text] = providers();
    let world = World::start(place, vec![mail.clone(), text]).await;
    let (subject, name) = (world.place.own("show"), "show.season");
    declare(&world, name).await;
    for user in ["alice", "bo"] {
        world.know(user, [UserEntry::Email(Some(format!("{user}@example.com").into()))]).await;
        follow(&world, &subject, user, &json!({"channel": "email"})).await;
    }
    let path = format!("/v1/users/{}", world.place.own("alice"));
    let receipt = world.ask(Method::DELETE, &path, None).await;
    assert_eq!(receipt["erased"]["subscriptions"], 1, "{receipt}");
    let event = json!({"type": name, "id": world.place.own("e2"), "subject": subject, "data": {"title": "Two"}});
    let taken = world.ask(Method::POST, "/v1/events", Some(&event)).await;
    assert_eq!(count(&taken), 1, "{taken}");
    world.until(async || (!mail.taken().is_empty()).then_some(())).await;
    let list = world.ask(Method::GET, &format!("/v1/subjects/{subject}/subscriptions"), None).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
}
