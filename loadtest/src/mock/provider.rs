//! A message for one of the APIs: read, checked, decided upon, counted, answered; and, where it is taken, its receipts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use hyper::Request;
use hyper::body::Incoming;

use super::behaviour::{HANG_MAX, Temper, Verdict};
use super::http::{Answer, Hangup, garbage, huge, read, redirect, text};
use super::kinds::{Call, Delivery, Kind, Said, Tokens};
use super::{Behaviour, Mock, Taken};

/// The largest message that is kept to be read: that of SES with its encoding.
const MESSAGE_BYTES_MAX: usize = 48 << 20;

/// The most of a refusal that is kept to be shown.
const REFUSAL_CHARS_MAX: usize = 200;

/// All providers of the mock: for each kind how it behaves and what it got.
pub(super) struct Providers {
    pub(super) tokens: Tokens,
    each: [Provider; Kind::ALL.len()],
    /// Numbers the messages taken.
    taken: AtomicU64,
    /// The last request that was refused because it was wrong, for whoever wrote it.
    refusal: Mutex<Option<String>>,
}

struct Provider {
    temper: Temper,
    requests: AtomicU64,
    repeated: AtomicU64,
    /// Refused because the request itself was wrong, whatever the dice said.
    invalid: AtomicU64,
    verdicts: [AtomicU64; Verdict::ALL.len()],
}

impl Providers {
    /// Each kind has dice of its own, so that what happens to one does not depend on the traffic of another.
    pub(super) fn new(behaviour: &Behaviour, seed: u64) -> Self {
        let provider = |kind: Kind| Provider {
            temper: Temper::new(behaviour.clone(), seed ^ ((kind as u64 + 1) << 32)),
            requests: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            invalid: AtomicU64::new(0),
            verdicts: [const { AtomicU64::new(0) }; Verdict::ALL.len()],
        };
        Self {
            tokens: Tokens::default(),
            each: Kind::ALL.map(provider),
            taken: AtomicU64::new(0),
            refusal: Mutex::new(None),
        }
    }

    pub(super) fn temper(&self, kind: Kind) -> &Temper {
        &self.each[kind as usize].temper
    }

    /// The counts of the kinds that got something, by what became of it.
    pub(super) fn stats(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut stats = BTreeMap::new();
        for (kind, provider) in Kind::ALL.into_iter().zip(&self.each) {
            let verdicts = Verdict::ALL.into_iter().map(|verdict| verdict.name()).zip(&provider.verdicts);
            let others =
                [("requests", &provider.requests), ("repeated", &provider.repeated), ("invalid", &provider.invalid)];
            let counts = others.into_iter().chain(verdicts).map(|(name, count)| (name.to_owned(), count.load(Relaxed)));
            let counts: BTreeMap<String, u64> = counts.filter(|(_, count)| *count > 0).collect();
            if !counts.is_empty() {
                stats.insert(kind.name().to_owned(), counts);
            }
        }
        stats
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        for provider in &self.each {
            let counts = [&provider.requests, &provider.repeated, &provider.invalid];
            counts.into_iter().chain(&provider.verdicts).for_each(|count| count.store(0, Relaxed));
        }
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A request that a real server would refuse.
    fn refuse(&self, kind: Kind, said: &Said) {
        self.each[kind as usize].invalid.fetch_add(1, Relaxed);
        let refusal: String = format!("{}: {said:?}", kind.name()).chars().take(REFUSAL_CHARS_MAX).collect();
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }
}

/// Gives out an access token.
pub(super) async fn token(mock: &Mock, kind: Kind, request: Request<Incoming>) -> Result<Answer, Hangup> {
    let (head, body) = request.into_parts();
    let body = read(body, MESSAGE_BYTES_MAX).await?;
    Ok(mock.providers.tokens.give(kind, &Call { head: &head, body: &body, secret: mock.secret.as_deref() }))
}

pub(super) async fn deliver(mock: &Mock, kind: Kind, request: Request<Incoming>) -> Result<Answer, Hangup> {
    let provider = &mock.providers.each[kind as usize];
    mock.http.requests.fetch_add(1, Relaxed);
    provider.requests.fetch_add(1, Relaxed);
    let (head, body) = request.into_parts();
    let body = read(body, MESSAGE_BYTES_MAX).await?;
    let call = Call { head: &head, body: &body, secret: mock.secret.as_deref() };
    let delivery = match kind.read(&call, &mock.providers.tokens) {
        Ok(delivery) => delivery,
        Err(said) => {
            mock.providers.refuse(kind, &said);
            if !mock.is_lenient {
                mock.http.rejected.fetch_add(1, Relaxed);
                return Ok(kind.say(&said, &Delivery::default()));
            }
            Delivery::unread(&call)
        }
    };
    let fate = provider.temper.decide(&delivery.recipient);
    provider.verdicts[fate.verdict as usize].fetch_add(1, Relaxed);
    let mut latency = fate.latency;
    let mut number = 0;
    let is_bounced = fate.verdict == Verdict::Dead && kind.tells_death_later();
    if (fate.verdict.takes() || is_bounced) && !delivery.is_trial {
        if let Some(lateness) = &mock.lateness {
            lateness.record(&body);
        }
        let taken = mock.take_message(delivery.id.as_deref(), delivery.is_once).await;
        if taken == Taken::Full {
            return Ok(text(hyper::StatusCode::INSUFFICIENT_STORAGE, "the mock holds as many ids as it can\n"));
        }
        if let Some(items) = &mock.items {
            items.record(&body, taken != Taken::Counted);
        }
        if taken == Taken::Repeated {
            provider.repeated.fetch_add(1, Relaxed);
        }
        number = mock.providers.taken.fetch_add(1, Relaxed) + 1;
        if let Some(receipts) = mock.receipts.as_ref().filter(|_| taken != Taken::Deduplicated) {
            latency += receipts.plan(kind, &delivery, number, fate.roll, is_bounced);
        }
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (counter, said) = match fate.verdict {
        Verdict::Accept => return Ok(kind.say(&Said::Taken(number), &delivery)),
        Verdict::Dead if is_bounced => return Ok(kind.say(&Said::Taken(number), &delivery)),
        Verdict::Garbage => return Ok(garbage()),
        Verdict::Huge => return Ok(huge()),
        Verdict::Fail => (&mock.http.errors_injected, Said::Failing),
        Verdict::Throttle => (&mock.http.throttled, Said::TooFast(fate.retry_after_s)),
        Verdict::Reject => (&mock.http.rejected, Said::Invalid("".into())),
        Verdict::Unauthorized => (&mock.http.rejected, Said::NoAccess("".into())),
        Verdict::Dead => (&mock.http.rejected, Said::Dead(fate.roll)),
        Verdict::Redirect => {
            mock.http.rejected.fetch_add(1, Relaxed);
            return Ok(redirect());
        }
        Verdict::Reset => {
            mock.http.resets.fetch_add(1, Relaxed);
            return Err(Hangup);
        }
        Verdict::Hang => {
            mock.http.hung.fetch_add(1, Relaxed);
            tokio::time::sleep(HANG_MAX).await;
            return Err(Hangup);
        }
    };
    counter.fetch_add(1, Relaxed);
    Ok(kind.say(&said, &delivery))
}
