//! A bucket, at a server that keeps objects as long as they are signed for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Archive, Secret};

#[derive(Default)]
struct Server {
    objects: Mutex<HashMap<String, Bytes>>,
    /// What it answers in place of doing anything; 0: it does it.
    fails_with: AtomicU16,
    /// Bytes that it leaves out at the end of what is read.
    leaves_out: AtomicUsize,
}

async fn serve(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = text("authorization");
    let is_signed = authorization.starts_with("AWS4-HMAC-SHA256 Credential=key-id/")
        && authorization.contains("/eu-test-1/s3/aws4_request")
        && authorization.contains("x-amz-content-sha256")
        && authorization.contains("host;")
        && text("x-amz-content-sha256") == hex(ring::digest::digest(&ring::digest::SHA256, &body).as_ref());
    if !is_signed {
        return (StatusCode::FORBIDDEN, "<Error><Code>SignatureDoesNotMatch</Code></Error>").into_response();
    }
    let failure = server.fails_with.load(Ordering::SeqCst);
    if failure != 0 {
        let status = StatusCode::from_u16(failure).expect("a status");
        return (status, "<Error><Code>SlowDown</Code></Error>").into_response();
    }
    let mut objects = server.objects.lock().expect("whole");
    match method {
        Method::PUT => {
            objects.insert(uri.path().to_owned(), body);
            StatusCode::OK.into_response()
        }
        _ => match objects.get(uri.path()) {
            Some(body) => body.slice(..body.len() - server.leaves_out.load(Ordering::SeqCst)).into_response(),
            None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bucket `records` below `fanfare`, and the server that has it.
async fn bucket(key: &str) -> (SharedPlace, Arc<Server>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = Arc::new(Server::default());
    let router = Router::new().fallback(serve).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = Archive {
        to: Some("s3://records/fanfare".to_owned()),
        endpoint: Some(format!("http://{address}")),
        region: "eu-test-1".to_owned(),
        access_key_id: Some(key.to_owned()),
        secret_access_key: Some(Secret::new("secret")),
        path_style: true,
    };
    let place = place_of(&settings, ManualClock::starting_at(NOON)).expect("it can be").expect("there is one");
    (place, server)
}

const NAME: &str = "a~20b/2026/11/02/normal-0-1-2.ndjson.zst";

#[tokio::test]
async fn a_bucket_keeps_what_is_signed_for() {
    let (place, server) = bucket("key-id").await;
    for body in ["first", "second"] {
        place.put(NAME, Bytes::from(body)).await.expect("written");
        assert_eq!(place.get(NAME, 10).await.expect("read"), body);
    }
    let objects = server.objects.lock().expect("whole");
    assert_eq!(objects.keys().collect::<Vec<_>>(), [&format!("/records/fanfare/{NAME}")]);
}

#[tokio::test]
async fn what_a_bucket_refuses_is_told_with_its_code_and_without_the_secret() {
    let (stranger, _) = bucket("another-id").await;
    let reason = stranger.put(NAME, Bytes::from("body")).await.expect_err("refused").to_string();
    assert!(reason.contains("403") && reason.contains("SignatureDoesNotMatch"), "{reason}");
    assert!(!reason.contains("another-id") && !reason.contains("secret"), "{reason}");
    let (place, server) = bucket("key-id").await;
    server.fails_with.store(503, Ordering::SeqCst);
    for reason in [
        place.put(NAME, Bytes::from("body")).await.expect_err("refused").to_string(),
        place.get(NAME, 10).await.expect_err("refused").to_string(),
    ] {
        assert!(reason.contains("503") && reason.contains("SlowDown"), "{reason}");
    }
    server.fails_with.store(0, Ordering::SeqCst);
    assert!(place.get(NAME, 10).await.expect_err("nothing there").to_string().contains("NoSuchKey"));
    place.put(NAME, Bytes::from("longer than that")).await.expect("written");
    assert!(place.get(NAME, 10).await.expect_err("too long").to_string().contains("longer than 10 bytes"));
}

#[tokio::test]
async fn a_file_in_a_bucket_that_comes_back_short_or_not_at_all_is_no_file() {
    let (place, server) = bucket("key-id").await;
    let mut files = super::super::file::Files::default();
    let story = Story { plan: plan(Position::new(shard(0), 7)), events: Vec::new() };
    files.add(&story, b"{\"id\":7}");
    let file = files.close(shard(0)).expect("packed").pop().expect("one");
    file.put_and_check(&*place).await.expect("it is there");
    server.leaves_out.store(2, Ordering::SeqCst);
    let reason = file.put_and_check(&*place).await.expect_err("it is short").to_string();
    assert!(reason.contains("nothing of it was dropped"), "{reason}");
    server.leaves_out.store(0, Ordering::SeqCst);
    server.fails_with.store(500, Ordering::SeqCst);
    assert!(file.put_and_check(&*place).await.is_err());
}
