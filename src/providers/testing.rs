//! What the tests of adapters share: a message, settings, and a server that answers as it is told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{BuildContext, Guard, Sandbox, SharedProvider};
use crate::clock::ManualClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Parts, Position, Priority, ShardId, TaskId, Timestamp};

/// When it is in these tests.
pub(super) const NOW: &str = "2026-11-21T12:00:00Z";

const PUBLIC_URL: &str = "https://notify.example.com";

pub(super) fn clock() -> Arc<ManualClock> {
    ManualClock::starting_at(Timestamp::parse(NOW).expect("a time"))
}

/// Everything a provider is built with; private addresses may be called.
pub(super) fn context(clock: &Arc<ManualClock>) -> BuildContext {
    BuildContext {
        clock: clock.clone(),
        guard: Guard::new(true, clock.clone()),
        public_url: PUBLIC_URL.into(),
        sandbox: Arc::new(Sandbox::new(clock.clone())),
        inbox: None,
    }
}

/// The section of a provider, as TOML.
pub(super) fn settings(toml: &str) -> config::Provider {
    toml::from_str(toml).expect("valid settings")
}

/// One provider, by its section.
pub(super) fn provider(toml: &str, clock: &Arc<ManualClock>) -> Result<SharedProvider, String> {
    let mut built = super::build_all(&[settings(toml)], &context(clock)).map_err(|error| error.to_string())?;
    Ok(built.remove(0))
}

/// Task `tsk_…` of offset 7, attempt 1: "Order 12345 is paid" with "Thank you, Alice."
pub(super) fn message(channel: Channel, address: Address) -> Message {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    Message {
        task: TaskId { position: Position::new(shard, 7), ordinal: 0 },
        attempt: 1,
        channel,
        priority: Priority::Normal,
        tenant: "default".into(),
        user_id: Some("alice".into()),
        category: Some("transactional".into()),
        address,
        template: None,
        parts: Parts { title: "Order 12345 is paid".into(), body: "Thank you, Alice.".into(), ..Parts::default() },
        attachments: Vec::new(),
        unsubscribe: None,
        collapse_key: None,
        data: "{\"order_id\":\"12345\"}".into(),
        metadata: "{}".into(),
        accepted_at: Timestamp::parse(NOW).expect("a time"),
        due: Timestamp::parse(NOW).expect("a time"),
        expires_at: None,
    }
}

/// Our id of the message as it goes along with it.
pub(super) fn carried(message: &Message) -> String {
    super::mark::Mark::of(PUBLIC_URL).carry(message.task)
}

/// A request as it came over the wire.
#[derive(Debug)]
pub(super) struct Asked {
    /// Request line and headers, lines ended by CR LF.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// `POST /path HTTP/1.1`
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The value of a header, whatever the case of its name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// What the server says to one request: status, headers as lines without their end, body.
pub(super) type Said = (u16, &'static [&'static str], &'static str);

/// An HTTP/1.1 server that answers each request in turn, over however many connections, and keeps what it was asked. When it has no
/// answer left it closes the connection.
pub(super) struct Server {
    /// `http://127.0.0.1:port`
    pub(super) url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Server {
    pub(super) async fn answering(answers: &'static [Said]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (told, asked) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(answers.iter()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone(), told.clone()));
            }
        });
        Self { url, asked }
    }

    /// The next request that came.
    pub(super) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("the server runs")
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: Arc<Mutex<std::slice::Iter<'static, Said>>>,
    told: mpsc::UnboundedSender<Asked>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let _ = told.send(request);
        let next = answers.lock().expect("no panic").next();
        let Some((status, headers, body)) = next else { break };
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let answer = format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
}

/// One request whole, as the client here writes them: with a length. `None`: the connection was closed.
async fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut asked = Asked { head, body: Vec::new() };
        let length: usize = asked.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        if bytes.len() >= end + 4 + length {
            asked.body = bytes.split_off(end + 4);
            return Some(asked);
        }
    }
}
