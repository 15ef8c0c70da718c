//! What happens to whom: requests as a program sends them, to users as an operator made them known, while time goes by. The
//! cases that descriptions of the product begin with are here, each told from the API to the provider.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use fanfare::domain::{Channel, Timestamp};
use serde_json::{Value, json};

use crate::world::{Place, TestProvider, World, on_both};

on_both! {
    a_password_is_reset_at_three_in_the_morning
    a_marketing_mail_at_eleven_in_the_evening_in_tokyo_comes_in_the_morning
    a_sign_up_that_is_clicked_three_times_is_one_mail
    a_category_that_was_switched_off_is_not_sent_and_one_that_cannot_be_is
    why_and_when_is_said_before_anything_is_sent
    a_storm_of_likes_is_one_message
    the_second_reminder_within_a_day_is_skipped
    a_user_who_is_erased_gets_nothing_that_was_still_to_come
}

const HOUR: Duration = Duration::from_secs(3600);

/// One provider for mails, texts and pushes each.
struct Shop {
    world: World,
    mails: Arc<TestProvider>,
    texts: Arc<TestProvider>,
    pushes: Arc<TestProvider>,
}

impl Shop {
    async fn open(place: Place) -> Self {
        let mails = TestProvider::new("mails", &[Channel::Email]);
        let texts = TestProvider::new("texts", &[Channel::Sms]);
        let pushes = TestProvider::new("pushes", &[Channel::Push]);
        let world = World::start(place, vec![mails.clone(), texts.clone(), pushes.clone()]).await;
        Self { world, mails, texts, pushes }
    }

    /// The test's own user of that name.
    fn user(&self, name: &str) -> String {
        format!("/v1/users/{}", self.world.place.own(name))
    }

    async fn knows(&self, name: &str, contact: Value) {
        self.world.ask(Method::PUT, &self.user(name), Some(&contact)).await;
    }

    /// The id of what is asked for, for a user of the test.
    async fn send(&self, name: &str, mut request: Value) -> String {
        request["user_id"] = self.world.place.own(name).into();
        if request.get("content").is_none() {
            request["content"] = json!({"title": "Hello", "body": "{{text}}"});
        }
        let answer = self.world.ask(Method::POST, "/v1/notifications", Some(&request)).await;
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// The notification as the API tells it once its status is this one.
    async fn when(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let path = format!("/v1/notifications/{id}");
        let reached = self.world.in_time(async || {
            last = self.world.ask(Method::GET, &path, None).await;
            (last["status"] == status).then_some(())
        });
        assert!(reached.await.is_some(), "{id} does not get {status}: {last}");
        last
    }

    fn received(&self) -> [usize; 3] {
        [&self.mails, &self.texts, &self.pushes].map(|provider| provider.taken().len())
    }
}

/// What each step said of the notification, in order: `quiet_hours hold`, `consent(email) skip no_consent`.
fn decisions(told: &Value) -> Vec<String> {
    let all = told["decisions"].as_array().expect("decisions");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let text = |one: &Value| {
        let channel = one["channel"].as_str().map_or(String::new(), |channel| format!("({channel})"));
        format!("{}{channel} {} {}", word(&one["step"]), word(&one["outcome"]), word(&one["reason"])).trim().to_owned()
    };
    all.iter().map(text).collect()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

async fn a_password_is_reset_at_three_in_the_morning(place: Place) {
    let shop = Shop::open(place).await;
    // It is noon in UTC.
    shop.knows("ana", json!({"email": "ana@example.com", "phone": "+4930123456", "timezone": "Pacific/Gambier"})).await;
    let reset = json!({"category": "security", "priority": "critical", "data": {"text": "code 4711"}});
    let id = shop.send("ana", reset).await;
    let told = shop.when(&id, "sent").await;
    assert_eq!(shop.received(), [0, 1, 0], "by text, and at once: {told}");
    let mail = json!({"category": "security", "channels": ["email"], "data": {"text": "you asked for it"}});
    shop.when(&shop.send("ana", mail).await, "sent").await;
    assert_eq!(shop.received(), [1, 1, 0]);
    shop.world.balances().await;
}

async fn a_marketing_mail_at_eleven_in_the_evening_in_tokyo_comes_in_the_morning(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("yuki", json!({"email": "yuki@example.com", "timezone": "Asia/Tokyo"})).await;
    shop.world.advance(2 * HOUR).await;
    let id = shop.send("yuki", json!({"category": "marketing", "data": {"text": "sale"}})).await;
    let told = shop.when(&id, "scheduled").await;
    let held = told["decisions"].as_array().expect("decisions").iter().find(|one| one["step"] == "quiet_hours");
    let until = held.and_then(|one| one["until"].as_str()).expect("held until");
    assert_eq!(at(until), at("2026-11-21T23:00:00Z"), "eight in the morning there");
    shop.world.advance(9 * HOUR - Duration::from_secs(1)).await;
    assert_eq!(shop.received(), [0, 0, 0]);
    shop.world.advance(Duration::from_secs(1)).await;
    shop.when(&id, "sent").await;
    assert_eq!(shop.received(), [1, 0, 0]);
    shop.world.balances().await;
}

async fn a_sign_up_that_is_clicked_three_times_is_one_mail(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("bob", json!({"email": "bob@example.com"})).await;
    let welcome = json!({"category": "transactional", "channels": ["email"], "data": {"text": "welcome"}});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(shop.send("bob", welcome.clone()).await);
    }
    shop.when(&ids[0], "sent").await;
    for id in &ids[1..] {
        let told = shop.when(id, "skipped").await;
        assert!(decisions(&told).contains(&"dedup skip duplicate".to_owned()), "{told}");
    }
    assert_eq!(shop.received(), [1, 0, 0]);
    // It may be meant again later.
    shop.world.advance(Duration::from_secs(301)).await;
    shop.when(&shop.send("bob", welcome).await, "sent").await;
    assert_eq!(shop.received(), [2, 0, 0]);
    shop.world.balances().await;
}

async fn a_category_that_was_switched_off_is_not_sent_and_one_that_cannot_be_is(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("eve", json!({"email": "eve@example.com"})).await;
    let preferences = format!("{}/preferences", shop.user("eve"));
    let off = |category: &str| json!({"preferences": [{"category": category, "channel": "email", "enabled": false}]});
    shop.world.ask(Method::PUT, &preferences, Some(&off("social"))).await;
    let (status, problem) = shop.world.call(Method::PUT, &preferences, Some(&off("security"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let told =
        shop.when(&shop.send("eve", json!({"category": "social", "data": {"text": "a"}})).await, "skipped").await;
    assert!(decisions(&told).contains(&"consent(email) skip no_consent".to_owned()), "{told}");
    shop.when(&shop.send("eve", json!({"category": "security", "data": {"text": "b"}})).await, "sent").await;
    let on = json!({"preferences": [{"category": "social", "channel": "email", "enabled": true}]});
    shop.world.ask(Method::PUT, &preferences, Some(&on)).await;
    shop.when(&shop.send("eve", json!({"category": "social", "data": {"text": "c"}})).await, "sent").await;
    assert_eq!(shop.received(), [2, 0, 0]);
    shop.world.balances().await;
}

async fn why_and_when_is_said_before_anything_is_sent(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("kim", json!({"email": "kim@example.com", "timezone": "Asia/Tokyo"})).await;
    shop.world.advance(2 * HOUR).await;
    let user_id = shop.world.place.own("kim");
    let request = json!({"user_id": user_id, "category": "marketing", "content": {"title": "Hi", "body": "{{text}}"},
                         "data": {"text": "sale"}});
    let tried = shop.world.ask(Method::POST, "/v1/notifications?dry_run=true", Some(&request)).await;
    assert!(decisions(&tried).iter().any(|one| one.starts_with("quiet_hours hold")), "{tried}");
    assert_eq!(tried["tasks"][0]["message"]["body"], "sale", "{tried}");
    shop.world.advance(24 * HOUR).await;
    assert_eq!(shop.received(), [0, 0, 0]);
    let unknown = json!({"user_id": user_id, "category": "marketting", "content": {"title": "Hi", "body": "x"}});
    let (status, problem) = shop.world.call(Method::POST, "/v1/notifications", Some(&unknown)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem.to_string().contains("did you mean `marketing`"), "{problem}");
}

async fn a_storm_of_likes_is_one_message(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("ann", json!({"email": "ann@example.com"})).await;
    let like = |number: usize| {
        json!({"category": "social", "aggregate": {"key": "like:42", "actor": format!("Fan {number}")},
               "content": {"title": "Likes", "body": "{{actors.[0]}} and {{others}} others liked your post"},
               "data": {}})
    };
    let leader = shop.send("ann", like(0)).await;
    for number in 1..100 {
        shop.send("ann", like(number)).await;
    }
    let told = shop.when(&shop.send("ann", like(100)).await, "merged").await;
    assert_eq!(told["merged_into"], leader, "{told}");
    assert_eq!(shop.received(), [0, 0, 0]);
    shop.world.advance(Duration::from_secs(300)).await;
    shop.when(&leader, "sent").await;
    let mails = shop.mails.taken();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].parts.body, "Fan 0 and 100 others liked your post");
    shop.world.balances().await;
}

async fn the_second_reminder_within_a_day_is_skipped(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("joe", json!({"email": "joe@example.com"})).await;
    let reminder = |text: &str| json!({"category": "reminder", "data": {"text": text}});
    shop.when(&shop.send("joe", reminder("three days")).await, "sent").await;
    shop.world.advance(23 * HOUR).await;
    let told = shop.when(&shop.send("joe", reminder("two days")).await, "skipped").await;
    assert!(decisions(&told).contains(&"fatigue skip fatigue".to_owned()), "{told}");
    shop.world.advance(HOUR).await;
    shop.when(&shop.send("joe", reminder("one day")).await, "sent").await;
    assert_eq!(shop.received(), [2, 0, 0]);
    shop.world.balances().await;
}

async fn a_user_who_is_erased_gets_nothing_that_was_still_to_come(place: Place) {
    let shop = Shop::open(place).await;
    shop.knows("max", json!({"email": "max@example.com"})).await;
    let id = shop.send("max", json!({"category": "social", "delay_seconds": 3600, "data": {"text": "later"}})).await;
    shop.when(&id, "scheduled").await;
    shop.world.ask(Method::DELETE, &shop.user("max"), None).await;
    shop.when(&id, "cancelled").await;
    shop.world.advance(HOUR).await;
    assert_eq!(shop.received(), [0, 0, 0]);
    shop.world.balances().await;
}
