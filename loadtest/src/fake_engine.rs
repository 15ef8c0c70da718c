//! The least that passes for an engine, to try the harness on: it accepts, delivers webhooks at once, and can be told
//! to lose and to repeat some.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http_client::{Url, connect};

/// What the fake does wrong: the notifications of these numbers.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lost: Vec<u64>,
    pub(crate) repeated: Vec<u64>,
    /// Requests of these numbers are refused with 503.
    pub(crate) refused: Vec<u64>,
}

struct FakeEngine {
    faults: Faults,
    notifications: AtomicU64,
    requests: AtomicU64,
}

/// Starts it; it ends with the runtime.
pub(crate) async fn start(faults: Faults) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("bound").to_string();
    let engine = Arc::new(FakeEngine { faults, notifications: AtomicU64::new(0), requests: AtomicU64::new(0) });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let engine = Arc::clone(&engine);
            let service = service_fn(move |request| {
                let engine = Arc::clone(&engine);
                async move { Ok::<_, Infallible>(engine.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Url { authority, path: "/".into() }
}

impl FakeEngine {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if path == "/metrics" {
            let count = self.notifications.load(Ordering::SeqCst);
            let bucket = r#"fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="#;
            return text(200, format!("{bucket}\"0.01\"}} {count}\n{bucket}\"+Inf\"}} {count}\n"));
        }
        assert_eq!(request.headers()["authorization"], "Bearer dev");
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("legal JSON");
        if self.faults.refused.contains(&self.requests.fetch_add(1, Ordering::SeqCst)) {
            let mut answer = text(503, String::new());
            answer.headers_mut().insert("retry-after", "0".parse().expect("a digit"));
            return answer;
        }
        if path == "/v1/notifications" {
            return text(202, self.accept(&body).await.to_string());
        }
        let mut items = Vec::new();
        for item in body["items"].as_array().expect("a list") {
            items.push(self.accept(item).await);
        }
        text(202, json!({ "items": items }).to_string())
    }

    async fn accept(&self, item: &Value) -> Value {
        let number = self.notifications.fetch_add(1, Ordering::SeqCst);
        let url = Url::parse(item["to"]["url"].as_str().expect("a target")).expect("a legal target");
        let times = match number {
            number if self.faults.lost.contains(&number) => 0,
            number if self.faults.repeated.contains(&number) => 2,
            _ => 1,
        };
        let body = json!({ "data": item["data"] }).to_string();
        for _ in 0..times {
            let mut sender = connect(&url.authority).await.expect("a mock");
            let webhook = Request::post(&url.path)
                .header("host", &url.authority)
                .header("webhook-id", format!("tsk_04g{number:05x}00"))
                .body(Full::from(body.clone()))
                .expect("a legal request");
            let answer = sender.send_request(webhook).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
        }
        json!({ "id": format!("ntf_04g{number:05x}"), "status": "accepted" })
    }
}

fn text(status: u16, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body)).expect("a legal status")
}

/// What was posted to it as receipts: their paths, in their order.
pub(crate) struct ReceiptEngine {
    pub(crate) url: Url,
    posted: Arc<std::sync::Mutex<Vec<String>>>,
}

impl ReceiptEngine {
    pub(crate) fn posted(&self) -> Vec<String> {
        self.posted.lock().expect("no panic").clone()
    }
}

/// Takes receipts; answers the first ones with these statuses, and 200 from then on.
pub(crate) async fn receipts(statuses: Vec<u16>) -> ReceiptEngine {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("bound").to_string();
    let posted = Arc::new(std::sync::Mutex::new(Vec::new()));
    let statuses = Arc::new(std::sync::Mutex::new(statuses.into_iter()));
    let engine = ReceiptEngine { url: Url { authority, path: "/".into() }, posted: Arc::clone(&posted) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (posted, statuses) = (Arc::clone(&posted), Arc::clone(&statuses));
            let service = service_fn(move |request: Request<Incoming>| {
                posted.lock().expect("no panic").push(request.uri().to_string());
                let status = statuses.lock().expect("no panic").next().unwrap_or(200);
                async move { Ok::<_, Infallible>(text(status, String::new())) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    engine
}
