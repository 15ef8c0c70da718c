//! `fanfare-load mock`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::receipts::ReceiptArgs;
use super::tally::Lateness;
use super::{Behaviour, Mock};
use crate::args;

/// Starts an HTTP endpoint, which speaks the APIs of providers, and an SMTP server; they count what they get.
#[derive(Debug, Clone, Args)]
pub(crate) struct MockArgs {
    /// Where webhooks and the control calls come in.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub(crate) http: String,
    /// Where mails come in.
    #[arg(long, default_value = "127.0.0.1:2525")]
    pub(crate) smtp: String,
    /// The time a delivery takes.
    #[arg(long, default_value = "0", value_parser = args::duration)]
    pub(crate) latency: Duration,
    /// The latency varies by up to this, up and down.
    #[arg(long, default_value = "0", value_parser = args::duration)]
    pub(crate) latency_jitter: Duration,
    /// The share of deliveries answered 503 or 451: try later.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) error_rate: f64,
    /// The share answered 429 or 454: too fast.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) throttle_rate: f64,
    /// The share answered 400 or 550: never.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) reject_rate: f64,
    /// The share never answered, and not taken.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) hang_rate: f64,
    /// The share taken, but cut off without an answer.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) reset_rate: f64,
    /// More of how a kind of provider behaves, as `kind:key=value,key=value` with the keys of `POST /behaviour`; the kind may be `all`.
    #[arg(long, value_name = "KIND:KEYS", value_parser = Behave::parse)]
    pub(crate) behave: Vec<Behave>,
    /// Take messages too that the real server would refuse; what is wrong with them still stands in the statistics.
    #[arg(long)]
    pub(crate) lenient: bool,
    /// What requests to AWS, Aliyun, DingTalk and Feishu are signed with: checks the values of signatures, not only their form.
    #[arg(long)]
    pub(crate) secret: Option<String>,
    #[command(flatten)]
    pub(crate) receipts: ReceiptArgs,
    /// The same seed gives the same errors, in the order of arrival.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Append each id to this file, and sync it, before its delivery is answered. Ids in it already are known again.
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// Act as a receiver that recognizes a repeated `webhook-id`: success, but no duplicate delivery.
    #[arg(long)]
    pub(crate) honour_ids: bool,
    /// Do not offer CHUNKING, so that mails come with DATA.
    #[arg(long)]
    pub(crate) no_chunking: bool,
    /// Keep a histogram of the time from the stamp in the message (`sent_at_us` in `data`) to its receipt.
    #[arg(long)]
    pub(crate) latency_from_body: bool,
    /// Keep each of those times as well, a million at most, for `GET /latencies`.
    #[arg(long, requires = "latency_from_body")]
    pub(crate) list_latencies: bool,
    /// Add up how many notifications the webhooks say that they stand for (`run --merge`).
    #[arg(long)]
    pub(crate) count_items: bool,
    /// Threads that serve. One is the most economical on a machine shared with the engine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// End when standard input ends: how a mock ends with the process that started it.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// A change of behaviour on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Behave {
    pub(crate) kind: Option<String>,
    pub(crate) keys: Map<String, Value>,
}

impl Behave {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, keys) = text.split_once(':').ok_or("write it as `fcm:error_rate=0.1,limit_per_second=500`")?;
        Ok(Self { kind: Some(kind.to_owned()), keys: args::keys(keys)? })
    }
}

impl MockArgs {
    pub(super) fn behaviour(&self) -> Result<Behaviour> {
        Behaviour {
            latency_us: self.latency.as_micros() as u64,
            latency_jitter_us: self.latency_jitter.as_micros() as u64,
            error_rate: self.error_rate,
            throttle_rate: self.throttle_rate,
            reject_rate: self.reject_rate,
            hang_rate: self.hang_rate,
            reset_rate: self.reset_rate,
            ..Behaviour::default()
        }
        .checked()
    }

    pub(super) fn lateness(&self) -> Result<Option<Lateness>> {
        self.latency_from_body.then(|| Lateness::new(self.list_latencies)).transpose()
    }

    /// Serves until SIGINT or SIGTERM, then prints what was counted.
    pub(crate) async fn run(self) -> Result<()> {
        let mock = Mock::start(&self).await?;
        println!("mock providers: http on {}, smtp on {}", mock.listen().http, mock.listen().smtp);
        if let Some(receipts) = &mock.receipts {
            println!("public key of SendGrid's receipts: {}", receipts.sendgrid_public_key());
        }
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_closed(), if self.until_stdin_closes => return Ok(()),
        }
        println!("{}", serde_json::to_string_pretty(&mock.stats())?);
        Ok(())
    }
}

/// On a thread of its own, since a read of standard input cannot be abandoned when a signal comes first.
async fn stdin_closed() {
    let (closed, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
        drop(closed);
    });
    let _ = wait.await;
}
