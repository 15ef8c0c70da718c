//! Where the mails end: takes them as SendGrid does, and keeps the addresses of their pixels and links.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::net::TcpListener;

/// A mail of the load has about two kilobytes.
const MAIL_BYTES_MAX: usize = 1 << 20;

/// What stands in one mail, as paths of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) task: String,
    pub(super) pixel: String,
    pub(super) links: Vec<String>,
}

/// The mails that came.
#[derive(Debug, Default)]
pub(super) struct Collector {
    mails: Mutex<Vec<Mail>>,
    /// How many came, and how many of them had nothing to be counted by.
    seen: Mutex<(u64, u64)>,
    /// Whether mails are kept; later ones are only counted.
    is_full: std::sync::atomic::AtomicBool,
}

impl Collector {
    /// Listens on a free port; its address.
    pub(super) async fn start() -> Result<(Arc<Self>, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let collector = Arc::new(Self::default());
        tokio::spawn(serve(listener, collector.clone()));
        Ok((collector, address))
    }

    /// How many came.
    pub(super) fn count(&self) -> u64 {
        lock(&self.seen).0
    }

    /// How many came without a pixel or a link.
    pub(super) fn untracked(&self) -> u64 {
        lock(&self.seen).1
    }

    /// Those that were kept; no further ones are.
    pub(super) fn kept(&self) -> Vec<Mail> {
        self.is_full.store(true, std::sync::atomic::Ordering::Relaxed);
        lock(&self.mails).clone()
    }

    fn take(&self, body: &[u8]) {
        let mail = Mail::read(body);
        let mut seen = lock(&self.seen);
        seen.0 += 1;
        seen.1 += u64::from(mail.is_none());
        if let Some(mail) = mail.filter(|_| !self.is_full.load(std::sync::atomic::Ordering::Relaxed)) {
            lock(&self.mails).push(mail);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mail {
    /// Of a call's body; `None`: nothing in it is counted.
    fn read(body: &[u8]) -> Option<Self> {
        let links: Vec<String> = memmem::find_iter(body, b"/t/c/").map(|at| path(&body[at..])).collect();
        let pixel = memmem::find(body, b"/t/o/").map(|at| path(&body[at..]))?;
        let task = memmem::find_iter(body, b"tsk_").find_map(|at| {
            let letters = body[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
            let task: String = letters.map(|byte| char::from(*byte)).collect();
            // A token may have these letters as well.
            (task.len() == TASK_LETTERS).then_some(task)
        })?;
        (!links.is_empty()).then_some(Self { task, pixel, links })
    }
}

/// Of a task's id.
const TASK_LETTERS: usize = 24;

/// To the end of the token.
fn path(body: &[u8]) -> String {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || b"/_-".contains(byte);
    body.iter().take_while(is_letter).map(|byte| char::from(*byte)).collect()
}

async fn serve(listener: TcpListener, collector: Arc<Collector>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it, small answers wait for the client's delayed ACK; a failure only costs latency.
        let _ = stream.set_nodelay(true);
        let collector = collector.clone();
        let service = service_fn(move |request| answer(collector.clone(), request));
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A client that goes away is its own business.
            let _ = connection.await;
        });
    }
}

async fn answer(collector: Arc<Collector>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match Limited::new(request.into_body(), MAIL_BYTES_MAX).collect().await {
        Ok(body) => {
            collector.take(&body.to_bytes());
            *response.status_mut() = StatusCode::ACCEPTED;
            let id = HeaderValue::from(collector.count());
            response.headers_mut().insert(HeaderName::from_static("x-message-id"), id);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_its_task_its_pixel_and_its_links() {
        let body = br#"{"custom_args":{"task":"tsk_0123456789abcdefghjk-1f"},"content":[{"value":"<a href=\"https://x/t/c/aB-_1\">a</a>
            <a href=\"https://x/t/c/2\">b</a><img src=\"https://x/t/o/Zz\" width=\"1\">"}]}"#;
        let links = vec!["/t/c/aB-_1".to_owned(), "/t/c/2".to_owned()];
        assert_eq!(
            Mail::read(body),
            Some(Mail { task: "tsk_0123456789abcdefghjk".into(), pixel: "/t/o/Zz".into(), links })
        );
        assert_eq!(Mail::read(br#"{"content":"plain"}"#), None);
    }
}
