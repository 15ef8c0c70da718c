use serde_json::{Value, json};

use super::*;
use crate::domain::{Parts, Whose};
use crate::providers::testing::{Asked, Server, clock, message, provider};

fn chat(kind: &str, url: &str, more: &str) -> Result<SharedProvider, String> {
    provider(&format!("name = \"ops\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{more}"), &clock())
}

fn to(address: Address) -> Message {
    message(Channel::Chat, address)
}

fn room() -> Message {
    to(Address::Provider)
}

fn saying(body: &str) -> Message {
    Message { parts: Parts { title: "T".into(), body: body.into(), ..Parts::default() }, ..room() }
}

fn json_of(asked: &Asked) -> Value {
    assert_eq!(asked.header("content-type"), Some("application/json; charset=utf-8"));
    serde_json::from_slice(&asked.body).expect("JSON")
}

async fn names(provider: &SharedProvider, message: &Message, count: usize) -> Vec<&'static str> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(provider.send(message).await.name());
    }
    names
}

#[tokio::test]
async fn dingtalk_is_asked_with_a_signature_that_is_encoded_once() {
    let mut server =
        Server::answering(&[(200, &[], r#"{"errcode":0,"errmsg":"ok"}"#), (200, &[], r#"{"errcode":0}"#)]).await;
    let signed =
        chat("dingtalk", &server.url, "token = \"tok\"\nsigning_secret = \"SECtest0123456789\"").expect("built");
    assert_eq!(signed.send(&room()).await, Outcome::Accepted { message_id: None });
    let asked = server.asked().await;
    let line = "POST /robot/send?access_token=tok&timestamp=1795262400000&sign=";
    assert!(asked.line().starts_with(line), "{}", asked.line());
    assert!(asked.line().ends_with("%3D HTTP/1.1") && !asked.line().contains("%25"), "{}", asked.line());
    let expected = json!({"msgtype": "text", "text": {"content": "Order 12345 is paid\nThank you, Alice."}});
    assert_eq!(json_of(&asked), expected);
    // The server speaks with one connection at a time.
    drop(signed);
    let markdown =
        chat("dingtalk", &server.url, "token = \"tok\"\noptions = { format = \"markdown\" }").expect("built");
    markdown.send(&room()).await;
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /robot/send?access_token=tok HTTP/1.1");
    let text = "### Order 12345 is paid\n\nThank you, Alice.";
    let expected = json!({"msgtype": "markdown", "markdown": {"title": "Order 12345 is paid", "text": text}});
    assert_eq!(json_of(&asked), expected);
}

#[tokio::test]
async fn dingtalk_says_no_with_the_status_200() {
    let server = Server::answering(&[
        (200, &[], r#"{"errcode":310000,"errmsg":"sign not match"}"#),
        (200, &[], r#"{"errcode":310000,"errmsg":"Keywords not in content"}"#),
        (200, &[], r#"{"errcode":310000,"errmsg":"错误描述:关键词不匹配"}"#),
        (200, &[], r#"{"errcode":300001,"errmsg":"token is not exist"}"#),
        (200, &[], r#"{"errcode":130101,"errmsg":"send too fast"}"#),
        (200, &[], r#"{"errcode":-1,"errmsg":"busy"}"#),
        (200, &[], r#"{"errcode":40035,"errmsg":"unknown"}"#),
        (200, &[], "<html>captive</html>"),
        (502, &[], "<html>"),
        (200, &[], r#"{"status":1111,"wait":5,"source":"x","punish":"deny"}"#),
    ])
    .await;
    let robot = chat("dingtalk", &server.url, "token = \"tok\"").expect("built");
    let expected = [
        "config",
        "bad_request",
        "bad_request",
        "config",
        "throttled",
        "transient",
        "bad_request",
        "unknown",
        "transient",
    ];
    assert_eq!(names(&robot, &room(), 9).await, expected);
    let Outcome::Throttled { reason, retry_after, whose } = robot.send(&room()).await else { panic!("throttled") };
    assert_eq!((&*reason, retry_after.map(|wait| wait.as_secs())), ("the provider answered 200 (1111)", Some(5)));
    assert_eq!(whose, Whose::Account);
}

#[tokio::test]
async fn a_wecom_robot_gets_what_fits_its_bytes() {
    let mut server = Server::answering(&[
        (200, &[], r#"{"errcode":0,"errmsg":"ok"}"#),
        (200, &[], r#"{"errcode":45009,"errmsg":"freq"}"#),
        (200, &[], r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#),
    ])
    .await;
    let robot = chat("wecom", &server.url, "token = \"key-1\"").expect("built");
    assert_eq!(names(&robot, &saying(&"好".repeat(1000)), 3).await, ["accepted", "throttled", "config"]);
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /cgi-bin/webhook/send?key=key-1 HTTP/1.1");
    let body = json_of(&asked);
    let content = body["text"]["content"].as_str().expect("text");
    assert!(content.starts_with("T\n好") && content.ends_with("好…"), "{content}");
    assert!((2045..=2048).contains(&content.len()), "{}", content.len());
}

#[tokio::test]
async fn feishu_is_signed_in_the_body_and_takes_markdown_as_a_card() {
    let mut server = Server::answering(&[
        (200, &[], r#"{"code":0,"msg":"success","StatusCode":0}"#),
        (200, &[], r#"{"StatusCode":0}"#),
        (200, &[], r#"{"code":11232,"msg":"frequency limited"}"#),
        (400, &[], r#"{"code":9499,"msg":"Bad Request"}"#),
        (200, &[], r#"{"code":19021,"msg":"sign match fail"}"#),
        (200, &[], r#"{"code":19024,"msg":"Key Words Not Found"}"#),
    ])
    .await;
    let robot =
        chat("feishu", &server.url, "token = \"to-ken\"\nsigning_secret = \"SECtest0123456789\"").expect("built");
    assert_eq!(robot.send(&room()).await.name(), "accepted");
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /open-apis/bot/v2/hook/to-ken HTTP/1.1");
    let body = json_of(&asked);
    assert_eq!((&body["timestamp"], &body["msg_type"]), (&json!("1795262400"), &json!("text")));
    assert_eq!(body["content"]["text"], "Order 12345 is paid\nThank you, Alice.");
    assert_eq!(body["sign"].as_str().map(str::len), Some(44));
    drop(robot);
    let card = chat("feishu", &server.url, "token = \"to-ken\"\noptions = { format = \"markdown\" }").expect("built");
    let expected = ["accepted", "throttled", "bad_request", "config", "bad_request"];
    assert_eq!(names(&card, &room(), 5).await, expected);
    let header = json!({"title": {"tag": "plain_text", "content": "Order 12345 is paid"}});
    let elements = json!([{"tag": "markdown", "content": "Thank you, Alice."}]);
    let expected = json!({"msg_type": "interactive", "card": {"header": header, "elements": elements}});
    assert_eq!(json_of(&server.asked().await), expected);
}

#[tokio::test]
async fn slack_takes_its_room_and_a_recipients_own_webhook() {
    let mut server = Server::answering(&[
        (200, &[], "ok"),
        (200, &[], "ok"),
        (403, &[], "invalid_token"),
        (429, &["Retry-After: 2"], ""),
    ])
    .await;
    let slack = chat("slack", &server.url, "token = \"T0/B0/x0\"").expect("built");
    assert_eq!(slack.send(&saying("a < b & c")).await, Outcome::Accepted { message_id: None });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /services/T0/B0/x0 HTTP/1.1");
    assert_eq!(json_of(&asked), json!({"text": "T\na &lt; b &amp; c", "mrkdwn": false}));
    let own = to(Address::Url("https://hooks.slack.com/services/T1/B1/y1".into()));
    assert_eq!(slack.send(&own).await.name(), "accepted");
    assert_eq!(server.asked().await.line(), "POST /services/T1/B1/y1 HTTP/1.1");
    let refused = slack.send(&own).await;
    assert_eq!(refused.name(), "bad_request", "a recipient's bad address stops nobody else");
    let hurried = slack.send(&own).await;
    assert!(matches!(hurried, Outcome::Throttled { whose: Whose::Recipient, retry_after: Some(_), .. }), "{hurried:?}");
}

#[tokio::test]
async fn slack_answers_in_words() {
    let server = Server::answering(&[
        (400, &[], "invalid_payload"),
        (404, &[], "channel_not_found"),
        (404, &[], "no_service"),
        (410, &[], "channel_is_archived"),
        (403, &[], "action_prohibited"),
        (429, &["Retry-After: 1"], ""),
        (500, &[], "rollup_error"),
        (200, &[], "<html>"),
    ])
    .await;
    let slack = chat("slack", &server.url, "token = \"T0/B0/x0\"\noptions = { format = \"markdown\" }").expect("built");
    let expected = ["bad_request", "config", "config", "config", "config", "throttled", "transient", "unknown"];
    assert_eq!(names(&slack, &room(), 8).await, expected);
}

#[test]
fn a_room_takes_nothing_that_is_meant_for_somebody_else() {
    let url = "http://127.0.0.1:1";
    let slack = chat("slack", url, "token = \"T0/B0/x0\"").expect("built");
    let robot = chat("wecom", url, "token = \"key\"").expect("built");
    let app = chat("wecom_app", url, "username = \"c\"\npassword = \"s\"\noptions = { agent_id = 7 }").expect("built");
    let check = |address: Address, expected: [bool; 3]| {
        assert_eq!([&slack, &robot, &app].map(|provider| provider.takes(&address)), expected, "{address:?}");
    };
    check(Address::Provider, [true, true, false]);
    check(Address::Chat("ops".into()), [true, true, false]);
    check(Address::Chat("ops:alice".into()), [false, false, true]);
    check(Address::Chat("other".into()), [false; 3]);
    check(Address::Chat("other:alice".into()), [false; 3]);
    check(Address::Url("https://hooks.slack.com/services/T1/B1/y1".into()), [true, false, false]);
    for url in [
        "http://hooks.slack.com/services/T1/B1/y1",
        "https://hooks.slack.com:8443/services/T1/B1/y1",
        "https://hooks.slack.com.example.com/services/T1/B1/y1",
        "https://user@hooks.slack.com/services/T1/B1/y1",
        "https://hooks.slack.com/services/T1/B1/../../x",
        "https://hooks.slack.com/services/T1/B1/y1?z",
        "https://example.com/services/T1/B1/y1",
        "ops",
    ] {
        check(Address::Url(url.into()), [false; 3]);
    }
}

#[test]
fn settings_that_cannot_work_name_their_key() {
    let check = |kind: &str, more: &str, key: &str| {
        let error = chat(kind, "http://127.0.0.1:1", more).err().expect("refused");
        assert!(error.contains(key), "{error}");
    };
    for kind in ["dingtalk", "wecom", "feishu"] {
        check(kind, "", "token");
        check(kind, "token = \"x\"\noptions = { format = \"html\" }", "format");
    }
    check("feishu", "token = \"https://open.feishu.cn/x\"", "token");
    check("slack", "token = \"T0/B0\"", "token");
    check("wecom_app", "", "username");
    check("wecom_app", "username = \"c\"", "password");
    check("wecom_app", "username = \"c\"\npassword = \"s\"", "agent_id");
    let late = "username = \"c\"\npassword = \"s\"\noptions = { agent_id = 7, duplicate_check_seconds = 14401 }";
    check("wecom_app", late, "duplicate_check_seconds");
}

mod wecom_app {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    const TOKEN_1: &str = r#"{"errcode":0,"errmsg":"ok","access_token":"one","expires_in":7200}"#;
    const TOKEN_2: &str = r#"{"errcode":0,"errmsg":"ok","access_token":"two","expires_in":7200}"#;
    const SENT: &str = r#"{"errcode":0,"errmsg":"ok","invaliduser":"","msgid":"m1"}"#;

    fn app(server: &Server, clock: &Arc<ManualClock>) -> SharedProvider {
        let text = format!(
            "name = \"ops\"\nkind = \"wecom_app\"\nurl = \"{}\"\nusername = \"corp\"\npassword = \"s e\"\noptions = {{ agent_id = 7 }}",
            server.url
        );
        provider(&text, clock).expect("it is built")
    }

    fn alice() -> Message {
        to(Address::Chat("ops:alice".into()))
    }

    #[tokio::test]
    async fn one_token_serves_many_messages_until_shortly_before_its_end() {
        let mut server = Server::answering(&[
            (200, &[], TOKEN_1),
            (200, &[], SENT),
            (200, &[], SENT),
            (200, &[], TOKEN_2),
            (200, &[], SENT),
        ])
        .await;
        let clock = clock();
        let app = app(&server, &clock);
        assert_eq!(app.send(&alice()).await, Outcome::Accepted { message_id: Some("m1".into()) });
        assert_eq!(server.asked().await.line(), "GET /cgi-bin/gettoken?corpid=corp&corpsecret=s+e HTTP/1.1");
        let asked = server.asked().await;
        assert_eq!(asked.line(), "POST /cgi-bin/message/send?access_token=one HTTP/1.1");
        let expected = json!({
            "touser": "alice", "msgtype": "text", "agentid": 7, "enable_duplicate_check": 1,
            "duplicate_check_interval": 1800, "text": {"content": "Order 12345 is paid\nThank you, Alice."},
        });
        assert_eq!(json_of(&asked), expected);
        clock.advance(Duration::from_secs(30));
        app.send(&alice()).await;
        assert_eq!(server.asked().await.line(), "POST /cgi-bin/message/send?access_token=one HTTP/1.1");
        clock.advance(Duration::from_secs(7200 - 300 - 30));
        app.send(&alice()).await;
        assert!(server.asked().await.line().starts_with("GET /cgi-bin/gettoken?"));
        assert_eq!(server.asked().await.line(), "POST /cgi-bin/message/send?access_token=two HTTP/1.1");
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_fetched_anew_once() {
        let mut server = Server::answering(&[
            (200, &[], TOKEN_1),
            (200, &[], r#"{"errcode":42001,"errmsg":"access_token expired"}"#),
            (200, &[], TOKEN_2),
            (200, &[], r#"{"errcode":40014,"errmsg":"invalid access_token"}"#),
        ])
        .await;
        let app = app(&server, &clock());
        let refused = app.send(&alice()).await;
        assert_eq!(refused, Outcome::Config { reason: "the provider answered 200 (40014)".into() });
        for expected in ["GET", "POST", "GET", "POST"] {
            assert!(server.asked().await.line().starts_with(expected));
        }
    }

    #[tokio::test]
    async fn many_sends_at_once_fetch_one_token() {
        // The server speaks with one connection at a time.
        let mut server = Server::answering(&[
            (200, &["Connection: close"], TOKEN_1),
            (200, &["Connection: close"], SENT),
            (200, &["Connection: close"], SENT),
        ])
        .await;
        let app = app(&server, &clock());
        let message = alice();
        let (first, second) = tokio::join!(app.send(&message), app.send(&message));
        assert_eq!((first.name(), second.name()), ("accepted", "accepted"));
        for expected in ["GET", "POST", "POST"] {
            assert!(server.asked().await.line().starts_with(expected));
        }
    }

    #[tokio::test]
    async fn each_code_means_what_the_table_says() {
        let server = Server::answering(&[
            (200, &[], TOKEN_1),
            (200, &[], r#"{"errcode":0,"errmsg":"ok","invaliduser":"alice","msgid":"m"}"#),
            (200, &[], r#"{"errcode":81013,"errmsg":"all invalid"}"#),
            (200, &[], r#"{"errcode":45033,"errmsg":"busy"}"#),
            (200, &[], r#"{"errcode":60020,"errmsg":"not allow to access from your ip"}"#),
            (200, &[], r#"{"errcode":-1,"errmsg":"busy"}"#),
            (200, &[], r#"{"errcode":44004,"errmsg":"empty"}"#),
            (200, &[], "<html>"),
        ])
        .await;
        let app = app(&server, &clock());
        let expected =
            ["dead_recipient", "dead_recipient", "throttled", "config", "transient", "bad_request", "unknown"];
        assert_eq!(names(&app, &alice(), 7).await, expected);
    }

    #[tokio::test]
    async fn without_a_token_no_message_is_in_doubt() {
        let server = Server::answering(&[
            (200, &[], r#"{"errcode":40001,"errmsg":"invalid credential"}"#),
            (200, &[], "<html>"),
        ])
        .await;
        let app = app(&server, &clock());
        // The last time the connection is closed after the question.
        assert_eq!(names(&app, &alice(), 3).await, ["config", "transient", "transient"]);
    }

    #[tokio::test]
    async fn an_address_that_means_everybody_is_refused() {
        let app =
            chat("wecom_app", "http://127.0.0.1:1", "username = \"c\"\npassword = \"s\"\noptions = { agent_id = 7 }");
        let app = app.expect("it is built");
        for user in ["@all", "a|b", "", "a b"] {
            let refused = app.send(&to(Address::Chat(format!("ops:{user}").into()))).await;
            assert_eq!(refused.name(), "bad_request", "{user}");
        }
    }
}
