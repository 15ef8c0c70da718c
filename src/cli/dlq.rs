//! `fanfare dlq`: dead letters.

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, Server};

#[derive(Debug, Subcommand)]
pub(super) enum Dlq {
    /// Show what could not be delivered or used, newest first, one line each
    List(List),
    /// Send dead letters again
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    server: Server,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// task: messages that were given up; record: records of the log that could not be used
    #[arg(long, default_value = "task", value_parser = ["task", "record"])]
    kind: String,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub(super) struct Replay {
    #[command(flatten)]
    server: Server,
    /// Ids as `dlq list` shows them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All tasks, or those that fit the filters below
    #[arg(long)]
    all: bool,
    /// With --all: of this channel
    #[arg(long, requires = "all")]
    channel: Option<String>,
    /// With --all: that died at or after this time (RFC 3339)
    #[arg(long, requires = "all")]
    since: Option<String>,
    /// With --all: that died before this time (RFC 3339)
    #[arg(long, requires = "all")]
    until: Option<String>,
}

/// What the server gives on one page at most.
const PAGE_MAX: usize = 200;

impl Dlq {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Dlq::List(list) => list.run().await,
            Dlq::Replay(replay) => replay.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.connect()?;
        let mut left = self.limit;
        let mut cursor: Option<String> = None;
        while left > 0 {
            // The kind is one of two words, and a cursor is made of letters that need no escaping.
            let mut path = format!("/v1/dead-letters?limit={}&kind={}", left.min(PAGE_MAX), self.kind);
            if let Some(cursor) = cursor.take() {
                path += &format!("&cursor={cursor}");
            }
            let page = client.call(client.request(Method::GET, &path)).await?;
            let letters = page["data"].as_array().context("the server answered without `data`")?;
            for letter in letters {
                if self.json { println!("{letter}") } else { println!("{}", line(letter)) }
            }
            left = left.saturating_sub(letters.len());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }
}

fn line(letter: &Value) -> String {
    let word = |name: &str| letter[name].as_str().unwrap_or("-");
    format!("{}  {}  {}  {}", word("id"), word("at"), word("channel"), word("reason"))
}

impl Replay {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.connect()?;
        if self.all {
            return self.replay_all(&client).await;
        }
        for id in &self.ids {
            let answer = client.call(client.request(Method::POST, &format!("/v1/dead-letters/{id}/replay"))).await;
            let answer = answer.with_context(|| format!("cannot replay {id}"))?;
            println!("{id}  {}", answer["status"].as_str().unwrap_or("-"));
        }
        Ok(())
    }

    /// Until the server says that there are no more.
    async fn replay_all(&self, client: &Client) -> anyhow::Result<()> {
        let mut filter = Map::new();
        for (name, value) in [("channel", &self.channel), ("since", &self.since), ("until", &self.until)] {
            if let Some(value) = value {
                filter.insert(name.to_owned(), json!(value));
            }
        }
        let (mut replayed, mut not_replayable) = (0, 0);
        loop {
            let answer = client.call(client.request(Method::POST, "/v1/dead-letters/replay").json(&filter)).await?;
            let count = |name: &str| answer[name].as_u64().unwrap_or_default();
            replayed += count("replayed");
            not_replayable += count("not_replayable");
            // Without progress another call would say the same.
            if answer["has_more"] != true || count("replayed") == 0 {
                break;
            }
        }
        println!("{replayed} replayed, {not_replayable} not replayable");
        Ok(())
    }
}
