//! Opens and clicks, as the pixel and the links of a mail tell of them.
//!
//! In: what a token says, and how it was asked for. Out: rows of events. Promise: what [`Tracker`] says is noted is durable; nobody waits
//! longer than [`WAIT_MAX`] for it, and nothing of it holds up a send: what finds no place in time is counted as `unrecorded`.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

use super::receipts::{Early, Occasion, OccasionFate, OccasionNoted, ReceiptDesk, occasion};
use super::together::{NoAnswer, Together};
use crate::clock::SharedClock;
use crate::config::Machines;
use crate::domain::{Event, EventKind, TaskId};
use crate::links::{ClickLink, TrackedMail};
use crate::telemetry::CounterMetric;

/// Worry when `unrecorded` grows: the store does not keep up. `forged` is somebody who guesses, or an old secret that was removed.
const TRACKING: CounterMetric<2> = CounterMetric::new(
    "fanfare_tracking_total",
    "Pixels and links of mails that were asked for, by kind (open, click) and what became of it.",
    ["kind", "outcome"],
);

/// The longest that somebody waits for the store before they are let through.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Groups under way at once: with one alone, who comes just too late would wait for two commits; with more they are smaller, and each
/// costs a read and a write of its own.
const TURNS: usize = 2;
/// Opens and clicks that are noted together.
const GROUP_MAX: usize = 256;
/// Of those that wait: two seconds' worth at 5,000 a second, some 2 MB.
const WAITING_MAX: usize = 10_000;
/// Times that are noted of one message and kind: more is a loop, and says nothing that is not known.
const TIMES_MAX: u8 = 100;
/// Messages of whom it is remembered how often; twice as many at most, some 8 MB. Who is forgotten may be noted as often again.
const REMEMBERED: usize = 64 * 1024;

/// How a pixel or a link was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// What the program calls itself; `None`: nothing.
    pub user_agent: Option<&'a str>,
    /// The content was not asked for (`HEAD`), or before anybody wants to see it (`Sec-Purpose: prefetch`).
    pub is_look_ahead: bool,
}

/// Notes opens and clicks, those of many callers together.
pub struct Tracker {
    desk: Arc<ReceiptDesk>,
    clock: SharedClock,
    machines: Machines,
    together: Together<Occasion, Result<OccasionNoted, ()>>,
    times: Mutex<Times>,
    /// Another in each process, and the next time's number: both tell one time from all others.
    process: u64,
    next: AtomicU64,
}

/// What is counted for itself: so programs use up nothing of what a person may do.
type Kind = (TaskId, EventKind, bool);

/// How often something was noted. Two generations, so that what is forgotten is what was not seen for longest.
#[derive(Default)]
struct Times {
    young: HashMap<Kind, u8>,
    old: HashMap<Kind, u8>,
}

impl Times {
    /// Whether it may be noted once more.
    fn admit(&mut self, key: Kind) -> bool {
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or_default();
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        let may = known < TIMES_MAX;
        self.young.insert(key, known + u8::from(may));
        may
    }
}

impl Tracker {
    /// `process`: a number that no other process has.
    pub fn new(desk: Arc<ReceiptDesk>, clock: SharedClock, machines: &Machines, process: u64) -> Self {
        let user_agents = machines.user_agents.iter().map(|part| part.trim().to_ascii_lowercase()).collect();
        Self {
            desk,
            clock,
            machines: Machines { user_agents, within: machines.within },
            together: Together::new(TURNS, GROUP_MAX, WAITING_MAX),
            times: Mutex::default(),
            process,
            next: AtomicU64::default(),
        }
    }

    /// Somebody, or something, looked at a mail. What is given back need not wait any more.
    pub async fn opened(&self, mail: TrackedMail, visit: Visit<'_>) -> Vec<Early> {
        self.note(mail, EventKind::Opened, None, visit).await
    }

    /// The same of a link that was followed.
    pub async fn clicked(&self, link: &ClickLink, visit: Visit<'_>) -> Vec<Early> {
        // The rest of an address may be personal.
        let url = url::Url::parse(&link.target).ok();
        let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let reason = format!("link {} ({host})", link.ordinal);
        self.note(link.mail.clone(), EventKind::Clicked, Some(reason.into()), visit).await
    }

    /// Counts a token that was not made here.
    pub fn forged(&self, kind: EventKind) {
        count(kind, "forged");
    }

    async fn note(&self, mail: TrackedMail, kind: EventKind, reason: Option<Box<str>>, visit: Visit<'_>) -> Vec<Early> {
        let now = self.clock.now();
        let mut event = Event::new(mail.task, Event::NO_ATTEMPT, kind, now);
        event.by_machine = self.is_machine(visit, now.since(mail.made_at));
        let key = (mail.task, kind, event.by_machine);
        if !self.times.lock().unwrap_or_else(PoisonError::into_inner).admit(key) {
            count(kind, "capped");
            return Vec::new();
        }
        event.reason = reason;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        event.occasion = occasion(&[self.process.to_be_bytes(), number.to_be_bytes()].concat());
        let by_machine = event.by_machine;
        let one = Occasion { tenant: mail.tenant, event };
        match tokio::time::timeout(WAIT_MAX, self.noted(one)).await {
            Ok(Some(OccasionNoted { fate, early })) => {
                count(
                    kind,
                    match fate {
                        OccasionFate::Noted if by_machine => "machine",
                        OccasionFate::Noted => "person",
                        OccasionFate::Gone => "gone",
                        OccasionFate::Erased => "erased",
                    },
                );
                early
            }
            Ok(None) | Err(_) => {
                count(kind, "unrecorded");
                Vec::new()
            }
        }
    }

    /// `None`: it could not be noted.
    async fn noted(&self, one: Occasion) -> Option<OccasionNoted> {
        loop {
            match self.together.ask(one.clone(), |group| write(&self.desk, group)).await {
                Ok(noted) => return noted.ok(),
                Err(NoAnswer::Full) => return None,
                // The same time once more is the same row.
                Err(NoAnswer::Lost) => {}
            }
        }
    }

    /// `after`: so long after the send; a clock that is behind says that it was before it, which is soon, too.
    fn is_machine(&self, visit: Visit<'_>, after: Duration) -> bool {
        let is_instant = !self.machines.within.is_zero() && after < self.machines.within;
        visit.is_look_ahead || is_instant || visit.user_agent.is_none_or(|name| self.is_named_machine(name))
    }

    /// Browsers and mail programs all say what they are.
    fn is_named_machine(&self, user_agent: &str) -> bool {
        let name = user_agent.trim().to_ascii_lowercase();
        name.is_empty() || self.machines.user_agents.iter().any(|part| name.contains(part.as_str()))
    }
}

async fn write(desk: &ReceiptDesk, group: Vec<Occasion>) -> Vec<Result<OccasionNoted, ()>> {
    let count = group.len();
    let noted = AssertUnwindSafe(desk.occasions(group)).catch_unwind().await;
    match noted {
        Ok(Ok(noted)) => noted.into_iter().map(Ok).collect(),
        Ok(Err(error)) => {
            tracing::warn!(%error, count, "opens and clicks could not be noted");
            vec![Err(()); count]
        }
        // The panic itself was logged by its hook.
        Err(_) => vec![Err(()); count],
    }
}

fn count(kind: EventKind, outcome: &'static str) {
    let kind = if kind == EventKind::Clicked { "click" } else { "open" };
    TRACKING.with([kind, outcome]).increment(1);
}
