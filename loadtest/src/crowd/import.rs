//! Many lines by the calls that take them: users, followers. Each call has some thousand lines, and several are under way at once; one that
//! was not answered, or answered 503, is made again, which changes nothing about what was taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::api::{Api, LINES};
use crate::http_client::Server;
use crate::progress::Progress;

/// As many as are taken within the time that a call may take, on a slow machine too.
const LINES_PER_CALL: u64 = 5_000;

/// Calls under way: the engine takes two imports at once.
const CONNECTIONS: usize = 2;

const TRIES_MAX: usize = 600;
const TRY_AGAIN: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A line by its number, with its line feed.
pub(super) type WriteLine = Arc<dyn Fn(u64, &mut String) + Send + Sync>;

/// What is to be sent where.
#[derive(Clone)]
pub(super) struct Import {
    pub(super) server: Server,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) count: u64,
    pub(super) write_line: WriteLine,
}

impl Import {
    /// Returns when all lines are taken: how long that took. A line that is refused is an error.
    pub(super) async fn run(self, what: &str, progress: &mut Progress) -> Result<Duration> {
        let began = Instant::now();
        let (next, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut calls = JoinSet::new();
        for _ in 0..CONNECTIONS {
            calls.spawn(self.clone().send(next.clone(), taken.clone()));
        }
        loop {
            let ended = tokio::time::timeout(LOOK_EVERY, calls.join_next()).await;
            match ended {
                Ok(None) => break,
                Ok(Some(ended)) => ended.context("an import broke off")??,
                Err(_) => {}
            }
            let done = taken.load(Relaxed);
            progress.show(done as f64 / self.count.max(1) as f64, &format!("{what}: {done} of {}", self.count));
        }
        progress.finish();
        Ok(began.elapsed())
    }

    async fn send(self, next: Arc<AtomicU64>, taken: Arc<AtomicU64>) -> Result<()> {
        let mut api = Api::new(&self.server);
        loop {
            let first = next.fetch_add(LINES_PER_CALL, Relaxed);
            if first >= self.count {
                return Ok(());
            }
            let end = (first + LINES_PER_CALL).min(self.count);
            let mut text = String::new();
            (first..end).for_each(|number| (self.write_line)(number, &mut text));
            self.call(&mut api, text.into(), end - first).await?;
            taken.fetch_add(end - first, Relaxed);
        }
    }

    async fn call(&self, api: &mut Api, body: Bytes, lines: u64) -> Result<()> {
        for _ in 0..TRIES_MAX {
            match api.send(self.method.clone(), &self.path, LINES, body.clone(), None).await {
                Ok(answer) if answer.status.is_success() => return check(&answer.body, lines),
                Ok(answer) if answer.status.as_u16() == 503 => {}
                Ok(answer) => {
                    bail!("`{}` answers {}: {}", self.path, answer.status, String::from_utf8_lossy(&answer.body))
                }
                Err(_) => {}
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        bail!("`{}` takes no import", self.path)
    }
}

/// The last line of an answer.
#[derive(Deserialize)]
struct Last {
    #[serde(default)]
    done: bool,
    #[serde(default)]
    taken: u64,
}

/// Whether all lines were taken.
fn check(answer: &[u8], lines: u64) -> Result<()> {
    let text = String::from_utf8_lossy(answer);
    let last = text.trim_end().lines().next_back().unwrap_or_default();
    let read: Last = serde_json::from_str(last).with_context(|| format!("an import ended with `{last}`"))?;
    ensure!(read.done && read.taken == lines, "of {lines} lines not all were taken: {text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_counts_when_it_came_to_its_end_and_took_all() {
        let whole = b"{\"lines\":10000,\"taken\":10000,\"refused\":0}\n{\"done\":true,\"lines\":12000,\"taken\":12000,\"refused\":0}\n";
        assert!(check(whole, 12_000).is_ok());
        for broken in [
            &b"{\"done\":true,\"lines\":3,\"taken\":2,\"refused\":1}\n"[..],
            b"{\"error\":{\"title\":\"x\"},\"lines\":3,\"taken\":3}\n",
            b"",
        ] {
            assert!(check(broken, 3).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }
}
