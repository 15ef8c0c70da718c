//! `Idempotency-Key`: the same key and body answer the same result.
//!
//! For notifications the key travels with the request, and the door and the store answer for it ([`crate::intake`]); for a
//! batch there is one key more, for the batch as a whole, which the first item that is new carries. The
//! other POSTs, replays, do a thing once by nature; here their answers are kept for a while, so that a retry is told the
//! same and not that it came too late. That memory is bounded and ends with the process (docs/decisions/0010).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::problem::{Kind, Problem};
use crate::clock::SharedClock;
use crate::domain::{ClaimKey, Idempotency, Timestamp};
use crate::intake::{hashed_key, limits};

/// The header, hashed with whose it is and what it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryKey {
    base: u128,
    body_hash: u64,
}

impl RetryKey {
    /// The key of a request, if it has one.
    pub(super) fn read(headers: &HeaderMap, tenant: &str, call: &str, body: &[u8]) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let value = value.as_bytes();
        if value.is_empty() || value.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
            let detail = format!("`Idempotency-Key` must have 1 to {} bytes", limits::IDEMPOTENCY_KEY_BYTES_MAX);
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        Ok(Some(Self { base: hashed_key(tenant, call, value), body_hash: xxh3_64(body) }))
    }

    /// The same key with a body that is known only now.
    pub(super) fn with_body(self, body_hash: u64) -> Self {
        Self { body_hash, ..self }
    }

    /// The key as a number, for what is told apart by it wherever it is kept.
    pub(super) fn number(self) -> u128 {
        self.base
    }

    /// The key of one item of a batch. The hashes of two headers are as far apart as two random numbers, so that no batch
    /// reaches from one to the other.
    pub(super) fn item(self, index: usize) -> Idempotency {
        self.at(self.base.wrapping_add(index as u128))
    }

    /// A name for one thing of a batch, another one for each key and each place, and the same whenever the batch comes again.
    pub(super) fn name(self, index: usize) -> String {
        format!("{:032x}-{index}", self.base)
    }

    /// Over the body.
    pub(super) fn body_hash(self) -> u64 {
        self.body_hash
    }

    /// The key of a batch as a whole.
    pub(super) fn batch(self) -> Idempotency {
        self.at(self.base.wrapping_sub(1))
    }

    fn at(self, key: u128) -> Idempotency {
        Idempotency { key: ClaimKey(key), body_hash: self.body_hash, batch: None }
    }
}

/// Answers kept at once, each below a kilobyte.
const ANSWERS_MAX: usize = 4096;
/// How long an answer is kept at most.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers that were given under a key.
pub(super) struct Answers {
    clock: SharedClock,
    kept: Mutex<HashMap<u128, Answer>>,
}

struct Answer {
    body_hash: u64,
    at: Timestamp,
    body: Bytes,
}

impl Answers {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// What was answered before under this key.
    pub(super) fn find(&self, key: RetryKey) -> Result<Option<Bytes>, Problem> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        match kept.get(&key.base).filter(|answer| now.since(answer.at) < ANSWER_AGE_MAX) {
            Some(answer) if answer.body_hash != key.body_hash => {
                Err(Problem::new(Kind::Conflict, "this `Idempotency-Key` was used before with another body"))
            }
            answer => Ok(answer.map(|answer| answer.body.clone())),
        }
    }

    /// Whether something was answered before under this key, with whatever body.
    pub(super) fn is_known(&self, key: RetryKey) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        kept.get(&key.base).is_some_and(|answer| now.since(answer.at) < ANSWER_AGE_MAX)
    }

    pub(super) fn keep(&self, key: RetryKey, body: Bytes) {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ANSWERS_MAX {
            // The older half goes; rare enough to sort for it.
            let mut times: Vec<Timestamp> = kept.values().map(|answer| answer.at).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            kept.retain(|_, answer| answer.at > middle);
        }
        if kept.len() < ANSWERS_MAX {
            kept.insert(key.base, Answer { body_hash: key.body_hash, at: now, body });
        }
    }
}
