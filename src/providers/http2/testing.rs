//! An HTTP/2 server for tests, without TLS, that answers as it is told.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use crate::providers::testing::{Asked, Said};

/// Answers each request in turn, over however many connections, and keeps what it was asked. When it has no answer left it says 500.
pub(in crate::providers) struct Http2Server {
    /// `http://127.0.0.1:port`
    pub(in crate::providers) url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    state: Arc<State>,
}

struct State {
    answers: Mutex<std::slice::Iter<'static, Said>>,
    told: mpsc::UnboundedSender<Asked>,
    /// A permit for each answer that may be given.
    may_answer: Semaphore,
    connections: AtomicUsize,
}

impl Http2Server {
    pub(in crate::providers) async fn answering(answers: &'static [Said]) -> Self {
        let server = Self::holding(answers, 200).await;
        server.release(10_000);
        server
    }

    /// Gives no answer before it is told to; allows as many streams at once.
    pub(in crate::providers) async fn holding(answers: &'static [Said], streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (told, asked) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            answers: Mutex::new(answers.iter()),
            told,
            may_answer: Semaphore::new(0),
            connections: AtomicUsize::new(0),
        });
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                state.connections.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(move |request| answer(state.clone(), request));
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(streams);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { url, asked, state }
    }

    /// Lets it give as many answers.
    pub(in crate::providers) fn release(&self, answers: usize) {
        self.state.may_answer.add_permits(answers);
    }

    /// Connections that were opened so far.
    pub(in crate::providers) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The next request that came.
    pub(in crate::providers) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("the server runs")
    }

    /// A request that came already.
    pub(in crate::providers) fn asked_already(&mut self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} {:?}\r\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    // One that is reset before its end was never asked.
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let _ = state.told.send(Asked { head: text, body: body.to_bytes().to_vec() });
    state.may_answer.acquire().await.expect("never closed").forget();
    let said = state.answers.lock().expect("no panic").next().copied();
    let (status, headers, body) = said.unwrap_or((500, &[], ""));
    let mut response = Response::builder().status(status);
    for line in headers {
        let (name, value) = line.split_once(": ").expect("a header");
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("an answer"))
}
