//! Mock providers: an HTTP endpoint and an SMTP server that take what an engine delivers, count it by id, and behave
//! as badly as they are told to. In: webhooks, mails and calls of the providers' APIs (`kinds`), and the control calls of `http`. Out: [`Stats`], and the ids
//! themselves, so that a lost one can be named. Promised: a delivery is counted (and, with a journal, on the disk)
//! before it is answered.

mod command;
mod behaviour;
mod limit;
mod provider;
mod kinds;
mod receipts;
mod tally;
mod ids;
mod items;
mod journal;
mod stats;
mod http;
mod control;
mod smtp;

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

pub(crate) use behaviour::Behaviour;
pub(crate) use command::MockArgs;
pub(crate) use items::ITEMS;
pub(crate) use kinds::Kind;
pub(crate) use stats::{ChannelStats, LatencyStats, Listen, Stats};
pub(crate) use tally::STAMP;

use behaviour::Temper;
use items::Items;
use journal::Journal;
use provider::Providers;
use receipts::Receipts;
use tally::{Lateness, Taken, Tally};

/// The most connections served at once, each for HTTP and SMTP; more wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;

/// What one mock knows and how it behaves; shared by all its connections.
pub(crate) struct Mock {
    http: Tally,
    smtp: Tally,
    /// Of webhooks and mails.
    temper: Temper,
    providers: Providers,
    receipts: Option<Receipts>,
    lateness: Option<Lateness>,
    items: Option<Items>,
    journal: Option<Journal>,
    honour_ids: bool,
    is_lenient: bool,
    /// What providers' signatures are made with.
    secret: Option<String>,
    offers_chunking: bool,
    listen: Listen,
}

impl Mock {
    /// Listens on both addresses and serves until the runtime ends.
    pub(crate) async fn start(args: &MockArgs) -> Result<Arc<Self>> {
        let http = listener(&args.http).await?;
        let smtp = listener(&args.smtp).await?;
        let (http_tally, smtp_tally) = (Tally::new(), Tally::new());
        let journal = match &args.journal {
            None => None,
            Some(path) => Some(Journal::open(path, |kind, id| {
                let tally = if kind == b"http" { &http_tally } else { &smtp_tally };
                tally.take(Some(id), args.honour_ids);
            })?),
        };
        let behaviour = args.behaviour()?;
        let mock = Arc::new(Self {
            http: http_tally,
            smtp: smtp_tally,
            temper: Temper::new(behaviour.clone(), args.seed),
            providers: Providers::new(&behaviour, args.seed),
            receipts: args.receipts.start()?,
            lateness: args.lateness()?,
            items: args.count_items.then(Items::new),
            journal,
            honour_ids: args.honour_ids,
            is_lenient: args.lenient,
            secret: args.secret.clone(),
            offers_chunking: !args.no_chunking,
            listen: Listen { http: http.local_addr()?.to_string(), smtp: smtp.local_addr()?.to_string() },
        });
        for change in &args.behave {
            mock.change(change.kind.as_deref(), &change.keys)?;
        }
        tokio::spawn(http::serve(http, Arc::clone(&mock)));
        tokio::spawn(smtp::serve(smtp, Arc::clone(&mock)));
        Ok(mock)
    }

    pub(crate) fn listen(&self) -> &Listen {
        &self.listen
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            http: self.http.stats(),
            smtp: self.smtp.stats(),
            latency: self.lateness.as_ref().map(Lateness::stats),
            items: self.items.as_ref().map(Items::sum),
            items_repeated: self.items.as_ref().map_or(0, Items::repeated),
            behaviour: self.temper.current(),
            providers: self.providers.stats(),
            refusal: self.providers.refusal(),
            receipts: self.receipts.as_ref().map(Receipts::stats),
            listen: self.listen.clone(),
        }
    }

    /// Changes how one kind behaves (`webhook` and `smtp` are one), or all; answers what is in force then.
    fn change(&self, kind: Option<&str>, change: &Map<String, Value>) -> Result<Behaviour> {
        match kind {
            None | Some("all") => {
                let behaviour = self.temper.change(change)?;
                for kind in Kind::ALL {
                    self.providers.temper(kind).change(change)?;
                }
                Ok(behaviour)
            }
            Some("webhook" | "smtp") => self.temper.change(change),
            Some(name) => {
                let known = || format!("there is no kind `{name}`; there are {}", Kind::ALL.map(Kind::name).join(", "));
                self.providers.temper(Kind::named(name).with_context(known)?).change(change)
            }
        }
    }

    /// The stamp of each message and how late it was, in microseconds, one a line.
    fn latencies(&self) -> String {
        self.lateness.as_ref().map_or_else(String::new, Lateness::lines)
    }

    /// Forgets all counts and ids; the behaviour stays, and so does what the journal holds.
    fn reset(&self) {
        self.http.clear();
        self.smtp.clear();
        self.providers.clear();
        if let Some(receipts) = &self.receipts {
            receipts.clear();
        }
        if let Some(lateness) = &self.lateness {
            lateness.clear();
        }
        if let Some(items) = &self.items {
            items.clear();
        }
    }

    /// Counts a message for an API. Hardly any looks whether it had it before: the sender must ask for that.
    async fn take_message(&self, id: Option<&[u8]>, is_once: bool) -> Taken {
        let taken = self.http.take(id, is_once);
        self.journal("http", id, taken).await;
        taken
    }

    /// Counts a webhook that is taken; with a journal, returns when its id is on the disk.
    async fn take_webhook(&self, id: Option<&[u8]>) -> Taken {
        let taken = self.http.take(id, self.honour_ids);
        self.journal("http", id, taken).await;
        taken
    }

    /// The same for a mail. No mail server drops what has a known Message-ID, so ids are never honoured here.
    async fn take_mail(&self, id: Option<&[u8]>) -> Taken {
        let taken = self.smtp.take(id, false);
        self.journal("smtp", id, taken).await;
        taken
    }

    async fn journal(&self, kind: &str, id: Option<&[u8]>, taken: Taken) {
        if let (Some(journal), Some(id), Taken::Counted | Taken::Repeated) = (&self.journal, id, taken) {
            journal.append(kind, id).await;
        }
    }
}

async fn listener(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))
}

#[cfg(test)]
mod tests;
