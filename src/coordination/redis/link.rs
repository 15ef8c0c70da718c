//! The connection to Redis, and when it counts as lost.
//!
//! Each question has a short limit. After [`FAILURES_MAX`] that were not answered in a row, or at once when the connection
//! breaks, the connection is thrown away and nobody asks any more: a question that waits for its limit would cost every
//! caller that long. A task in the background connects again, writes a key, and only then are questions asked again. The
//! crate's own connection manager is not used: after a refused password it never tries again, and it takes the first
//! answer of a Redis that cannot write for one that is well.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, ScriptInvocation};
use tokio::sync::Notify;

use super::metrics::{Operation, RedisMetrics};
use super::reach::{self, Unreachable};
use crate::clock::SharedClock;
use crate::config;

/// Questions without an answer, in a row, after which Redis counts as lost.
const FAILURES_MAX: u32 = 3;

/// How long after the loss, and after a try to come back, the next one follows: a Redis that answers now and then costs three
/// questions twice a second, and no more.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// To this question; the next may have one.
    Failed,
    /// Redis is lost: this node decides alone.
    Lost,
}

/// The connection to one Redis.
pub(super) struct Link {
    pub(super) client: redis::Client,
    pub(super) clock: SharedClock,
    /// What scripts go by; none: the clock of Redis, which is one for all nodes. Only tests give one, so that they can move it.
    script_clock: Option<SharedClock>,
    /// What every key starts with.
    prefix: String,
    timeout: Duration,
    metrics: RedisMetrics,
    state: Mutex<State>,
    /// Told when the connection is lost.
    lost: Notify,
}

/// Written by whoever asks and by the task that reconnects, in short turns.
#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections, so that a late failure of an old one does not harm the new one.
    connections: u64,
    failures: u32,
}

impl Link {
    /// Tries to connect once, and goes on trying in the background for as long as the keeper is held. Only an address that
    /// cannot be understood is an error: without Redis the node works alone.
    pub(super) async fn start(
        settings: &config::Redis,
        clock: SharedClock,
        script_clock: Option<SharedClock>,
    ) -> Result<(Arc<Self>, Keeper), Unreachable> {
        let link = Arc::new(Self {
            client: reach::client(settings)?,
            clock,
            script_clock,
            prefix: settings.prefix.clone(),
            timeout: settings.timeout,
            metrics: RedisMetrics::new(),
            state: Mutex::default(),
            lost: Notify::new(),
        });
        let reason = link.connect().await.err();
        if let Some(reason) = &reason {
            link.metrics.degraded(true);
            tell(reason);
        }
        let keeper = Keeper(tokio::spawn(keep(link.clone(), reason)).abort_handle());
        Ok((link, keeper))
    }

    /// Now, as scripts are told it: in microseconds, or empty for the clock of Redis.
    pub(super) fn script_time(&self) -> Option<String> {
        self.script_clock.as_ref().map(|clock| (clock.now().0 * 1000).to_string())
    }

    /// Counts a failure of what has a connection of its own.
    pub(super) fn count_failure(&self, operation: Operation) {
        self.metrics.failed(operation);
    }

    /// A key of ours.
    pub(super) fn key(&self, kind: &str, name: impl std::fmt::Display) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    /// Whether this node decides alone.
    pub(super) fn is_lost(&self) -> bool {
        self.state().connection.is_none()
    }

    /// Changes with each connection: what was decided alone before and after belongs to different outages.
    pub(super) fn connections(&self) -> u64 {
        self.state().connections
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue + Send>(
        &self,
        operation: Operation,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, NoAnswer> {
        let ask = |mut connection: MultiplexedConnection| async move { script.invoke_async(&mut connection).await };
        self.ask(operation, ask).await
    }

    /// Asks one question, within the limit.
    pub(super) async fn ask<T, F>(
        &self,
        operation: Operation,
        question: impl FnOnce(MultiplexedConnection) -> F + Send,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let (connection, number) = {
            let state = self.state();
            (state.connection.clone().ok_or(NoAnswer::Lost)?, state.connections)
        };
        let answer = tokio::time::timeout(self.timeout, question(connection)).await;
        if let Ok(Ok(answer)) = answer {
            let mut state = self.state();
            if state.connections == number {
                state.failures = 0;
            }
            return Ok(answer);
        }
        self.metrics.failed(operation);
        let reason = match answer {
            Ok(Err(error)) => reach::explain(&self.client, &error),
            _ => Unreachable::Late { address: reach::address(&self.client), limit: self.timeout },
        };
        Err(self.failed(number, &reason))
    }

    fn failed(&self, number: u64, reason: &Unreachable) -> NoAnswer {
        let mut state = self.state();
        if state.connections != number || state.connection.is_none() {
            return if state.connection.is_none() { NoAnswer::Lost } else { NoAnswer::Failed };
        }
        state.failures += 1;
        if state.failures < FAILURES_MAX && !reason.ends_the_connection() {
            return NoAnswer::Failed;
        }
        state.connection = None;
        drop(state);
        self.metrics.degraded(true);
        tell(reason);
        self.lost.notify_one();
        NoAnswer::Lost
    }

    async fn connect(&self) -> Result<(), Unreachable> {
        let connection = reach::connect(&self.client, &self.prefix, self.timeout).await?;
        let mut state = self.state();
        state.connection = Some(connection);
        state.connections += 1;
        state.failures = 0;
        drop(state);
        self.metrics.degraded(false);
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that reconnects; it ends with this.
pub(super) struct Keeper(tokio::task::AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Comes back to Redis whenever it is lost. A reason is told once, not twice a second.
async fn keep(link: Arc<Link>, mut told: Option<Unreachable>) {
    loop {
        if !link.is_lost() {
            link.lost.notified().await;
            link.clock.sleep(PROBE_INTERVAL).await;
            continue;
        }
        match link.connect().await {
            Ok(()) => {
                tracing::info!(
                    address = reach::address(&link.client),
                    "Redis answers again: nodes share rates and claims"
                );
                told = None;
            }
            Err(reason) => {
                if told.as_ref() != Some(&reason) {
                    tell(&reason);
                    told = Some(reason);
                }
                link.clock.sleep(PROBE_INTERVAL).await;
            }
        }
    }
}

fn tell(reason: &Unreachable) {
    if reason.wants_an_operator() {
        tracing::error!(%reason, "Redis cannot be used: this node decides alone, more carefully");
    } else {
        tracing::warn!(%reason, "Redis is lost: this node decides alone, more carefully, until it is back");
    }
}
