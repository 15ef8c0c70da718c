//! The bare HTTP loop: hyper's client on kept connections, one task and one request under way each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use tokio::task::JoinSet;

use super::{BareLoop, Tickets, id};
use crate::http_client::{Url, connect};

/// As large as the engine's webhook for what `compare` sends it.
const BODY: &[u8] = br#"{"id":"ntf_04g00000000000002f","task_id":"tsk_04g00000000000002f00","title":"Order A0000000000123 is on its way","body":"Hello Customer 0000000123, your order A0000000000123 has left our house.","data":{"order_id":"A0000000000123","name":"Customer 0000000123","sent_at_us":1700000000000000},"metadata":{}}"#;

/// As long as a Standard Webhooks signature.
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// What all requests have in common.
struct Shape {
    uri: Uri,
    headers: HeaderMap,
    tickets: Tickets,
}

pub(super) async fn run(bare: &BareLoop, target: &Url) -> Result<Duration> {
    let shape = Arc::new(Shape::new(bare, target)?);
    let mut senders = Vec::with_capacity(bare.connections);
    for _ in 0..bare.connections {
        senders.push(connect(&target.authority).await?);
    }
    let started = Instant::now();
    let mut loops = JoinSet::new();
    for sender in senders {
        loops.spawn(deliver(sender, Arc::clone(&shape)));
    }
    while let Some(ended) = loops.join_next().await {
        ended.context("a bare loop panicked")??;
    }
    Ok(started.elapsed())
}

impl Shape {
    fn new(bare: &BareLoop, target: &Url) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(&target.authority)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("fanfare-load"));
        headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from_static("1700000000"));
        headers.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_static(SIGNATURE));
        Ok(Self { uri: target.path.parse()?, headers, tickets: Tickets::new(bare.count) })
    }

    fn request(&self, ticket: u64) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(Bytes::from_static(BODY)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HeaderName::from_static("webhook-id"), HeaderValue::from_bytes(&id(ticket))?);
        Ok(request)
    }
}

async fn deliver(mut sender: SendRequest<Full<Bytes>>, shape: Arc<Shape>) -> Result<()> {
    while let Some(ticket) = shape.tickets.take() {
        sender.ready().await?;
        let response = sender.send_request(shape.request(ticket)?).await.context("the mock does not answer")?;
        ensure!(response.status().is_success(), "the mock answers {}", response.status());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
    }
    Ok(())
}
