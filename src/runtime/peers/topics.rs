//! Topics whose home is another node's: asked there, with the wait of whoever asks.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::door::Door;
use super::{ANSWER_WAIT_MAX, Peer, Peers, answer};
use crate::domain::ShardId;
use crate::topics::{Ask, Told, TopicDesk, TopicError, TopicName, home_of_topic};

/// Bytes of a question: messages of the largest call, each character of them escaped.
const BODY_BYTES_MAX: usize = 32 << 20;

#[derive(Serialize, Deserialize)]
struct AskWire {
    topic: TopicName,
    ask: Ask,
}

impl Peers {
    /// Asks the node that has the topic's home.
    pub(in crate::runtime) async fn ask_topic(&self, name: &TopicName, ask: Ask) -> Result<Told, TopicError> {
        let places = if ask.wait().is_zero() { &self.asking } else { &self.waiting };
        let busy = |_| TopicError::Busy("too many questions wait for other nodes: try again shortly".into());
        let _place = places.try_acquire().map_err(busy)?;
        let address = self.keeper.address_of(ShardId::of_home(home_of_topic(name))).await?;
        let peer = address.and_then(|address| Peer::parse(&address)).ok_or_else(TopicError::between_owners)?;
        let patience = ask.wait() + ANSWER_WAIT_MAX;
        let asked = peer.post(&self.http, "topics").timeout(patience).json(&AskWire { topic: name.clone(), ask });
        let told = answer::<Result<Told, TopicError>>(asked).await;
        told.unwrap_or_else(|error| Err(TopicError::Busy(error.to_string().into())))
    }
}

/// `POST /internal/topics`. A topic that is another's by now is said to be so, and not asked for further.
pub(super) async fn topics(State(door): State<Arc<Door>>, headers: HeaderMap, body: Body) -> Response {
    if let Err(refused) = door.opens(&headers) {
        return refused.into_response();
    }
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(AskWire { topic, ask }) = serde_json::from_slice(&bytes) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    Json(door.topics.ask(&topic, ask).await).into_response()
}
