//! `GET /v1/ws`: the WebSocket (RFC 6455).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;

use super::{ConnectQuery, session};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::clock::Moment;
use crate::realtime::{Closing, Session};

/// The longest that a frame may take to be written: who reads nothing for so long has gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Memory for what is read and written at once.
const BUFFER_BYTES: usize = 4 * 1024;

/// Heartbeats that a connection may leave unanswered.
const SILENT_MAX: u32 = 2;

/// Somebody connects.
pub(in crate::api) async fn connect(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<ConnectQuery>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(Kind::BadRequest, format!("this address takes WebSockets: {}", rejection.body_text()))
    })?;
    let session = session(&api, &headers, parameters).await?;
    let largest = api.parts.live.settings().max_message.as_usize();
    let upgrade = upgrade
        .max_message_size(largest)
        .max_frame_size(largest)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(BUFFER_BYTES.max(4 << 20));
    Ok(upgrade.on_upgrade(move |socket| async move { Connection::new(api, socket, session).run().await }))
}

struct Connection {
    api: Arc<Api>,
    socket: WebSocket,
    session: Session,
    ping_at: Moment,
    silent: u32,
}

/// Why a connection is over.
enum Ended {
    /// We say why.
    By(Closing),
    Gone,
}

impl Connection {
    fn new(api: Arc<Api>, socket: WebSocket, session: Session) -> Self {
        let ping_at = api.parts.clock.moment() + api.parts.live.settings().heartbeat;
        Self { api, socket, session, ping_at, silent: 0 }
    }

    async fn run(mut self) {
        let ended = loop {
            if let Err(ended) = self.turn().await {
                break ended;
            }
        };
        let Ended::By(closing) = ended else { return };
        let frame = CloseFrame { code: closing.code(), reason: closing.reason().into() };
        let _ = self.write(Message::Close(Some(frame))).await;
        // Until it says so too, for as long as a frame may take.
        let said = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = tokio::time::timeout(WRITE_WAIT_MAX, said).await;
    }

    async fn turn(&mut self) -> Result<(), Ended> {
        while let Some(frame) = self.session.frame() {
            self.write(Message::Text(frame.text.into())).await?;
        }
        let clock = self.api.parts.clock.clone();
        let ping = clock.sleep(self.ping_at.since(clock.moment()));
        tokio::select! {
            () = self.api.parts.stopping.cancelled() => Err(Ended::By(Closing::Restart)),
            stir = self.session.wait() => self.session.on(stir).await.map_err(Ended::By),
            message = self.socket.recv() => self.heard(message).await,
            () = ping => self.ping().await,
        }
    }

    async fn heard(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Ended> {
        self.silent = 0;
        match message {
            Some(Ok(Message::Text(text))) => self.session.take(&text).await.map_err(Ended::By),
            // It is no JSON text either.
            Some(Ok(Message::Binary(_))) => self.session.take("").await.map_err(Ended::By),
            Some(Ok(Message::Ping(_))) => self.session.pinged().map_err(Ended::By),
            Some(Ok(Message::Pong(_))) => Ok(()),
            Some(Err(error)) if is_too_large(&error) => Err(Ended::By(Closing::TooLarge)),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended::Gone),
        }
    }

    async fn ping(&mut self) -> Result<(), Ended> {
        self.silent += 1;
        if self.silent > SILENT_MAX {
            return Err(Ended::Gone);
        }
        self.ping_at = self.api.parts.clock.moment() + self.api.parts.live.settings().heartbeat;
        self.write(Message::Ping(axum::body::Bytes::new())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Ended> {
        let written = tokio::time::timeout(WRITE_WAIT_MAX, self.socket.send(message)).await;
        written.ok().and_then(Result::ok).ok_or(Ended::Gone)
    }
}

/// What was read is larger than it may be: the only error of capacity that reading has.
fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().contains("too long") || error.to_string().contains("too big")
}
