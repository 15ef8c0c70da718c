//! What recipients see: the link that leaves, the page of choices, and the files of the inbox.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::users::{ok, put};
use super::world::{Answer, World, now, plan};
use crate::api::resources::pages;
use crate::api::resources::recipients::LANGUAGES;
use crate::config::Secret;
use crate::domain::{Categories, Category, Channel, Message, Outcome};
use crate::intake::fakes::FakeLog;
use crate::links::{Links, Unsubscribe, Whom};
use crate::outcomes::{ReceiptDesk, ReceiptDeskParts};
use crate::providers::Provider;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HTML: &str = "<b onclick=x>'\"&</b>";

/// Serves two channels.
struct Ways;

#[async_trait]
impl Provider for Ways {
    fn name(&self) -> &str {
        "ways"
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Email, Channel::Sms]
    }

    async fn send(&self, _: &Message) -> Outcome {
        Outcome::Accepted { message_id: None }
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

fn links(secret: &str) -> Links {
    Links::new("", &Secret::new(secret), &[]).expect("long enough")
}

fn world() -> World {
    World::of(
        FakeLog::open(),
        |_| {},
        |parts| {
            parts.links = Some(Arc::new(links(SECRET)));
            parts.providers = vec![Arc::new(Ways)];
        },
    )
}

fn said(whom: Whom, category: &str) -> Unsubscribe {
    let task = plan(1).task_id(0);
    Unsubscribe { tenant: "default".into(), whom, category: category.into(), channel: Channel::Email, task }
}

/// The token of a mail's link.
fn token(whom: Whom, category: &str) -> String {
    let link = links(SECRET).unsubscribe(&said(whom, category)).expect("short enough");
    link.strip_prefix("/u/").expect("it begins so").to_owned()
}

fn of_user(id: &str) -> String {
    token(Whom::User(id.into()), "marketing")
}

async fn visit(world: &World, path: &str, languages: &str) -> Answer {
    let request = Request::builder().uri(path).header("accept-language", languages);
    world.call(request.body(Body::empty()).expect("a request")).await
}

async fn submit(world: &World, path: &str, form: &str) -> Answer {
    let request = Request::builder().method("POST").uri(path);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    world.call(request.body(Body::from(form.to_owned())).expect("a request")).await
}

async fn preferences(world: &World, user: &str) -> Value {
    ok(world.get(&format!("/v1/users/{user}/preferences")).await)["preferences"].clone()
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16, contains: &[&str]) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("location"));
    for strange in ["http:", "https:", "<script", "style=", "onclick=\"", "<b onclick"] {
        assert!(!answer.text.contains(strange), "`{strange}` in {}", answer.text);
    }
    for text in contains {
        assert!(answer.text.contains(text), "no `{text}` in {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_ticked_is_saved_and_only_that_and_the_api_says_the_same() {
    let world = world();
    let path = format!("/preferences/{}", of_user("alice"));
    let page = visit(&world, &path, "en").await;
    assert_page(&page, 200, &["value=\"email:marketing\" checked", "value=\"sms:marketing\" checked", "Always sent"]);
    assert!(!page.text.contains(":security\"") && !page.text.contains("push:"), "nobody can choose that");
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
    let form = "shown=email%3Amarketing&shown=sms%3Amarketing&on=sms%3Amarketing&shown=email%3Asocial&on=email%3Asocial&do=save";
    let page = submit(&world, &path, form).await;
    assert_page(&page, 200, &["Saved", "value=\"email:marketing\">", "value=\"sms:marketing\" checked"]);
    assert_eq!(
        preferences(&world, "alice").await,
        json!([{"category": "marketing", "channel": "email", "enabled": false}]),
        "what holds by default is not written"
    );
    assert_page(&submit(&world, &path, form).await, 200, &["nothing was changed"]);
    let change = json!({"preferences": [{"category": "marketing", "channel": "email", "enabled": true}]});
    ok(put(&world, "/v1/users/alice/preferences", &change).await);
    assert_page(&visit(&world, &path, "en").await, 200, &["value=\"email:marketing\" checked"]);
}

#[tokio::test]
async fn everything_is_left_at_once_and_an_undo_brings_it_back() {
    let world = world();
    let token = of_user("alice");
    let path = format!("/preferences/{token}");
    let page = submit(&world, &path, "do=leave_all").await;
    assert_page(&page, 200, &["Saved", "name=\"on\" value=\"email:social\"", "value=\"subscribe\""]);
    let off = preferences(&world, "alice").await;
    let off = off.as_array().expect("a list");
    assert_eq!(off.len(), 3 * Channel::ALL.len(), "also by ways that nobody serves today");
    assert!(off.iter().all(|one| one["enabled"] == false && one["category"] != "security"));
    assert_page(&visit(&world, &path, "en").await, 200, &["value=\"email:social\">"]);
    let page = submit(&world, &path, "on=email%3Asocial&on=sms%3Asocial&on=email%3Asecurity&do=subscribe").await;
    assert_page(&page, 200, &["value=\"email:social\" checked", "value=\"email:marketing\">"]);
}

#[tokio::test]
async fn one_click_leaves_and_its_answer_offers_the_way_back() {
    let world = world();
    let token = of_user("alice");
    let (link, path) = (format!("/u/{token}"), format!("/preferences/{token}"));
    let page = visit(&world, &link, "en").await;
    assert_page(&page, 200, &["<form method=\"post\">", "Offers and news", &format!("..{path}")]);
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
    let page = submit(&world, &link, "List-Unsubscribe=One-Click").await;
    assert_page(&page, 200, &[&format!("action=\"..{path}\""), "value=\"email:marketing\"", "Undo"]);
    assert_eq!(preferences(&world, "alice").await[0]["enabled"], false);
    let page = submit(&world, &path, "on=email%3Amarketing&do=subscribe").await;
    assert_page(&page, 200, &["E-mail: on<"]);
    assert_eq!(preferences(&world, "alice").await[0]["enabled"], true);
    let mandatory = format!("/u/{}", self::token(Whom::User("alice".into()), "security"));
    let page = visit(&world, &mandatory, "en").await;
    assert_page(&page, 200, &["Security", "is always sent"]);
    assert!(!page.text.contains("<form"));
}

#[tokio::test]
async fn links_that_are_forged_cut_or_expired_open_nothing() {
    let world = world();
    let good = of_user("alice");
    let strange = links(&SECRET.replace('0', "x")).unsubscribe(&said(Whom::User("alice".into()), "marketing"));
    let strange = strange.expect("short enough").replace("/u/", "/preferences/");
    for path in [
        strange,
        format!("/preferences/{}", &good[..good.len() - 3]),
        format!("/preferences/{good}A"),
        "/preferences/x".to_owned(),
        format!("/preferences/{}", "A".repeat(5_000)),
        "/preferences/%ff".to_owned(),
    ] {
        assert_page(&visit(&world, &path, "en").await, 404, &["not valid"]);
        assert_page(&submit(&world, &path, "do=leave_all").await, 404, &["not valid"]);
    }
    let made = ok(world.post("/v1/users/alice/preferences-link", r#"{"ttl_seconds": 60}"#).await);
    assert_eq!(made["expires_at"], "2026-11-21T12:01:00.000Z");
    let path = made["url"].as_str().expect("a text").to_owned();
    assert_page(&visit(&world, &path, "en").await, 200, &["alice"]);
    assert_page(&visit(&world, &path.replace("/preferences/", "/u/"), "en").await, 404, &["not valid"]);
    world.clock.set(now() + Duration::from_secs(61));
    assert_page(&visit(&world, &path, "de").await, 410, &["abgelaufen"]);
    assert_page(&submit(&world, &path, "do=leave_all").await, 410, &["has expired"]);
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
}

#[tokio::test]
async fn a_link_is_made_with_the_right_key_and_a_sensible_end() {
    let world = world();
    let path = "/v1/users/alice/preferences-link";
    assert_eq!(ok(world.post(path, Body::empty()).await)["expires_at"], "2026-12-21T12:00:00.000Z");
    world.send("POST", path, "reader", Body::empty()).await.assert_problem(403);
    for ttl in ["59", "31622401", "-1", "\"1h\"", "1.5"] {
        let answer = world.post(path, format!("{{\"ttl_seconds\": {ttl}}}")).await;
        answer.assert_field("/ttl_seconds", "from 60 to");
    }
    world.post(path, "{\"ttl\": 60}").await.assert_field("/ttl", "did you mean `ttl_seconds`?");
    World::new().post(path, Body::empty()).await.assert_problem(409);
    let other = world.send("POST", path, "other", Body::empty()).await;
    submit(&world, ok(other)["url"].as_str().expect("a text"), "do=leave_all").await;
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
}

#[tokio::test]
async fn names_that_are_html_are_shown_as_text() {
    let world = world();
    let escaped = "&lt;b onclick=x&gt;&#39;&quot;&amp;&lt;/b&gt;";
    let token = token(Whom::User(HTML.into()), HTML);
    for answer in [
        visit(&world, &format!("/u/{token}"), "en").await,
        visit(&world, &format!("/preferences/{token}"), "en").await,
        submit(&world, &format!("/u/{token}"), "").await,
        submit(&world, &format!("/preferences/{token}"), "do=leave_all").await,
    ] {
        assert_page(&answer, 200, &[escaped]);
    }
    let address = self::token(Whom::Email(format!("{HTML}@example.com").into()), "marketing");
    assert_page(&visit(&world, &format!("/preferences/{address}"), "en").await, 200, &["at this address"]);
}

#[tokio::test]
async fn pages_speak_the_users_language_else_the_browsers() {
    let world = world();
    let path = format!("/preferences/{}", of_user("alice"));
    for words in LANGUAGES {
        let page = visit(&world, &path, &format!("fr, {};q=0.9, en;q=0.1", words.language)).await;
        let html = format!("<html lang=\"{}\" dir=\"{}\">", words.language, words.direction);
        assert_page(&page, 200, &[&html, words.save, words.leave_all, words.always]);
        assert_eq!(page.header("content-language"), words.language);
    }
    ok(put(&world, "/v1/users/alice", &json!({"locale": "ar-EG"})).await);
    assert_page(&visit(&world, &path, "de").await, 200, &["dir=\"rtl\"", "العروض والأخبار"]);
    let page = submit(&world, &path.replace("/preferences/", "/u/"), "List-Unsubscribe=One-Click").await;
    assert_page(&page, 200, &["تم إلغاء الاشتراك"]);
}

#[tokio::test]
async fn who_was_erased_is_told_so_and_nothing_is_written() {
    let world = world();
    ok(put(&world, "/v1/users/alice", &json!({"locale": "de"})).await);
    let made = ok(world.post("/v1/users/alice/preferences-link", Body::empty()).await);
    let made = made["url"].as_str().expect("a text");
    world.clock.set(now() + Duration::from_secs(1));
    world.send("DELETE", "/v1/users/alice", "all", Body::empty()).await;
    let token = of_user("alice");
    for path in [made, &format!("/preferences/{token}"), &format!("/u/{token}")] {
        assert_page(&visit(&world, path, "en").await, 410, &["Nothing is kept about you"]);
    }
    for path in [made, &format!("/preferences/{token}")] {
        assert_page(&submit(&world, path, "do=leave_all").await, 410, &["was erased"]);
    }
    assert_page(&submit(&world, &format!("/u/{token}"), "List-Unsubscribe=One-Click").await, 200, &["Unsubscribed"]);
    world.get("/v1/users/alice").await.assert_problem(404);
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
    // Who came back since then with the same id has links of their own.
    world.clock.set(now() + Duration::from_secs(2));
    ok(put(&world, "/v1/users/alice", &json!({"locale": "de"})).await);
    assert_page(&visit(&world, made, "en").await, 410, &["erased"]);
    let again = ok(world.post("/v1/users/alice/preferences-link", Body::empty()).await);
    assert_page(&visit(&world, again["url"].as_str().expect("a text"), "en").await, 200, &["Was Sie erhalten"]);
}

#[tokio::test]
async fn who_has_no_id_leaves_with_the_address_and_comes_back_unless_it_was_suppressed_for_another_reason() {
    let world = world();
    let path = format!("/preferences/{}", token(Whom::Email("a@example.com".into()), "marketing"));
    let held = "/v1/suppressions/email/a@example.com";
    let page = visit(&world, &path, "en").await;
    assert_page(&page, 200, &["value=\"leave\""]);
    assert!(!page.text.contains("checkbox"), "preferences are users'");
    assert_page(&submit(&world, &path, "do=leave").await, 200, &["no more messages at this address", "Undo"]);
    assert_eq!(ok(world.get(held).await)["reason"], "opt_out");
    assert_page(&visit(&world, &path, "en").await, 200, &["Undo"]);
    assert_page(&submit(&world, &path, "do=subscribe").await, 200, &["at this address again"]);
    world.get(held).await.assert_problem(404);
    ok(put(&world, held, &json!({"reason": "complaint"})).await);
    assert!(!visit(&world, &path, "en").await.text.contains("Undo"));
    assert_page(&submit(&world, &path, "do=subscribe").await, 200, &[]);
    assert_eq!(ok(world.get(held).await)["reason"], "complaint");
}

#[tokio::test]
async fn a_form_that_is_not_ours_changes_nothing() {
    let world = world();
    let path = format!("/preferences/{}", of_user("alice"));
    for form in ["do=erase", "on=fax%3Asocial", "{\"do\": \"leave_all\"}", "shown=email"] {
        assert_page(&submit(&world, &path, form).await, 400, &["Nothing was changed"]);
    }
    let large = format!("shown=email%3A{}", "x".repeat(70_000));
    submit(&world, &path, &large).await.assert_problem(413);
    assert_page(&submit(&world, &path, "shown=email%3Asecurity&shown=email%3Anothing&do=save").await, 200, &[]);
    world.get("/v1/users/alice/preferences").await.assert_problem(404);
}

#[tokio::test]
async fn the_files_of_the_inbox_ask_no_other_host_and_only_the_component_is_for_pages_of_others() {
    let world = World::new();
    let is_theirs = |path: &str| path.starts_with("/inbox") || path.starts_with("/pages/");
    for (path, file) in pages::all().into_iter().filter(|(path, _)| is_theirs(path)) {
        let answer = visit(&world, &path, "en").await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, file.text), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let is_component = file.name == "fanfare-inbox.js";
        let expected = if is_component { ("*", "cross-origin") } else { ("", "same-origin") };
        let found = (answer.header("access-control-allow-origin"), answer.header("cross-origin-resource-policy"));
        assert_eq!(found, expected, "{path}");
        let known = Request::builder().uri(&path).header("if-none-match", answer.header("etag"));
        let again = world.call(known.body(Body::empty()).expect("a request")).await;
        assert_eq!((again.status.as_u16(), &*again.text), (304, ""), "{path}");
        for line in answer.text.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])) {
            let other = line.split("http").skip(1).any(|rest| rest.starts_with("://") || rest.starts_with("s://"));
            assert!(!other || line.contains("www.w3.org/2000/svg"), "{path} names another host: {line}");
        }
        for inline in ["style=\"", "onclick", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function"] {
            assert!(!file.text.contains(inline), "{path} has `{inline}`");
        }
        if path == "/inbox-demo" {
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(!file.text.contains("<style") && !file.text.contains("<script>"));
        }
    }
    for path in ["/inbox/nothing.js", "/pages/..%2finbox", "/inbox/"] {
        visit(&world, path, "en").await.assert_problem(404);
    }
}

#[tokio::test]
async fn pages_of_origins_that_are_allowed_may_listen_to_the_stream() {
    let world = world();
    let made = ok(world.post("/v1/users/alice/ws-token", "{}").await);
    let path = format!("/v1/sse?token={}", made["token"].as_str().expect("a text"));
    let request = Request::builder().uri(path).header("origin", "http://localhost").header("host", "localhost");
    let response = world.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    let response = response.expect("never fails");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost");
}

/// Marketing requires consent to the newsletter.
fn consenting() -> World {
    let change = |parts: &mut crate::api::ApiParts| {
        parts.links = Some(Arc::new(links(SECRET)));
        parts.providers = vec![Arc::new(Ways)];
        let of_marketing = |category: Category| {
            let requires_consent = (&*category.name == "marketing").then(|| "newsletter".into());
            Category { requires_consent, ..category }
        };
        let default = parts.categories.of(None).name.clone();
        let all = parts.categories.all().iter().cloned().map(of_marketing).collect();
        parts.categories = Arc::new(Categories::new(all, &default).expect("the default is there"));
        parts.receipts = Arc::new(ReceiptDesk::new(ReceiptDeskParts {
            store: parts.store.clone(),
            log: parts.log.clone(),
            clock: parts.clock.clone(),
            users: parts.users.clone(),
            categories: parts.categories.clone(),
        }));
    };
    World::of(FakeLog::open(), |_| {}, change)
}

#[tokio::test]
async fn who_unsubscribes_from_what_requires_consent_withdraws_it_and_the_page_gives_it_back() {
    let world = consenting();
    let path = "/v1/users/alice/consents/newsletter";
    let granted = json!({"granted": true, "text_version": "2026-01", "source": "sign-up"});
    ok(put(&world, path, &granted).await);
    world.clock.set(now() + Duration::from_secs(1));
    let token = of_user("alice");
    submit(&world, &format!("/u/{token}"), "List-Unsubscribe=One-Click").await;
    let shown = ok(world.get(path).await);
    assert_eq!((&shown["granted"], &shown["source"]), (&json!(false), &json!("unsubscribe link")));
    world.clock.set(now() + Duration::from_secs(2));
    let choices = format!("/preferences/{token}");
    submit(&world, &choices, "on=email:marketing&do=subscribe").await;
    let shown = ok(world.get(path).await);
    assert_eq!((&shown["granted"], &shown["source"]), (&json!(true), &json!("preferences page")));
    // One channel of two: the consent stays. The last one: it goes.
    submit(&world, &choices, "shown=email:marketing&shown=sms:marketing&on=sms:marketing&do=save").await;
    assert_eq!(ok(world.get(path).await)["granted"], true);
    world.clock.set(now() + Duration::from_secs(3));
    submit(&world, &choices, "do=leave_all").await;
    assert_eq!(ok(world.get(path).await)["granted"], false);
    assert_eq!(ok(world.get(path).await)["history"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn what_requires_a_consent_that_was_not_given_is_shown_as_off() {
    let world = consenting();
    put(&world, "/v1/users/alice", &json!({})).await;
    let choices = format!("/preferences/{}", of_user("alice"));
    let page = visit(&world, &choices, "en").await;
    assert!(!page.text.contains("value=\"email:marketing\" checked"), "{}", page.text);
    // Saved as it is: nothing is given by that.
    submit(&world, &choices, "shown=email:marketing&shown=sms:marketing&do=save").await;
    world.get("/v1/users/alice/consents/newsletter").await.assert_problem(404);
    // Ticked for one way: the other stays off.
    submit(&world, &choices, "shown=email:marketing&shown=sms:marketing&on=email:marketing&do=save").await;
    assert_eq!(ok(world.get("/v1/users/alice/consents/newsletter").await)["granted"], true);
    let said = preferences(&world, "alice").await.to_string();
    assert!(said.contains(r#""channel":"sms","enabled":false"#), "{said}");
}
