//! `GET /v1/topics/{topic}/groups/{group}/stream`: messages as server-sent events, as fast as they are taken.
//!
//! Each round is a long poll, so that the stream is the same on any node. What the reader does not acknowledge comes again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::read::{ReceiveQuery, received};
use super::view::ReceivedView;
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::resources::answer::{names, query};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::topics::{Receive, Received, TopicName};

/// So long it is waited for messages until the reader hears that the stream is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Streaming {
    api: Arc<Api>,
    topic: TopicName,
    receive: Receive,
    _place: OwnedSemaphorePermit,
}

pub(in crate::api) async fn stream(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Result<Query<ReceiveQuery>, QueryRejection>,
) -> Answer {
    let (topic, group) = names(path)?;
    let receive = query(parameters)?.read(&group)?;
    let topic = TopicName::new(&caller.tenant, &topic);
    let full = |_| Problem::unavailable("too many streams are open on this node", Duration::from_secs(5));
    let place = api.streams.clone().try_acquire_owned().map_err(full)?;
    // What is wrong with it is answered as a problem, and not in the stream.
    let first = received(&api, &topic, Receive { wait: Duration::ZERO, ..receive.clone() }).await?;
    let receive = Receive { wait: HEARTBEAT, ..receive };
    let streaming = Streaming { api, topic, receive, _place: place };
    let events = stream::unfold((Some(streaming), Some(first)), |(streaming, first)| async move {
        let streaming = streaming?;
        let received = match first {
            Some(first) => Ok(first),
            None => received(&streaming.api, &streaming.topic, streaming.receive.clone()).await,
        };
        let stops = streaming.api.parts.stopping.is_cancelled();
        Some(match received {
            Ok(messages) if !stops || !messages.is_empty() => (events(&messages), (Some(streaming), None)),
            // The reader connects again, elsewhere.
            _ => (Bytes::from_static(b": the stream ends\n\n"), (None, None)),
        })
    });
    let mut response = Response::new(Body::from_stream(futures_util::StreamExt::map(events, Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Messages as events; a comment where there are none.
fn events(messages: &[Received]) -> Bytes {
    let mut text = Vec::new();
    for message in messages {
        let Some(view) = ReceivedView::new(message) else { continue };
        text.extend_from_slice(format!("id: {}\nevent: message\ndata: ", message.number).as_bytes());
        let begin = text.len();
        // Texts and numbers can always be written into memory.
        let _ = serde_json::to_writer(&mut text, &view);
        // Line ends are only between the words of JSON, and would end the event's line.
        for byte in text[begin..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        text.extend_from_slice(b"\n\n");
    }
    if messages.is_empty() {
        text.extend_from_slice(b": still here\n\n");
    }
    text.into()
}
