//! Receipts: what becomes of a message after it was taken, posted to the engine as each provider posts it, signed as it signs. In: messages
//! taken. Out: POSTs to `/v1/providers/NAME/receipts`, at their times and with their faults. `plan` decides, `letter` writes
//! and signs, `post` keeps the times and posts. SES is left out: its signature needs a certificate from amazonaws.com.

mod plan;
mod letter;
mod post;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{self, Sender};

use super::kinds::{Delivery, Kind};
use crate::args;
use crate::clock::now_us;
use crate::http_client::Url;
use letter::Keys;
use plan::Plan;

/// Receipts that wait to be seen by the one who keeps the times. Above it they are dropped, and counted.
const QUEUE_MAX: usize = 65_536;

/// How receipts are sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReceiptArgs {
    /// Post receipts to this engine, at `/v1/providers/NAME/receipts`.
    #[arg(long, value_name = "URL", value_parser = Url::parse)]
    pub(crate) receipts: Option<Url>,
    /// What becomes of messages: `delivered=0.9,bounced=0.05,opened=0.3,lost=0.01,doubled=0.05,disordered=0.05,early=0.05,late=0.1,delay_ms=100,late_ms=30000,early_ms=50`.
    #[arg(long, value_name = "KEYS", default_value = "", value_parser = args::keys)]
    pub(crate) receipt_plan: Map<String, Value>,
    /// The engine's name for a provider, where it is not its kind: `sendgrid=mail-main`.
    #[arg(long, value_name = "KIND=NAME", default_value = "", value_parser = args::keys)]
    pub(crate) receipt_names: Map<String, Value>,
    /// A file with the private key of SendGrid's receipts, as PKCS8 in DER or PEM; without it one is made.
    #[arg(long, value_name = "FILE")]
    pub(crate) sendgrid_key: Option<std::path::PathBuf>,
    /// What Twilio's receipts are signed with: the engine's `password`.
    #[arg(long, default_value = "mock")]
    pub(crate) twilio_token: String,
    /// What Mailgun's receipts are signed with: the engine's `receipt_secret`.
    #[arg(long, default_value = "mock")]
    pub(crate) mailgun_key: String,
    /// The secret in the address of Aliyun's receipts: the engine's `receipt_secret`.
    #[arg(long, default_value = "mock")]
    pub(crate) aliyun_secret: String,
}

/// Plans receipts for what is taken, and counts what became of them.
pub(super) struct Receipts {
    plan: Plan,
    queue: Sender<Event>,
    counts: Arc<Counts>,
    public_key: String,
}

/// What became of receipts; written by who plans and who posts, read by `GET /stats`.
#[derive(Default)]
pub(super) struct Counts {
    planned: AtomicU64,
    /// Left out on purpose.
    lost: AtomicU64,
    doubled: AtomicU64,
    /// There was no room.
    dropped: AtomicU64,
    posted: AtomicU64,
    unanswered: AtomicU64,
    /// Posted once more, since the answer was no success.
    repeated: AtomicU64,
    /// Answers by the hundred of their status.
    answered: [AtomicU64; 6],
}

impl Counts {
    fn named(&self) -> [(&'static str, &AtomicU64); 7] {
        [
            ("planned", &self.planned),
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("dropped", &self.dropped),
            ("posted", &self.posted),
            ("unanswered", &self.unanswered),
            ("repeated", &self.repeated),
        ]
    }
}

/// What a receipt tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// On its way: `processed`, `sent`.
    Underway,
    Delivered,
    Bounced,
    Opened,
}

/// One receipt, to be posted when it is due.
#[derive(Debug, Clone)]
pub(super) struct Event {
    due: Instant,
    kind: Kind,
    what: What,
    /// The number of the message.
    number: u64,
    task: Option<String>,
    recipient: String,
    callback: Option<String>,
    /// When it happened, in seconds since 1970.
    at_s: u64,
    tries: u8,
}

impl ReceiptArgs {
    /// Starts to post, if there is an engine to post to.
    pub(super) fn start(&self) -> Result<Option<Receipts>> {
        let Some(url) = &self.receipts else { return Ok(None) };
        for kind in self.receipt_names.keys() {
            ensure!(Kind::named(kind).is_some(), "`--receipt-names`: there is no kind `{kind}`");
        }
        let plan = Plan::new(&self.receipt_plan).context("cannot read `--receipt-plan`")?;
        let keys = Keys::new(self).context("cannot make the keys of receipts")?;
        let public_key = keys.sendgrid_public_key();
        let counts = Arc::new(Counts::default());
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        post::start(url, keys, events, &queue, &counts);
        Ok(Some(Receipts { plan, queue, counts, public_key }))
    }
}

impl Receipts {
    /// In base64, as SendGrid shows it and the engine's `receipt_secret` wants it.
    pub(super) fn sendgrid_public_key(&self) -> &str {
        &self.public_key
    }

    /// Plans the receipts of a message that was taken. Answers how long its own answer is to wait, so that a receipt comes before it.
    /// `is_bounced`: whatever the plan says.
    pub(super) fn plan(&self, kind: Kind, delivery: &Delivery, number: u64, roll: u64, is_bounced: bool) -> Duration {
        if !plan::has_receipts(kind, delivery) {
            return Duration::ZERO;
        }
        let course = if is_bounced { self.plan.bounced() } else { self.plan.clone() }.course(kind, roll);
        self.counts.lost.fetch_add(course.lost, Relaxed);
        self.counts.doubled.fetch_add(course.doubled, Relaxed);
        let (now, now_s) = (Instant::now(), now_us() / 1_000_000);
        for (what, delay) in course.events {
            let event = Event {
                due: now + delay,
                kind,
                what,
                number,
                task: delivery.id.as_ref().map(|id| String::from_utf8_lossy(id).into_owned()),
                recipient: delivery.recipient.clone(),
                callback: delivery.callback.clone(),
                at_s: now_s + delay.as_secs(),
                tries: 0,
            };
            self.counts.planned.fetch_add(1, Relaxed);
            if self.queue.try_send(event).is_err() {
                self.counts.dropped.fetch_add(1, Relaxed);
            }
        }
        course.answer_after
    }

    /// Forgets what was counted; what is on its way stays so.
    pub(super) fn clear(&self) {
        let named = self.counts.named().map(|(_, count)| count);
        named.into_iter().chain(&self.counts.answered).for_each(|count| count.store(0, Relaxed));
    }

    pub(super) fn stats(&self) -> BTreeMap<String, u64> {
        let counts = &self.counts;
        let named = counts.named().into_iter().map(|(name, count)| (name.to_owned(), count));
        let answered =
            counts.answered.iter().enumerate().map(|(hundred, count)| (format!("answered_{hundred}xx"), count));
        named.chain(answered).map(|(name, count)| (name, count.load(Relaxed))).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests;
