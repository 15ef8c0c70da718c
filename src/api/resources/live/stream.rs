//! `GET /v1/sse`: the frames as server-sent events, for where no WebSocket passes. What a program has to say it says over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{ConnectQuery, FULL_PAUSE, session};
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::realtime::{Closing, Session};

/// So often something is said, or proxies would think that nobody is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Its address.
pub(in crate::api) const PATH: &str = "/v1/sse";

/// Somebody listens.
pub(in crate::api) async fn stream(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<ConnectQuery>, QueryRejection>,
) -> Answer {
    let full = |_| Problem::unavailable("too many event streams are open on this node", FULL_PAUSE);
    let place = api.live_streams.clone().try_acquire_owned().map_err(full)?;
    let session = session(&api, &headers, parameters).await?;
    let events = stream::unfold(Some((api, session, place)), |listening| async move {
        let (api, mut session, place) = listening?;
        match next(&api, &mut session).await {
            Ok(event) => Some((event, Some((api, session, place)))),
            Err(closing) => Some((last(closing), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What proxies that gather answers are told so that they do not.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn next(api: &Api, session: &mut Session) -> Result<Bytes, Closing> {
    loop {
        if let Some(frame) = session.frame() {
            // What came with line breaks between its fields would end the event.
            return Ok(format!("data: {}\n\n", frame.text.replace(['\n', '\r'], " ")).into());
        }
        tokio::select! {
            () = api.parts.stopping.cancelled() => return Err(Closing::Restart),
            stir = session.wait() => session.on(stir).await?,
            () = api.parts.clock.sleep(HEARTBEAT) => return Ok(Bytes::from_static(b": there\n\n")),
        }
    }
}

/// As a WebSocket would be closed.
fn last(closing: Closing) -> Bytes {
    format!("event: close\ndata: {{\"code\":{},\"reason\":\"{}\"}}\n\n", closing.code(), closing.reason()).into()
}
