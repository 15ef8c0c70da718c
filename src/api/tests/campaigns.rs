use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::world::{Answer, World, request, with_retry_key};
use crate::campaigns::{Begun, Known, Lists, OPEN_MAX};
use crate::domain::{
    Audience, BrakeEffect, Campaign, CampaignCommand, CampaignId, CampaignKind, CampaignProgress, CampaignStatus,
    Missed, Priority, Source, Timestamp,
};
use crate::store::KeyedRows;

fn message(who: Value) -> Value {
    let mut body = json!({"content": {"title": "Spring", "body": "Hello"}});
    for (name, value) in who.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn begin(world: &World, body: &Value) -> Answer {
    world.post("/v1/campaigns", body.to_string()).await
}

#[track_caller]
fn begun(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn known(world: &World, id: &str) -> Known {
    let id = id.parse().expect("an id");
    world.campaigns.get("default", id).await.expect("reads").expect("is there")
}

fn upload(body: impl Into<Body>, media_type: &str, path: &str) -> Request<Body> {
    let mut request = request("POST", path, "sender", body);
    request.headers_mut().insert("content-type", media_type.parse().expect("a header"));
    request
}

#[tokio::test]
async fn ids_become_a_list_without_duplicates_and_the_message_is_for_nobody_yet() {
    let world = World::new();
    let answer = begin(&world, &message(json!({"user_ids": ["a", "b", "a"], "name": "Spring"}))).await;
    let id = begun(&answer);
    assert_eq!(answer.json()["total"], 2);
    assert_eq!(answer.json()["status"], "counting");
    let Known { campaign, command, .. } = known(&world, &id).await;
    assert_eq!((campaign.kind, command), (CampaignKind::Asked, CampaignCommand::Run));
    assert_eq!((&campaign.message.user_id, campaign.message.source), (&None, Source::Campaign));
    assert_eq!(campaign.message.priority, Priority::Normal);
    let Audience::List { list } = &campaign.audience else { panic!("{:?}", campaign.audience) };
    let lists = Lists::new(world.store.clone(), world.clock.clone());
    assert_eq!(lists.count(list).await.expect("the store answers"), 2);
    assert_eq!(world.get("/v1/lists").await.json()["data"], json!([]), "it is the campaign's own");
    assert_eq!(world.get("/v1/campaigns").await.json()["data"][0]["id"], json!(id));
}

#[tokio::test]
async fn a_retry_key_gives_the_same_campaign_and_another_body_is_a_conflict() {
    let world = World::new();
    let body = message(json!({"user_ids": ["a", "b"]})).to_string();
    let call =
        async |body: String| world.call(with_retry_key(request("POST", "/v1/campaigns", "all", body), "k")).await;
    let first = call(body.clone()).await;
    begun(&first);
    let again = call(body).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    call(message(json!({"user_ids": ["a"]})).to_string()).await.assert_problem(409);
    let one = world.post("/v1/campaigns", message(json!({"user_ids": ["a"]})).to_string()).await;
    let other = world.post("/v1/campaigns", message(json!({"user_ids": ["a"]})).to_string()).await;
    assert_ne!(begun(&one), begun(&other), "without a key they are two");
}

#[tokio::test]
async fn a_campaign_has_a_start_a_ceiling_a_rate_and_a_canary() {
    let world = World::new();
    let answer = begin(
        &world,
        &message(json!({
            "audience": {"segment": {"field": "plan", "is": "pro"}},
            "deliver_at": "2026-12-01T08:00:00Z", "local_time": "09:00", "priority": "low",
            "ceiling": 5000, "rate_per_second": 50, "canary": {"share": 0.1, "bounces_max": 0.2},
        })),
    )
    .await;
    let id = begun(&answer);
    assert_eq!(answer.json()["total"], Value::Null);
    let Known { campaign, .. } = known(&world, &id).await;
    assert_eq!(Some(campaign.starts_at), Timestamp::parse("2026-12-01T08:00:00Z"));
    assert_eq!((campaign.message.deliver_at, campaign.message.local_time.is_some()), (None, true));
    assert_eq!((campaign.ceiling, campaign.rate_per_second, campaign.is_counted), (Some(5000), Some(50), true));
    let canary = campaign.canary.expect("a canary");
    assert_eq!((canary.share, canary.wait_seconds, canary.bounces_max, canary.complaints_max), (0.1, 300, 0.2, 0.001));
    let shown = world.get(&format!("/v1/campaigns/{id}")).await.json();
    assert_eq!(shown["audience"], json!({"segment": {"field": "plan", "is": "pro"}}));
    assert_eq!((&shown["progress"], &shown["eta_seconds"]), (&json!(0), &Value::Null));
    begun(&begin(&world, &message(json!({"audience": {"subject": "series:42"}}))).await);
}

#[tokio::test]
async fn what_is_written_wrongly_is_refused_with_its_place() {
    let world = World::new();
    for (body, pointer, words) in [
        (message(json!({})), "/audience", "is required"),
        (message(json!({"user_ids": ["a"], "audience": {"subject": "x"}})), "/audience", "exclude"),
        (message(json!({"user_ids": "a"})), "/user_ids", "list of texts"),
        (message(json!({"user_ids": ["a", ""]})), "/user_ids/1", "1 to 256"),
        (message(json!({"audience": {}})), "/audience", "exactly one"),
        (message(json!({"audience": {"subject": "x", "list": "lst_1"}})), "/audience", "exactly one"),
        (message(json!({"audience": {"lsit": "lst_1"}})), "/audience/lsit", "did you mean `list`"),
        (message(json!({"audience": {"list": "spring"}})), "/audience/list", "lst_"),
        (message(json!({"user_ids": ["a"], "to": {"email": "a@b.com"}})), "/to", "is for one"),
        (message(json!({"user_ids": ["a"], "user_id": "b"})), "/user_id", "is for one"),
        (message(json!({"user_ids": ["a"], "priority": "critical"})), "/priority", "critical"),
        (message(json!({"user_ids": ["a"], "chanels": []})), "/chanels", ""),
        (message(json!({"user_ids": ["a"], "ceiling": 0})), "/ceiling", "1 or more"),
        (message(json!({"user_ids": ["a"], "rate_per_second": 1.5})), "/rate_per_second", "whole number"),
        (message(json!({"user_ids": ["a"], "canary": {}})), "/canary/share", "is required"),
        (message(json!({"user_ids": ["a"], "canary": {"share": 1}})), "/canary/share", "below 1"),
        (
            message(json!({"user_ids": ["a"], "canary": {"share": 0.1, "bounces_max": 2}})),
            "/canary/bounces_max",
            "0 to 1",
        ),
        (message(json!({"user_ids": ["a"], "deliver_at": "tomorrow"})), "/deliver_at", "RFC 3339"),
        (
            message(
                json!({"user_ids": ["a"], "deliver_at": "2026-12-01T08:00:00Z", "expires_at": "2026-11-30T08:00:00Z"}),
            ),
            "/expires_at",
            "after the time of delivery",
        ),
        (message(json!({"user_ids": ["a"], "name": "a\nb"})), "/name", "one line"),
        (json!({"user_ids": ["a"]}), "/template", "is required"),
        (json!({"user_ids": ["a"], "template": "missing"}), "/template", "there is no template"),
    ] {
        begin(&world, &body).await.assert_field(pointer, words);
    }
    assert_eq!(world.get("/v1/campaigns").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_campaign_for_nobody_cannot_be_used() {
    let world = World::new();
    let empty = world.call(upload("", "application/x-ndjson", "/v1/lists")).await.json();
    assert_eq!(empty["members"], 0);
    for (who, pointer) in [
        (json!({"user_ids": []}), "/user_ids"),
        (json!({"audience": {"list": "lst_none"}}), "/audience/list"),
        (json!({"audience": {"list": empty["id"]}}), "/audience/list"),
        (json!({"audience": {"segment": {"field": "plan"}}}), "/audience/segment"),
        (json!({"audience": {"segment": {"all": [{"field": "age", "above": "x"}]}}}), "/audience/segment/all/0/above"),
        (json!({"user_ids": ["a", "b", "c"], "ceiling": 2}), "/ceiling"),
    ] {
        let problem = begin(&world, &message(who.clone())).await.assert_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{who}: {problem}");
    }
}

#[tokio::test]
async fn a_campaign_is_paused_resumed_and_cancelled_with_what_it_handed_on() {
    let world = World::new();
    let id = begun(&begin(&world, &message(json!({"user_ids": ["a"]}))).await);
    let told = async |wish: &str| world.post(&format!("/v1/campaigns/{id}/{wish}"), "").await;
    let brakes = async || {
        let brakes = crate::store::BrakeRows::brakes(&*world.store).await.expect("reads");
        let on = brakes.into_iter().filter(|brake| brake.is_on && *brake.scope.name == *id);
        on.map(|brake| brake.effect).collect::<Vec<_>>()
    };
    let answer = told("pause").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("paused")), "{}", answer.text);
    assert_eq!(brakes().await, [BrakeEffect::Pause]);
    assert_eq!(known(&world, &id).await.command, CampaignCommand::Pause);
    assert_eq!(told("resume").await.json()["status"], "counting");
    assert_eq!(brakes().await, []);
    told("pause").await;
    assert_eq!(told("cancel").await.json()["status"], "cancelled");
    assert_eq!(brakes().await, [BrakeEffect::Recall]);
    assert_eq!(told("cancel").await.status, 200, "again is the same");
    told("resume").await.assert_problem(409);
    told("pause").await.assert_problem(409);
    let path = format!("/v1/campaigns/{id}");
    world.send("GET", &path, "other", Body::empty()).await.assert_problem(404);
    world.send("POST", &format!("{path}/pause"), "other", Body::empty()).await.assert_problem(404);
    world.send("POST", &format!("{path}/pause"), "reader", Body::empty()).await.assert_problem(403);
    world.get("/v1/campaigns/cmp_none").await.assert_problem(404);
}

/// Rows as the runner of campaigns writes them.
async fn write(world: &World, id: &str, name: &[u8], chunk: Option<u32>, body: Vec<u8>) {
    let id: CampaignId = id.parse().expect("an id");
    let key = id.0.to_be_bytes();
    let block = chunk.map(|chunk| (chunk / 128).to_be_bytes());
    let words: Vec<&[u8]> = [Some(&key[..]), block.as_ref().map(|block| &block[..])].into_iter().flatten().collect();
    let part = crate::store::KeyedPart::of(crate::store::KeyedKind::Campaign, &words);
    let row = crate::store::KeyedRow { part, name: name.into(), body: Some(body.into()) };
    world.store.put_keyed(vec![row]).await.expect("written");
}

#[tokio::test]
async fn what_is_over_is_shown_whole_can_not_be_told_anything_and_says_who_was_missed() {
    let world = World::new();
    let id = begun(&begin(&world, &message(json!({"user_ids": ["a", "b", "c"]}))).await);
    let progress = CampaignProgress {
        total: Some(3),
        succeeded: 1,
        failed: 1,
        skipped: vec![("suppressed".into(), 1)],
        chunks: 200,
        ..CampaignProgress::new(CampaignStatus::Completed, Timestamp(0))
    };
    write(&world, &id, b"b", None, crate::codec::encode_campaign_progress(&progress)).await;
    for (chunk, member, notification) in [(3u32, "b,\"x\"", "ntf_1"), (150, "c", "")] {
        let missed = Missed {
            member: member.into(),
            notification: notification.into(),
            status: "failed".into(),
            reason: "no_address".into(),
        };
        let name = [&b"x"[..], &chunk.to_be_bytes()].concat();
        write(&world, &id, &name, Some(chunk), crate::codec::encode_missed(&[missed])).await;
    }
    let shown = world.get(&format!("/v1/campaigns/{id}")).await.json();
    assert_eq!((&shown["status"], &shown["progress"]), (&json!("completed"), &json!(100)), "{shown}");
    assert_eq!((&shown["processed"], &shown["skipped_by"]), (&json!(3), &json!({"suppressed": 1})));
    for wish in ["pause", "resume", "cancel"] {
        let answer = world.post(&format!("/v1/campaigns/{id}/{wish}"), "").await;
        assert!(answer.assert_problem(409)["detail"].as_str().expect("a text").contains("completed"));
    }
    let path = format!("/v1/campaigns/{id}/missed");
    let lines = world.get(&path).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines[0],
        json!({"member": "b,\"x\"", "notification": "ntf_1", "status": "failed", "reason": "no_address"})
    );
    assert_eq!((lines.len(), &lines[1]["notification"]), (2, &Value::Null));
    let csv = world.get(&format!("{path}?format=csv")).await;
    let rows =
        "member,notification,status,reason\r\n\"b,\"\"x\"\"\",ntf_1,failed,no_address\r\nc,,failed,no_address\r\n";
    assert_eq!(csv.text, rows);
    world.get(&format!("{path}?format=xlsx")).await.assert_problem(400);
}

fn asked(id: u128, kind: CampaignKind, made_at: u64, like: &Campaign) -> Campaign {
    Campaign { id: CampaignId(id), kind, made_at: Timestamp(made_at), ..like.clone() }
}

#[tokio::test]
async fn campaigns_are_listed_newest_first_and_by_kind_in_pages() {
    let world = World::new();
    let first = begun(&begin(&world, &message(json!({"user_ids": ["a"]}))).await);
    let like = known(&world, &first).await.campaign;
    for (id, kind) in [(1, CampaignKind::FanOut), (2, CampaignKind::Asked), (3, CampaignKind::FanOut)] {
        let campaign = asked(id, kind, id as u64 * 1000, &like);
        assert_eq!(world.campaigns.begin(&campaign).await.expect("the store answers"), Begun::New);
    }
    let (mut path, mut found) = ("/v1/campaigns?limit=1".to_owned(), Vec::new());
    loop {
        let page = world.get(&path).await.json();
        found.extend(page["data"].as_array().expect("a list").iter().map(|one| one["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/campaigns?limit=1&cursor={cursor}");
    }
    let ids = |ids: &[u128]| ids.iter().map(|id| json!(CampaignId(*id).to_string())).collect::<Vec<_>>();
    assert_eq!(found, [vec![json!(first)], ids(&[3, 2, 1])].concat());
    let fan_outs = world.get("/v1/campaigns?kind=fan_out").await.json();
    let found: Vec<Value> = fan_outs["data"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(found, ids(&[3, 1]));
    world.get("/v1/campaigns?kind=none").await.assert_problem(400);
    world.get("/v1/campaigns?cursor=zz").await.assert_problem(400);
}

#[tokio::test]
async fn a_list_is_uploaded_with_its_bad_lines_told_and_its_duplicates_counted() {
    let world = World::new();
    let csv =
        "\u{feff}email,plan\r\na@example.com,pro\r\nnobody,pro\r\nb@example.com,\"a, b\"\r\na@example.com,free\r\n";
    let answer = world.call(upload(csv, "text/csv; charset=utf-8", "/v1/lists?name=spring")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let said = answer.json();
    assert_eq!((&said["members"], &said["duplicates"], &said["bad_lines"]["count"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(said["bad_lines"]["first"][0]["line"], 3);
    assert_eq!(said["bad_lines"]["first"][0]["errors"][0]["pointer"], "/email");
    let id = said["id"].as_str().expect("an id");
    let shown = world.get(&format!("/v1/lists/{id}")).await.json();
    assert_eq!((&shown["name"], &shown["members"]), (&json!("spring"), &json!(2)));
    assert_eq!(world.get("/v1/lists").await.json()["data"], json!([shown]));
    let answer = begin(&world, &message(json!({"audience": {"list": id}}))).await;
    assert_eq!(answer.json()["total"], 2, "{}", answer.text);
    let lines = "{\"user_id\":\"a\",\"data\":{\"n\":1}}\n\n[]\n{\"user_id\":\"a\"}\n{\"usr_id\":\"b\"}";
    let said = world.call(upload(lines, "application/x-ndjson", "/v1/lists")).await.json();
    assert_eq!((&said["members"], &said["duplicates"], &said["bad_lines"]["count"]), (&json!(1), &json!(1), &json!(2)));
    let told: Vec<&Value> =
        said["bad_lines"]["first"].as_array().expect("a list").iter().map(|bad| &bad["line"]).collect();
    assert_eq!(told, [&json!(3), &json!(5)]);
    let path = format!("/v1/lists/{id}");
    world.send("GET", &path, "other", Body::empty()).await.assert_problem(404);
    assert_eq!(world.send("DELETE", &path, "sender", Body::empty()).await.json()["status"], "deleted");
    world.get(&path).await.assert_problem(404);
    world.send("DELETE", &path, "sender", Body::empty()).await.assert_problem(404);
}

#[tokio::test]
async fn an_upload_that_comes_again_under_its_key_is_the_same_list() {
    let world = World::new();
    let call = async |body: &str| {
        let request = upload(body.to_owned(), "text/csv", "/v1/lists");
        world.call(with_retry_key(request, "k")).await
    };
    let first = call("user_id\na\nb\na\n").await;
    let again = call("user_id\na\nb\na\n").await;
    assert_eq!((first.status.as_u16(), &again.text), (201, &first.text));
    call("user_id\na\nc\n").await.assert_problem(409);
    assert_eq!(world.get("/v1/lists").await.json()["data"][0]["members"], 2);
}

#[tokio::test]
async fn a_list_that_says_nothing_of_its_form_or_of_whom_is_refused() {
    let world = World::new();
    world.call(upload("a", "application/json", "/v1/lists")).await.assert_problem(415);
    world.call(upload("name\nalice\n", "text/csv", "/v1/lists")).await.assert_problem(422);
    world.call(upload("", "text/csv", "/v1/lists")).await.assert_problem(422);
    world.call(upload("", "text/csv", "/v1/lists?nam=x")).await.assert_problem(400);
    world
        .call(upload("user_id\na\n", "text/csv", &format!("/v1/lists?name={}", "x".repeat(201))))
        .await
        .assert_problem(400);
    let never = Body::from_stream(futures_util::stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("gone"))]));
    world.call(upload(never, "text/csv", "/v1/lists")).await.assert_problem(400);
    assert_eq!(world.get("/v1/lists").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_list_longer_than_a_chunk_is_written_whole() {
    let world = World::new();
    let body: String = (0..5_000).map(|number| format!("{{\"user_id\":\"u{number}\"}}\n")).collect();
    let parts: Vec<Result<bytes::Bytes, std::io::Error>> =
        body.as_bytes().chunks(777).map(|part| Ok(bytes::Bytes::copy_from_slice(part))).collect();
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let said = world.call(upload(body, "application/x-ndjson", "/v1/lists")).await.json();
    assert_eq!((&said["members"], &said["duplicates"]), (&json!(5_000), &json!(0)));
    let lists = Arc::new(Lists::new(world.store.clone(), world.clock.clone()));
    assert_eq!(lists.count(said["id"].as_str().expect("an id")).await.expect("the store answers"), 5_000);
}

/// A body whose rest comes when it is let go.
fn held_up(text: &str, go_on: Arc<Notify>) -> Body {
    let (first, rest) = text.split_at(text.len() / 2);
    let (first, rest) = (bytes::Bytes::from(first.to_owned()), bytes::Bytes::from(rest.to_owned()));
    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(first)]);
    let ended = futures_util::stream::once(async move {
        go_on.notified().await;
        Ok(rest)
    });
    Body::from_stream(begun.chain(ended))
}

#[tokio::test]
async fn of_two_uploads_at_once_under_one_key_one_is_written_and_the_other_is_answered_the_same() {
    let world = World::new();
    let text: String = (0..3_000).map(|number| format!("{{\"user_id\":\"u{number}\"}}\n")).collect();
    let go_on = Arc::new(Notify::new());
    let keyed = |body: Body| with_retry_key(upload(body, "application/x-ndjson", "/v1/lists"), "once");
    let first = world.call(keyed(held_up(&text, go_on.clone())));
    let second = world.call(keyed(Body::from(text.clone())));
    let letting_go = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
    };
    let (first, second, ()) = tokio::join!(first, second, letting_go);
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED), "{}", second.text);
    let (first, second) = (first.json(), second.json());
    assert_eq!((&first["id"], &first["members"]), (&second["id"], &json!(3_000)));
    let lists = Lists::new(world.store.clone(), world.clock.clone());
    assert_eq!(lists.count(first["id"].as_str().expect("an id")).await.expect("the store answers"), 3_000);
    let other = world.call(keyed(Body::from("{\"user_id\":\"other\"}"))).await;
    other.assert_problem(409);
}

#[tokio::test]
async fn of_two_campaigns_at_once_under_one_key_one_is_begun_and_another_body_is_a_conflict() {
    let world = World::new();
    let call = |users: Value| {
        let body = message(json!({"user_ids": users})).to_string();
        world.call(with_retry_key(request("POST", "/v1/campaigns", "all", Body::from(body)), "once"))
    };
    let (first, second, other) = tokio::join!(call(json!(["a"])), call(json!(["a"])), call(json!(["b"])));
    assert_eq!(begun(&first), begun(&second));
    other.assert_problem(409);
    assert_eq!(world.get("/v1/campaigns").await.json()["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_tenant_with_too_many_open_campaigns_is_told_so() {
    let world = World::new();
    let id = begun(&begin(&world, &message(json!({"user_ids": ["a"]}))).await);
    let first = known(&world, &id).await.campaign;
    for number in 1..OPEN_MAX as u128 {
        let campaign = Campaign { id: CampaignId(number), ..first.clone() };
        world.campaigns.begin(&campaign).await.expect("written");
    }
    let refused = begin(&world, &message(json!({"user_ids": ["a"]}))).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.text.contains("cancel one"), "{}", refused.text);
}
