//! Those who should not connect, and those who do harm once they have: whatever they do costs them their own connection and nobody else's.

use axum::http::StatusCode;
use fanfare::domain::Content;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;

impl Served {
    async fn pass(&self, user: &str, ttl_seconds: u64) -> String {
        let path = format!("/v1/users/{user}/ws-token");
        let (_, pass) = self.world.call(Method::POST, &path, Some(&json!({ "ttl_seconds": ttl_seconds }))).await;
        pass["token"].as_str().expect("a token").to_owned()
    }

    /// How a connect with this token, from a page of this origin, is answered: 101 if it is taken.
    async fn status(&self, token: &str, origin: Option<&str>) -> u16 {
        let url = format!("ws://{}/v1/ws?token={token}", self.address);
        let mut request = url.into_client_request().expect("a request");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((_, answer)) => answer.status().as_u16(),
            Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// A call with a user's token.
    async fn call_as(&self, token: &str, method: Method, path: &str) -> StatusCode {
        let bearer = format!("Bearer {token}");
        self.world.call_without_key(method, path, &[("authorization", &bearer)], "").await.0
    }
}

impl Client {
    /// With which code the server ends it, whatever else it says before.
    async fn ending(&mut self) -> CloseCode {
        let waiting = async {
            loop {
                if let Message::Close(frame) = self.0.next().await.expect("it says why").expect("it can be read") {
                    return frame.expect("a reason").code;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it ends in time")
    }
}

async fn served() -> Served {
    Served::new(World::start(Place::embedded(), Vec::new()).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_of_ours_or_comes_from_a_strange_page_does_not_connect() {
    let node = served().await;
    let (token, short) = (node.pass("alice", 3_600).await, node.pass("alice", 60).await);
    assert_eq!(node.status(&token, None).await, 101);
    assert_eq!(node.status(&token, Some("https://evil.example")).await, 403);
    assert_eq!(node.status(&token, Some("null")).await, 403);
    let last = if token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    for wrong in [&*forged, &token[..token.len() / 2], "fup_", "", "dev", "%00"] {
        assert_eq!(node.status(wrong, None).await, 401, "{wrong}");
    }
    node.world.advance(Duration::from_secs(61)).await;
    assert_eq!(node.status(&short, None).await, 401, "it has ended");
    assert_eq!(node.status(&token, None).await, 101);
    node.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_inbox_of_its_user_and_nothing_else() {
    let node = served().await;
    let token = node.pass("alice", 60).await;
    assert_eq!(node.call_as(&token, Method::GET, "/v1/users/alice/inbox").await, StatusCode::OK);
    for (method, path) in [
        (Method::GET, "/v1/users/bob/inbox"),
        (Method::POST, "/v1/users/bob/inbox/read-all"),
        (Method::GET, "/v1/users/alice%2F..%2Fbob/inbox"),
    ] {
        let status = node.call_as(&token, method, path).await;
        assert!([StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status), "{path}: {status}");
    }
    for (method, path) in [
        (Method::GET, "/v1/users/alice"),
        (Method::POST, "/v1/notifications"),
        (Method::GET, "/v1/accounting"),
        (Method::POST, "/v1/users/alice/ws-token"),
    ] {
        assert_eq!(node.call_as(&token, method, path).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    node.world.advance(Duration::from_secs(61)).await;
    assert_eq!(node.call_as(&token, Method::GET, "/v1/users/alice/inbox").await, StatusCode::UNAUTHORIZED);
    node.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_programs_call_at_a_rate_of_their_own() {
    let node = served().await;
    let (alice, bob) = (node.pass("alice", 60).await, node.pass("bob", 60).await);
    // The clock stands still.
    let mut taken = 0;
    while node.call_as(&alice, Method::GET, "/v1/users/alice/inbox").await == StatusCode::OK {
        taken += 1;
    }
    assert_eq!(taken, fanfare::config::defaults().realtime.calls_per_second);
    assert_eq!(node.call_as(&alice, Method::GET, "/v1/users/alice/inbox").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(node.status(&alice, None).await, 429, "connects are calls");
    assert_eq!(node.call_as(&bob, Method::GET, "/v1/users/bob/inbox").await, StatusCode::OK);
    node.world.advance(Duration::from_secs(1)).await;
    assert_eq!(node.status(&alice, None).await, 101);
    node.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_is_answered_and_what_is_too_large_or_too_much_ends_the_connection() {
    let node = served().await;
    let mut client = node.connect("alice").await;
    for wrong in
        ["{", "[]", "\u{0}", "{\"type\":\"sudo\"}", "{\"type\":\"ack\"}", "{\"type\":\"ack\",\"ids\":[\"ntf_\"]}"]
    {
        client.0.send(Message::text(wrong)).await.expect("it takes it");
        client.until("error").await;
    }
    let largest = fanfare::config::defaults().realtime.max_message.as_usize();
    client.0.send(Message::text("x".repeat(largest + 1))).await.expect("it takes it");
    assert_eq!(client.ending().await, CloseCode::Size);

    let (mut loud, mut calm) = (node.connect("alice").await, node.connect("alice").await);
    for _ in 0..10_000 {
        // It is ended before all of it is said.
        if loud.0.send(Message::text("{\"type\":\"ping\"}")).await.is_err() {
            break;
        }
    }
    assert_eq!(loud.ending().await, CloseCode::Policy);
    calm.say(&json!({"type": "ping"})).await;
    calm.until("pong").await;
    node.stop.cancel();
}

/// More than the buffers of both ends hold.
const MANY: usize = 600;
const LONG: usize = 16 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_told_to_look_anew_or_ended_and_holds_nobody_up() {
    let node = served().await;
    let (mut asleep, mut awake) = (node.connect("alice").await, node.connect("alice").await);
    let body: Box<str> = "long ".repeat(LONG / 5).into();
    let content = Content::Inline { title: "Long".into(), body, html: None, sms: None };
    let sending = async {
        for _ in 0..MANY {
            let request = NotificationRequest { content: content.clone(), ..in_app(&node.world, "alice") };
            node.world.send(request).await;
        }
    };
    let reading = async {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < MANY {
            let frame = awake.until("notification").await;
            seen.insert(frame["notification"]["id"].to_string());
        }
    };
    tokio::join!(sending, reading);
    let woken = async {
        while let Some(Ok(message)) = asleep.0.next().await {
            if matches!(message, Message::Text(text) if text.contains("\"resync\"")) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.expect("it is told, or was ended");
    node.stop.cancel();
}
