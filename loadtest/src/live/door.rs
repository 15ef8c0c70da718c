//! How a program gets in: a token by a call that its server makes, and a WebSocket with it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::people;
use crate::http_client::{Client, Server};

pub(super) type Socket = WebSocketStream<TcpStream>;

/// The longest that a token and a connection may take.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// Memory of a connection here: what is said is small.
const BUFFER_BYTES: usize = 4 * 1024;

/// One node, as programs and the server that makes their tokens see it.
pub(super) struct Node {
    server: Server,
    authority: String,
    /// Connections for calls that are free.
    free: Mutex<Vec<Client>>,
}

/// Lets so many in at once.
pub(super) struct Doors {
    pub(super) nodes: Vec<Node>,
    room: Semaphore,
}

#[derive(Deserialize)]
struct Pass {
    token: String,
}

impl Node {
    pub(super) fn new(server: &Server, authority: String) -> Self {
        Self { server: server.clone(), authority, free: Mutex::default() }
    }

    /// A token for a user, through a connection that is kept.
    pub(super) async fn token(&self, user: u32) -> Result<String> {
        let path = format!("/v1/users/{}/ws-token", people::name(user));
        let body = Bytes::from_static(br#"{"ttl_seconds":86400}"#);
        let request = self.server.send(Method::POST, &path, "application/json", body)?;
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = free.unwrap_or_else(|| Client::new(&self.server));
        let answer = client.call_within(OPEN_MAX, request).await?;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        ensure!(answer.status.is_success(), "a token is answered {}", answer.status);
        let pass: Pass = serde_json::from_slice(&answer.body).context("cannot read the answer with a token")?;
        Ok(pass.token)
    }

    async fn socket(&self, token: &str) -> Result<Socket> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
        let url = format!("ws://{}/v1/ws?token={token}", self.authority);
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await.context("no WebSocket")?;
        Ok(socket)
    }
}

impl Doors {
    pub(super) fn new(nodes: Vec<Node>, at_once: u16) -> Self {
        Self { nodes, room: Semaphore::new(usize::from(at_once)) }
    }

    /// A connection of a user to a node; without a token it gets a new one there.
    pub(super) async fn open(&self, node: u32, user: u32, token: Option<String>) -> Result<Socket> {
        let _room = self.room.acquire().await?;
        let node = &self.nodes[node as usize];
        let opening = async {
            let token = match token {
                Some(token) => token,
                None => node.token(user).await?,
            };
            node.socket(&token).await
        };
        match timeout(OPEN_MAX, opening).await {
            Ok(socket) => socket,
            Err(_) => anyhow::bail!("no connection within {OPEN_MAX:?}"),
        }
    }
}
