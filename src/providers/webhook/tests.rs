use super::*;
use crate::clock::ManualClock;
use crate::domain::Parts;
use crate::providers::{Guard, testing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn webhook(secret: Option<&str>) -> SharedProvider {
    let clock = ManualClock::starting_at(Timestamp(1_614_265_330_000));
    let mut settings = testing::settings(
        "name = \"hooks\"
kind = \"webhook\"",
    );
    settings.signing_secret = secret.map(config::Secret::new);
    Webhook::build(&settings, vec![Channel::Webhook], &testing::context(&clock)).expect("it is built")
}

fn message(url: &str) -> Message {
    Message {
        parts: Parts {
            title: "A \"title\"".into(),
            body: "line
line"
                .into(),
            ..Parts::default()
        },
        data: "{\"order\":1}".into(),
        ..testing::message(Channel::Webhook, Address::Url(url.into()))
    }
}

/// Reads one request whole, as the client here writes them: with a length.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.expect("it reads");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "the request ends early");
            continue;
        };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(String::from));
        if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
            return text;
        }
    }
}

/// A server that does one thing with each connection, in turn; the requests it read.
async fn serve(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook?a=b", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            requests.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.expect("it writes");
        }
        requests
    });
    (url, serving)
}

#[test]
fn the_signature_is_that_of_the_published_example() {
    let key = read_secret("signing_secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let clock = ManualClock::starting_at(Timestamp(0));
    let webhook = Webhook {
        name: "hooks".into(),
        channels: Vec::new(),
        client: HttpClient::new(
            Guard::new(true, clock.clone()),
            clock.clone(),
            client_tls(None, None, &[]).expect("TLS"),
            8,
        ),
        clock,
        table: Table::new("webhook", &Default::default()),
        inbox: None,
        keys: vec![key],
    };
    let signature = webhook.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b"{\"test\": 2432232314}");
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn the_request_is_json_with_the_three_headers() {
    let (url, serving) = serve(vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]).await;
    let webhook = webhook(Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let message = message(&url);
    assert_eq!(webhook.send(&message).await.name(), "accepted");
    let request = serving.await.expect("served").remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1"), "{head}");
    assert!(head.contains(&format!("webhook-id: {}", message.task)));
    assert!(head.contains("webhook-timestamp: 1614265330"));
    assert!(head.contains("webhook-signature: v1,"));
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["title"], "A \"title\"");
    assert_eq!(body["body"], "line\nline");
    assert_eq!(body["data"]["order"], 1);
    assert_eq!(body["task_id"], message.task.to_string());
}

#[tokio::test]
async fn an_endpoint_that_closes_after_the_request_leaves_it_in_doubt() {
    let (url, _serving) = serve(vec![""]).await;
    assert_eq!(webhook(None).send(&message(&url)).await.name(), "unknown");
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_was_certainly_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = webhook(None).send(&message(&url)).await;
    assert!(matches!(outcome, Outcome::Transient { unreachable: true, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (url, serving) =
        serve(vec!["HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"]).await;
    assert_eq!(webhook(None).send(&message(&url)).await.name(), "transient");
    assert_eq!(serving.await.expect("served").len(), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_delivery() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    // Each connection is closed after its answer, though nothing said so.
    let (url, serving) = serve(vec![answer, answer]).await;
    let webhook = webhook(None);
    assert_eq!(webhook.send(&message(&url)).await.name(), "accepted");
    let second = webhook.send(&message(&url)).await;
    // Either the close was seen before the request was written, or the request is honestly in doubt.
    assert!(["accepted", "unknown"].contains(&second.name()), "{second:?}");
    serving.abort();
}

#[tokio::test]
async fn an_answer_that_never_ends_does_not_fill_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.expect("it writes");
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    });
    assert_eq!(webhook(None).send(&message(&url)).await.name(), "accepted");
}

#[tokio::test]
async fn an_answer_whose_body_does_not_come_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let holding = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.expect("it writes");
        stream
    });
    assert_eq!(webhook(None).send(&message(&url)).await.name(), "accepted");
    drop(holding);
}

#[test]
fn a_secret_that_is_none_is_refused() {
    for secret in ["whsec_???", "whsec_c2hvcnQ=", "short"] {
        assert!(read_secret("signing_secret", secret).is_err(), "{secret}");
    }
}

#[tokio::test]
async fn an_endpoints_answer_means_what_the_table_says() {
    const CASES: [(&str, &str); 9] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "accepted"),
        ("HTTP/1.1 204 None\r\nconnection: close\r\n\r\n", "accepted"),
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "transient"),
        ("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "transient"),
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "transient"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "transient"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "dead_recipient"),
        ("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nretry-after: 7\r\nconnection: close\r\n\r\n", "throttled"),
        ("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "transient"),
    ];
    let (url, serving) = serve(CASES.iter().map(|(answer, _)| *answer).collect()).await;
    let webhook = webhook(None);
    for (answer, expected) in CASES {
        assert_eq!(webhook.send(&message(&url)).await.name(), expected, "{answer}");
    }
    serving.await.expect("served");
}
