//! Event types and rules, through the API.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::world::{World, request, with_retry_key};

fn when(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().expect("a header"));
    request
}

fn recharged() -> Value {
    json!({"description": "Money came in", "schema": {"type": "object", "properties": {"amount": {"type": "number"}}},
        "example": {"amount": 10}})
}

fn receipt() -> Value {
    json!({"event": "wallet.recharged", "send": {"template": "welcome", "category": "transactional"}})
}

fn with_name(name: &str, mut body: Value) -> Value {
    body["name"] = json!(name);
    body
}

async fn put(world: &World, path: &str, body: &Value) -> super::world::Answer {
    world.send("PUT", path, "all", body.to_string()).await
}

#[tokio::test]
async fn an_event_type_and_a_rule_are_created_shown_changed_and_deleted() {
    let world = World::new();
    for (path, name, body) in
        [("/v1/event-types", "wallet.recharged", recharged()), ("/v1/rules", "recharge-receipt", receipt())]
    {
        let created = world.post(path, with_name(name, body.clone()).to_string()).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let place = format!("{path}/{name}");
        assert_eq!((created.header("location"), created.header("etag")), (&*place, "\"1\""));
        world.post(path, with_name(name, body.clone()).to_string()).await.assert_problem(409);

        let shown = world.get(&place).await;
        assert_eq!((shown.status.as_u16(), shown.header("etag")), (200, "\"1\""));
        let shown = shown.json();
        assert_eq!(shown["definition"], body);
        assert_eq!(
            (&shown["name"], &shown["version"], &shown["origin"], &shown["active"], &shown["problems"]),
            (&json!(name), &json!(1), &json!("saved"), &json!(true), &json!([]))
        );
        assert!(shown["changed_at"].as_str().expect("a time").starts_with("2026-11-21T12:00:00"));

        let mut other = body.clone();
        other["description"] = json!("another one");
        let changed = put(&world, &place, &with_name(name, other.clone())).await;
        assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""), "{}", changed.text);
        assert_eq!(world.get(&place).await.json()["definition"], other);
        put(&world, &place, &with_name("other", other)).await.assert_field("/name", "another than in the address");
    }
    for place in ["/v1/rules/recharge-receipt", "/v1/event-types/wallet.recharged"] {
        let deleted = world.send("DELETE", place, "all", Body::empty()).await;
        assert_eq!((deleted.status.as_u16(), deleted.json()["status"].clone()), (200, json!("deleted")));
        world.get(place).await.assert_problem(404);
        world.send("DELETE", place, "all", Body::empty()).await.assert_problem(404);
    }
    let again = world.post("/v1/event-types", with_name("wallet.recharged", recharged()).to_string()).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (201, "\"4\""), "no number is given twice");
}

#[tokio::test]
async fn a_change_of_another_state_than_was_read_is_412() {
    let world = World::new();
    let place = "/v1/event-types/wallet.recharged";
    let edit = |name, value, text: &str| {
        let mut body = recharged();
        body["description"] = json!(text);
        when(request("PUT", place, "all", body.to_string()), name, value)
    };
    world.call(edit("if-match", "*", "none is there")).await.assert_problem(412);
    assert_eq!(world.call(edit("if-none-match", "*", "one")).await.status, 201);
    world.call(edit("if-none-match", "*", "two")).await.assert_problem(412);
    assert_eq!(world.call(edit("if-match", "\"1\"", "two")).await.status, 200);
    let problem = world.call(edit("if-match", "\"1\"", "another two")).await.assert_problem(412);
    assert!(problem["detail"].as_str().expect("words").contains("\"2\""), "{problem}");
    let delete = |tag| when(request("DELETE", place, "all", ""), "if-match", tag);
    world.call(delete("\"1\"")).await.assert_problem(412);
    assert_eq!(world.call(delete("\"2\"")).await.status, 200);
}

#[tokio::test]
async fn lists_say_where_each_comes_from_and_whether_it_is_in_force() {
    let world = World::new();
    put(&world, "/v1/event-types/wallet.recharged", &recharged()).await;
    let mut off = receipt();
    off["active"] = json!(false);
    assert_eq!(put(&world, "/v1/rules/recharge-receipt", &off).await.status, 201);
    let list = async |path: &str| {
        let page = world.get(path).await.json();
        let names = page["data"].as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a text"));
        (names.collect::<Vec<_>>().join(" "), page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("/v1/event-types").await, ("user.registered wallet.recharged".into(), None));
    assert_eq!(list("/v1/event-types?origin=shipped").await.0, "user.registered");
    assert_eq!(list("/v1/rules?active=false").await.0, "recharge-receipt");
    assert_eq!(list("/v1/rules?active=true").await.0, "welcome");
    let (first, cursor) = list("/v1/rules?limit=1").await;
    assert_eq!(first, "recharge-receipt");
    assert_eq!(list(&format!("/v1/rules?limit=1&cursor={}", cursor.expect("more"))).await, ("welcome".into(), None));
    let rule = world.get("/v1/rules?origin=shipped").await.json()["data"][0].clone();
    let told = (&rule["origin"], &rule["version"], &rule["event"], &rule["etag"], &rule["changed_at"]);
    assert_eq!(told, (&json!("shipped"), &json!(0), &json!("user.registered"), &json!("\"0\""), &Value::Null));
    world.get("/v1/rules?origin=elsewhere").await.assert_problem(400);
    world.get("/v1/rules?orgin=saved").await.assert_problem(400);
}

#[tokio::test]
async fn what_ships_is_covered_by_saving_and_gone_when_deleted() {
    let world = World::new();
    let mut body = world.get("/v1/rules/welcome").await.json()["definition"].clone();
    body["description"] = json!("ours");
    let created = world.post("/v1/rules", with_name("welcome", body).to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let shown = world.get("/v1/rules/welcome").await.json();
    assert_eq!((&shown["origin"], &shown["definition"]["description"]), (&json!("saved"), &json!("ours")));
    assert_eq!(world.send("DELETE", "/v1/rules/welcome", "all", Body::empty()).await.status, 200);
    world.get("/v1/rules/welcome").await.assert_problem(404);
    let others = world.send("GET", "/v1/rules/welcome", "other", Body::empty()).await.json();
    assert_eq!(others["origin"], "shipped", "another tenant has its own");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_place() {
    let world = World::new();
    put(&world, "/v1/event-types/wallet.recharged", &recharged()).await;
    let refused = async |change: fn(&mut Value), pointer: &str, detail: &str| {
        let mut rule = with_name("r", receipt());
        change(&mut rule);
        world.post("/v1/rules", rule.to_string()).await.assert_field(pointer, detail);
    };
    refused(|rule| rule["name"] = json!("test"), "/name", "another call").await;
    refused(|rule| rule["name"] = json!("A rule"), "/name", "a-z").await;
    refused(|rule| rule["name"] = json!(7), "/name", "must be a text").await;
    refused(|rule| rule["name"] = Value::Null, "/name", "must be a text").await;
    refused(|rule| rule["event"] = json!("wallet.rechargd"), "/event", "wallet.recharged").await;
    refused(|rule| rule["send"]["template"] = json!("missing"), "/send/template", "missing").await;
    refused(|rule| rule["when"] = json!({"field": "amount", "above": "ten"}), "/when/above", "number").await;
    refused(|rule| rule["wen"] = json!({}), "/wen", "did you mean `when`?").await;
    world.post("/v1/rules", receipt().to_string()).await.assert_field("/name", "is required");
    let engine = with_name("fanfare.task.sent", recharged());
    let answer = world.post("/v1/event-types", engine.to_string()).await;
    assert_eq!(answer.status, 400, "would feed on itself: {}", answer.text);
}

#[tokio::test]
async fn an_event_type_that_rules_need_cannot_be_deleted() {
    let world = World::new();
    put(&world, "/v1/event-types/wallet.recharged", &recharged()).await;
    put(&world, "/v1/rules/recharge-receipt", &receipt()).await;
    let refused = world.send("DELETE", "/v1/event-types/wallet.recharged", "all", Body::empty()).await;
    assert!(refused.assert_problem(409)["detail"].as_str().expect("words").contains("recharge-receipt"));
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_told_the_same() {
    let world = World::new();
    let post = |body: Value| with_retry_key(request("POST", "/v1/event-types", "all", body.to_string()), "k1");
    for _ in 0..2 {
        let created = world.call(post(with_name("wallet.recharged", recharged()))).await;
        assert_eq!((created.status.as_u16(), created.header("etag")), (201, "\"1\""));
        assert_eq!(created.header("location"), "/v1/event-types/wallet.recharged");
    }
    world.call(post(with_name("wallet.consumed", recharged()))).await.assert_problem(409);
}

#[tokio::test]
async fn who_may_read_may_not_change() {
    let world = World::new();
    for path in ["/v1/event-types", "/v1/rules"] {
        world.send("POST", path, "reader", "{}").await.assert_problem(403);
        for method in ["PUT", "DELETE"] {
            world.send(method, &format!("{path}/welcome"), "reader", "{}").await.assert_problem(403);
        }
        assert_eq!(world.send("GET", path, "reader", Body::empty()).await.status, 200);
        world.send("GET", path, "sender", Body::empty()).await.assert_problem(403);
    }
}

#[tokio::test]
async fn a_rule_is_tried_with_an_event_and_nothing_is_sent() {
    let world = World::new();
    put(&world, "/v1/event-types/wallet.recharged", &recharged()).await;
    let mut rule = receipt();
    rule["when"] = json!({"field": "amount", "above": 100});
    rule["active"] = json!(false);
    put(&world, "/v1/rules/recharge-receipt", &rule).await;
    let event = |amount: Value| json!({"type": "wallet.recharged", "user_id": "alice", "data": {"amount": amount}});
    let tried = async |body: Value| world.post("/v1/rules/recharge-receipt/test", body.to_string()).await;

    let made = tried(json!({"event": event(json!(250))})).await.json();
    assert_eq!((&made["outcome"], &made["errors"]), (&json!("made"), &json!([])), "also while it is off: {made}");
    let request = &made["requests"][0];
    assert_eq!((&request["user_id"], &request["template"]), (&json!("alice"), &json!("welcome")));
    assert_eq!((&request["data"]["amount"], &request["category"]), (&json!(250), &json!("transactional")));
    assert_eq!(tried(json!({"event": event(json!(100))})).await.json()["outcome"], "condition_fails");
    let refused = tried(json!({"event": event(json!("much"))})).await.json();
    assert_eq!(
        (&refused["outcome"], &refused["errors"][0]["pointer"]),
        (&json!("refused"), &json!("/event/data/amount"))
    );
    let other = json!({"type": "user.registered", "data": {}});
    tried(json!({"event": other})).await.assert_field("/event/type", "wallet.recharged");
    tried(json!({})).await.assert_field("/event", "is required");
    tried(json!({"event": {"typ": "a"}})).await.assert_field("/event/typ", "did you mean `type`?");
    world.post("/v1/rules/none/test", json!({"event": event(json!(1))}).to_string()).await.assert_problem(404);

    let unsaved = async |rule: &Value| {
        world.post("/v1/rules/test", json!({"rule": rule, "event": event(json!(250))}).to_string()).await
    };
    assert_eq!(unsaved(&rule).await.json()["outcome"], "made");
    rule["send"]["template"] = json!("missing");
    unsaved(&rule).await.assert_field("/rule/send/template", "missing");
    assert!(world.door.taken.lock().expect("not poisoned").is_empty());
}
