//! The link in a mail that takes its reader off a list: what mail clients, scanners and people do with it.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use fanfare::domain::{
    AddressKind, Channel, NotificationRequest, SuppressedAddress, SuppressionCause, UserEntry, UserKey,
};

use crate::world::{Place, TestProvider, World, mail, on_both};

on_both! {
    one_click_takes_a_user_off_the_category_and_reading_the_link_does_not
    who_has_no_id_is_taken_off_by_the_address
    only_mails_that_can_be_switched_off_carry_the_link
    a_link_that_was_not_made_here_leads_nowhere
    who_was_erased_is_answered_as_everybody_and_stays_unknown
}

const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

async fn world(place: Place) -> (World, Arc<TestProvider>) {
    let mails = TestProvider::new("mails", &[Channel::Email]);
    (World::start(place, vec![mails.clone()]).await, mails)
}

fn marketing(world: &World, user: &str) -> NotificationRequest {
    let mut request = mail();
    request.user_id = Some(world.place.own(user).into());
    request.category = Some("marketing".into());
    request.dedup_window_seconds = Some(0);
    request
}

/// The path of the link in the last mail.
async fn link(world: &World, mails: &TestProvider, request: NotificationRequest) -> String {
    let before = mails.taken().len();
    world.send(request).await;
    let message = world.until(async || mails.taken().get(before).cloned()).await;
    let link = message.unsubscribe.expect("there is one");
    link.strip_prefix("https://notify.example.com").expect("it begins so").to_owned()
}

fn key(world: &World, user: &str) -> UserKey {
    UserKey { tenant: "default".into(), user_id: world.place.own(user).into() }
}

async fn one_click_takes_a_user_off_the_category_and_reading_the_link_does_not(place: Place) {
    let (world, mails) = world(place).await;
    let path = link(&world, &mails, marketing(&world, "alice")).await;
    let task = mails.taken()[0].task;
    let (status, headers, page) = world.call_without_key(Method::GET, &path, &[], "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<form method=\"post\">") && page.contains("Offers and news"), "{page}");
    assert!(!page.contains("http") && !page.contains("<script"), "it asks nobody else: {page}");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert!(headers["content-security-policy"].to_str().expect("text").contains("default-src 'none'"));
    assert_eq!(world.users.user(&key(&world, "alice")).await.expect("the store reads"), None, "a scanner was here");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let parts = ("content-type", "multipart/form-data; boundary=b");
    let in_parts = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    for (header, body) in [(form, ONE_CLICK), (parts, in_parts), (form, "")] {
        let (status, headers, _) = world.call_without_key(Method::POST, &path, &[header], body).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!headers.contains_key("set-cookie") && !headers.contains_key("location"));
        let user = world.users.user(&key(&world, "alice")).await.expect("the store reads").expect("known now");
        assert_eq!(user.preference("marketing", Channel::Email), Some(false));
    }
    let story = world.story(task.notification()).await.expect("planned");
    let told = story.events.iter().filter(|event| event.kind.name() == "unsubscribed").count();
    assert_eq!((told, story.states()[0].name()), (1, "delivered"));
    let again = world.send(marketing(&world, "alice")).await;
    let story = world.until(async || world.story(again).await).await;
    assert_eq!(story.plan.tasks().len(), 0);
    world.balances().await;
}

async fn who_has_no_id_is_taken_off_by_the_address(place: Place) {
    let (world, mails) = world(place).await;
    let address = format!("{}@example.com", world.place.own("nobody").to_lowercase());
    let mut request = marketing(&world, "nobody");
    (request.user_id, request.to.email) = (None, Some(address.as_str().into()));
    let path = link(&world, &mails, request).await;
    for _ in 0..2 {
        let (status, ..) = world.call_without_key(Method::POST, &path, &[], ONE_CLICK).await;
        assert_eq!(status, StatusCode::OK);
        let address = SuppressedAddress::new("default", AddressKind::Email, &address);
        let held = world.users.suppressions(&[address]).await.expect("the store reads").pop().flatten();
        assert_eq!(held.map(|held| held.cause), Some(SuppressionCause::OptOut));
    }
}

async fn only_mails_that_can_be_switched_off_carry_the_link(place: Place) {
    let texts = TestProvider::new("texts", &[Channel::Email, Channel::Sms]);
    let world = World::start(place, vec![texts.clone()]).await;
    let mut security = marketing(&world, "bob");
    security.category = Some("security".into());
    let mut text = marketing(&world, "bob");
    (text.channels, text.to.phone) = (vec![Channel::Sms], Some("+491701234567".into()));
    for request in [security, text] {
        let before = texts.taken().len();
        world.send(request).await;
        let message = world.until(async || texts.taken().get(before).cloned()).await;
        assert_eq!(message.unsubscribe, None, "{}", message.channel);
    }
}

async fn a_link_that_was_not_made_here_leads_nowhere(place: Place) {
    let (world, mails) = world(place).await;
    let path = link(&world, &mails, marketing(&world, "dave")).await;
    let (head, last) = path.split_at(path.len() - 1);
    let other = if last == "A" { "B" } else { "A" };
    for forged in [format!("{head}{other}"), head[..head.len() - 4].to_owned(), "/u/x".to_owned()] {
        for method in [Method::GET, Method::POST] {
            let (status, headers, page) = world.call_without_key(method, &forged, &[], ONE_CLICK).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{page}");
            assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        }
    }
    assert_eq!(world.users.user(&key(&world, "dave")).await.expect("the store reads"), None);
}

async fn who_was_erased_is_answered_as_everybody_and_stays_unknown(place: Place) {
    let (world, mails) = world(place).await;
    world.know("erin", [UserEntry::Email(Some("a@example.com".into()))]).await;
    let path = link(&world, &mails, marketing(&world, "erin")).await;
    let user = format!("/v1/users/{}", world.place.own("erin"));
    world.ask(Method::DELETE, &user, None).await;
    let (status, ..) = world.call_without_key(Method::POST, &path, &[], ONE_CLICK).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(world.users.user(&key(&world, "erin")).await.expect("the store reads"), None);
}
