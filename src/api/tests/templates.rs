//! Templates as data, through the API.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::world::{Answer, World, request};

fn body(code: &str, text: &str) -> Value {
    json!({"template": {"code": code, "locales": {"en": {"title": "Hi", "body": text}}}})
}

async fn put(world: &World, code: &str, text: &str) -> Answer {
    world.send("PUT", &format!("/v1/templates/{code}"), "all", body(code, text).to_string()).await
}

fn when(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().expect("a header"));
    request
}

#[tokio::test]
async fn a_template_is_created_read_changed_and_deleted() {
    let world = World::new();
    let created = world.post("/v1/templates", body("order", "Hello").to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!((created.header("location"), created.header("etag")), ("/v1/templates/order", "\"1\""));
    world.post("/v1/templates", body("order", "Hello").to_string()).await.assert_problem(409);

    let shown = world.get("/v1/templates/order").await;
    assert_eq!(shown.header("etag"), "\"1\"");
    let shown = shown.json();
    assert_eq!(shown["template"]["locales"]["en"]["body"], "Hello");
    assert_eq!(shown["origin"], "saved");
    assert_eq!((&shown["version"], &shown["shown_version"], &shown["active"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(
        (&shown["updated_by"], &shown["problem"], &shown["used_by"]),
        (&json!("key 1"), &Value::Null, &json!([]))
    );
    assert!(shown["updated_at"].as_str().expect("a time").starts_with("2026-11-21T12:00:00"));

    let changed = put(&world, "order", "Bye").await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json()["version"], 2);
    assert_eq!(world.get("/v1/templates/order?version=1").await.json()["template"]["locales"]["en"]["body"], "Hello");
    assert_eq!(world.get("/v1/templates/order/versions/2").await.json()["template"]["locales"]["en"]["body"], "Bye");
    world.get("/v1/templates/order?version=3").await.assert_problem(404);

    let deleted = world.send("DELETE", "/v1/templates/order", "all", Body::empty()).await;
    assert_eq!(deleted.json(), json!({"code": "order", "status": "deleted", "uncovered": null}));
    world.get("/v1/templates/order").await.assert_problem(404);
    assert_eq!(put(&world, "order", "Again").await.json()["version"], 3, "no number is given twice");
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_and_changes_nothing() {
    let world = World::new();
    put(&world, "order", "Hello").await;
    let template = world.get("/v1/templates/order").await.json()["template"].clone();
    let again = json!({"template": template, "comment": "nothing new"}).to_string();
    let again = world.send("PUT", "/v1/templates/order", "all", again).await;
    assert_eq!((again.json()["changed"].clone(), again.header("etag")), (json!(false), "\"1\""));
    assert_eq!(world.get("/v1/templates/order/versions").await.json()["data"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn an_edit_of_another_state_than_was_read_is_412() {
    let world = World::new();
    put(&world, "order", "one").await;
    let edit = |name, value, text: &str| {
        when(request("PUT", "/v1/templates/order", "all", body("order", text).to_string()), name, value)
    };
    assert_eq!(world.call(edit("if-match", "\"1\"", "two")).await.status, 200);
    let lost = world.call(edit("if-match", "\"1\"", "another two")).await;
    let problem = lost.assert_problem(412);
    assert!(problem["detail"].as_str().expect("a text").contains("\"2\""), "{problem}");
    world.call(edit("if-none-match", "*", "new")).await.assert_problem(412);
    world.call(edit("if-match", "W/\"2\"", "weak")).await.assert_problem(412);
    assert_eq!(world.call(edit("if-match", "*", "three")).await.status, 200);
    let delete = |tag| when(request("DELETE", "/v1/templates/order", "all", ""), "if-match", tag);
    world.call(delete("\"2\"")).await.assert_problem(412);
    assert_eq!(world.call(delete("\"3\"")).await.status, 200);
    // It is not there, but its tag says that somebody deleted it.
    world.call(edit("if-match", "\"0\"", "new")).await.assert_problem(412);
    world.call(edit("if-match", "*", "new")).await.assert_problem(412);
    assert_eq!(world.call(edit("if-none-match", "*", "new")).await.status, 201);
}

#[tokio::test]
async fn of_two_edits_at_once_one_is_made() {
    let world = World::new();
    put(&world, "order", "one").await;
    let edit = |text: &str| {
        let edit = request("PUT", "/v1/templates/order", "all", body("order", text).to_string());
        world.call(when(edit, "if-match", "\"1\""))
    };
    let (a, b) = (edit("a"), edit("b"));
    let (a, b) = tokio::join!(a, b);
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn templates_are_listed_by_code_in_pages_and_by_what_is_looked_for() {
    let world = World::new();
    for code in ["b", "a.price", "c"] {
        let mut body = body(code, "Hello");
        body["template"]["category"] = json!(if code == "c" { "marketing" } else { "orders" });
        body["template"]["description"] = json!(format!("The PRICE of {code}"));
        world.post("/v1/templates", body.to_string()).await;
    }
    world.post("/v1/templates/b/deactivate", "").await;
    let list = async |query: &str| {
        let page = world.get(&format!("/v1/templates?{query}")).await.json();
        let codes = page["data"].as_array().expect("a list").iter().map(|one| one["code"].as_str().expect("a text"));
        (codes.collect::<Vec<_>>().join(" "), page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, ("a.price b c welcome".into(), None));
    assert_eq!(list("search=price%20of").await.0, "a.price b c");
    assert_eq!(list("search=A.P").await.0, "a.price");
    assert_eq!(list("search=market").await.0, "c");
    assert_eq!(list("category=orders&active=true").await.0, "a.price");
    assert_eq!(list("active=false").await.0, "b");
    assert_eq!(list("origin=shipped").await.0, "welcome");
    let (first, cursor) = list("limit=3").await;
    assert_eq!(first, "a.price b c");
    assert_eq!(list(&format!("limit=3&cursor={}", cursor.expect("more"))).await, ("welcome".into(), None));
    world.get("/v1/templates?origin=elsewhere").await.assert_problem(400);
    world.get("/v1/templates?serach=a").await.assert_problem(400);
    let others = world.send("GET", "/v1/templates?origin=saved", "other", "").await.json();
    assert_eq!(others["data"], json!([]), "another tenant's are out of sight");
    world.send("GET", "/v1/templates/c", "other", "").await.assert_problem(404);
}

#[tokio::test]
async fn a_built_in_template_is_covered_by_saving_one_and_uncovered_by_deleting_it() {
    let world = World::new();
    let shown = world.get("/v1/templates/welcome").await;
    assert_eq!(shown.header("etag"), "\"0\"");
    let shown = shown.json();
    assert_eq!((&shown["origin"], &shown["version"], &shown["covers"]), (&json!("shipped"), &json!(0), &Value::Null));
    for (method, path) in [("DELETE", ""), ("POST", "/deactivate"), ("POST", "/activate")] {
        world.send(method, &format!("/v1/templates/welcome{path}"), "all", "").await.assert_problem(409);
    }
    assert_eq!(world.get("/v1/templates/welcome/changes").await.json()["data"], json!([]));
    assert_eq!(put(&world, "welcome", "ours").await.status, 201);
    let shown = world.get("/v1/templates/welcome").await.json();
    assert_eq!((&shown["origin"], &shown["covers"]), (&json!("saved"), &json!("shipped")));
    let deleted = world.send("DELETE", "/v1/templates/welcome", "all", "").await.json();
    assert_eq!(deleted["uncovered"], "shipped");
    assert_eq!(world.get("/v1/templates/welcome").await.json()["template"]["locales"]["en"]["body"], "shipped");
}

#[tokio::test]
async fn what_is_wrong_in_a_template_is_said_with_its_place() {
    let world = World::new();
    let refused = put(&world, "order", "Hello {{name").await;
    let problem = refused.assert_problem(400);
    let expected = json!([{"pointer": "/template/locales/en/body", "part": "body", "locale": "en", "line": 1, "column": 1,
        "detail": "an expression that is not closed"}]);
    assert_eq!(problem["errors"], expected);
    put(&world, "order", "{{> footer}}").await.assert_field("/template/locales/en/body", "no partial `footer`");
    let reserved = world.post("/v1/templates", body("render", "Hello").to_string()).await;
    reserved.assert_field("/template/code", "another one");
    let answer = world.send("PUT", "/v1/templates/order", "all", body("other", "Hello").to_string()).await;
    answer.assert_field("/template/code", "another than in the address");
    let unknown = json!({"template": {"code": "order", "locales": {"en": {"titel": "Hi"}}}}).to_string();
    let answer = world.send("PUT", "/v1/templates/order", "all", unknown).await;
    answer.assert_field("/template", "unknown field `titel`");
    let errors = answer.json()["errors"].clone();
    assert_eq!((&errors[0]["line"], errors[0]["column"].is_u64()), (&json!(1), true), "{errors}");
    world.send("PUT", "/v1/templates/order", "all", "{}").await.assert_field("/template", "is required");
    let long = json!({"template": {"code": "order", "locales": {}}, "comment": "x".repeat(501)}).to_string();
    world.send("PUT", "/v1/templates/order", "all", long).await.assert_field("/comment", "500 bytes");
    world.get("/v1/templates/..%2Forder").await.assert_problem(404);

    let judge = async |text: &str| world.post("/v1/templates/validate", body("order", text).to_string()).await.json();
    assert_eq!(judge("Hello").await, json!({"valid": true, "errors": [], "warnings": []}));
    let judged = judge("{{").await;
    assert_eq!((&judged["valid"], &judged["errors"][0]["pointer"]), (&json!(false), &expected[0]["pointer"]));
}

#[tokio::test]
async fn a_partial_that_others_include_cannot_be_deleted() {
    let world = World::new();
    put(&world, "footer", "Bye").await;
    put(&world, "order", "Hi {{> footer}}").await;
    assert_eq!(world.get("/v1/templates/footer").await.json()["used_by"], json!(["order"]));
    let refused = world.send("DELETE", "/v1/templates/footer", "all", "").await;
    assert!(refused.assert_problem(409)["detail"].as_str().expect("a text").contains("order"));
    world.send("DELETE", "/v1/templates/order", "all", "").await;
    assert_eq!(world.send("DELETE", "/v1/templates/footer", "all", "").await.status, 200);
}

#[tokio::test]
async fn an_earlier_version_is_made_current_and_others_are_deleted() {
    let world = World::new();
    for text in ["one", "two", "three"] {
        put(&world, "order", text).await;
    }
    let back = world.post("/v1/templates/order/rollback", r#"{"version": 1}"#).await;
    assert_eq!((&back.json()["version"], back.header("etag")), (&json!(1), "\"4\""));
    assert_eq!(world.get("/v1/templates/order").await.json()["template"]["locales"]["en"]["body"], "one");
    world.post("/v1/templates/order/rollback", r#"{"version": 9}"#).await.assert_problem(404);
    world.post("/v1/templates/order/rollback", "{}").await.assert_field("/version", "is required");
    world.post("/v1/templates/order/rollback", r#"{"version": "1"}"#).await.assert_field("/version", "must be");
    world.send("DELETE", "/v1/templates/order/versions/1", "all", "").await.assert_problem(409);
    assert_eq!(world.send("DELETE", "/v1/templates/order/versions/2", "all", "").await.status, 200);
    world.get("/v1/templates/order/versions/2").await.assert_problem(404);
    let versions = world.get("/v1/templates/order/versions").await.json();
    let told: Vec<_> =
        versions["data"].as_array().expect("a list").iter().map(|one| (&one["version"], &one["current"])).collect();
    assert_eq!(told, [(&json!(3), &json!(false)), (&json!(1), &json!(true))]);
    let page = world.get("/v1/templates/order/versions?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().expect("more");
    let page = world.get(&format!("/v1/templates/order/versions?limit=1&cursor={cursor}")).await.json();
    assert_eq!((&page["data"][0]["version"], &page["next_cursor"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn who_did_what_is_told_newest_first_and_after_a_deletion_too() {
    let world = World::with(crate::intake::fakes::FakeLog::open(), |http| {
        http.keys[0].name = Some("console".into());
    });
    let mut first = body("order", "one");
    first["comment"] = json!("a first try");
    world.post("/v1/templates", first.to_string()).await;
    world.post("/v1/templates/order/deactivate", "").await;
    world.send("DELETE", "/v1/templates/order", "all", "").await;
    let changes = world.get("/v1/templates/order/changes").await.json();
    let told: Vec<_> = changes["data"].as_array().expect("a list").iter().map(|one| one["action"].clone()).collect();
    assert_eq!(told, [json!("deleted"), json!("deactivated"), json!("saved")]);
    let last = &changes["data"][2];
    assert_eq!(
        (&last["by"], &last["version"], &last["comment"]),
        (&json!("console"), &json!(1), &json!("a first try"))
    );
    let page = world.get("/v1/templates/order/changes?limit=2").await.json();
    let cursor = page["next_cursor"].as_str().expect("more");
    let page = world.get(&format!("/v1/templates/order/changes?limit=2&cursor={cursor}")).await.json();
    assert_eq!((&page["data"][0]["action"], &page["next_cursor"]), (&json!("saved"), &Value::Null));
    world.get("/v1/templates/none/changes").await.assert_problem(404);
}

#[tokio::test]
async fn a_copy_has_another_code_and_the_same_words() {
    let world = World::new();
    put(&world, "order", "Hello").await;
    let copied = world.post("/v1/templates/order/copy", r#"{"code": "order.2"}"#).await;
    assert_eq!((copied.status.as_u16(), copied.header("location")), (201, "/v1/templates/order.2"));
    assert_eq!(world.get("/v1/templates/order.2").await.json()["template"]["locales"]["en"]["body"], "Hello");
    world.post("/v1/templates/order/copy", r#"{"code": "order.2"}"#).await.assert_problem(409);
    world.post("/v1/templates/order/copy", r#"{"code": "a/b"}"#).await.assert_field("/code", "letters");
    assert_eq!(world.post("/v1/templates/welcome/copy", r#"{"code": "mine"}"#).await.status, 201, "a built-in one too");
}

#[tokio::test]
async fn the_winner_of_an_experiment_is_promoted() {
    let world = World::new();
    let mut with = body("order", "control");
    with["template"]["experiment"] =
        json!({"variants": [{"name": "b", "weight": 1, "locales": {"en": {"body": "better"}}}]});
    world.send("PUT", "/v1/templates/order", "all", with.to_string()).await;
    world.post("/v1/templates/order/promote", r#"{"variant": "c"}"#).await.assert_problem(409);
    assert_eq!(world.post("/v1/templates/order/promote", r#"{"variant": "b"}"#).await.json()["version"], 2);
    let template = world.get("/v1/templates/order").await.json()["template"].clone();
    assert_eq!((&template["locales"]["en"]["body"], &template["experiment"]), (&json!("better"), &Value::Null));
}

#[tokio::test]
async fn a_message_is_shown_as_it_would_be_saved_or_not() {
    let world = World::new();
    let mut template = body("order", "Hello {{name}}");
    template["template"]["locales"]["ar"] = json!({"body": "مرحبا {{name}}", "sms": "{{name}}"});
    world.post("/v1/templates", template.to_string()).await;
    let wish = json!({"data": {"name": "Ada"}, "locale": "ar", "timezone": "Europe/Berlin"});
    let shown = world.post("/v1/templates/order/render", wish.to_string()).await.json();
    assert_eq!(
        (&shown["parts"]["body"], &shown["locale"], &shown["direction"]),
        (&json!("مرحبا Ada"), &json!("ar"), &json!("rtl"))
    );
    assert_eq!(
        (&shown["version"], &shown["sms"]),
        (&json!(1), &json!({"segments": 1, "encoding": "gsm7", "characters": 3}))
    );
    put(&world, "order", "Bye").await;
    let shown = world.post("/v1/templates/order/render", r#"{"version": 1, "data": {"name": "Ada"}}"#).await.json();
    assert_eq!((&shown["parts"]["body"], &shown["direction"]), (&json!("Hello Ada"), &json!("ltr")));
    assert_eq!(world.post("/v1/templates/order/render", "").await.json()["parts"]["body"], "Bye");

    let mut unsaved = body("new", "Hi {{name}}");
    unsaved["data"] = json!({"name": "Ada"});
    let shown = world.post("/v1/templates/render", unsaved.to_string()).await.json();
    assert_eq!((&shown["parts"]["body"], &shown["version"]), (&json!("Hi Ada"), &Value::Null));
    world.get("/v1/templates/new").await.assert_problem(404);

    let refused = async |wish: Value, pointer: &str, detail: &str| {
        world.post("/v1/templates/order/render", wish.to_string()).await.assert_field(pointer, detail);
    };
    refused(json!({"data": [1]}), "/data", "an object").await;
    refused(json!({"locale": "not a tag"}), "/locale", "language tag").await;
    refused(json!({"timezone": "Berlin"}), "/timezone", "IANA").await;
    refused(json!({"dta": {}}), "/dta", "did you mean `data`?").await;
    world.post("/v1/templates/none/render", "{}").await.assert_problem(404);
}

#[tokio::test]
async fn who_may_read_may_render_and_not_change() {
    let world = World::new();
    put(&world, "order", "Hello").await;
    let check = async |method: &str, path: &str, key: &str, status: u16| {
        let answer = world.send(method, &format!("/v1/templates{path}"), key, body("order", "Hello").to_string()).await;
        assert_eq!(answer.status, status, "{method} {path} {key}: {}", answer.text);
    };
    for (method, path) in [("POST", ""), ("PUT", "/order"), ("DELETE", "/order"), ("DELETE", "/order/versions/1")] {
        check(method, path, "reader", 403).await;
    }
    for path in ["rollback", "activate", "deactivate", "copy", "promote"] {
        check("POST", &format!("/order/{path}"), "reader", 403).await;
    }
    for path in ["", "/order", "/order/versions", "/order/changes"] {
        check("GET", path, "reader", 200).await;
        check("GET", path, "sender", 403).await;
    }
    check("POST", "/validate", "reader", 200).await;
    check("POST", "/render", "reader", 200).await;
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_told_the_same_and_changes_nothing() {
    let world = World::new();
    let post = async |path: &str, key: &str, body: String| {
        world.call(when(request("POST", path, "all", body), "idempotency-key", key)).await
    };
    for _ in 0..2 {
        let created = post("/v1/templates", "k1", body("order", "Hello").to_string()).await;
        assert_eq!((created.status.as_u16(), created.header("etag")), (201, "\"1\""));
        assert_eq!(created.header("location"), "/v1/templates/order");
        let copied = post("/v1/templates/order/copy", "k1", r#"{"code": "copy"}"#.into()).await;
        assert_eq!((copied.status.as_u16(), copied.header("location")), (201, "/v1/templates/copy"));
        let stopped = post("/v1/templates/order/deactivate", "k1", String::new()).await;
        assert_eq!((stopped.status.as_u16(), &stopped.json()["changed"]), (200, &json!(true)));
    }
    post("/v1/templates", "k1", body("other", "Hello").to_string()).await.assert_problem(409);
    post("/v1/templates", "k2", body("order", "Hello").to_string()).await.assert_problem(409);
    let changes = world.get("/v1/templates/order/changes").await.json();
    assert_eq!(changes["data"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_templates_only() {
    let world = World::new();
    put(&world, "order", "Hello").await;
    put(&world, "welcome", "ours").await;
    put(&world, "footer", "Bye").await;
    let other = async |method: &str, path: &str, body: String| world.send(method, path, "other", body).await;
    for path in ["", "?version=1", "/versions", "/versions/1", "/changes"] {
        other("GET", &format!("/v1/templates/order{path}"), String::new()).await.assert_problem(404);
    }
    let list = other("GET", "/v1/templates", String::new()).await.json();
    assert_eq!(list["data"].as_array().expect("a list").len(), 1, "the built-in one: {list}");
    let shown = other("GET", "/v1/templates/welcome", String::new()).await.json();
    assert_eq!((&shown["origin"], &shown["template"]["locales"]["en"]["body"]), (&json!("shipped"), &json!("shipped")));
    other("POST", "/v1/templates/order/render", String::new()).await.assert_problem(404);
    let judged = other("POST", "/v1/templates/validate", body("mail", "{{> footer}}").to_string()).await.json();
    assert_eq!(judged["valid"], json!(false), "the partial is not theirs");
}
