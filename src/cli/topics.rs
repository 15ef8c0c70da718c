//! `fanfare topics`: the event types of a running server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{Client, Server};
use crate::domain::is_event_type;

#[derive(Debug, Subcommand)]
pub(super) enum Topics {
    /// Show the event types, one line each
    List(List),
    /// Declare an event type
    Create(Create),
    /// Delete event types; one that rules need stays
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    server: Server,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    server: Server,
    /// What `type` is in events, as wallet.recharged
    #[arg(value_name = "NAME")]
    name: String,
    /// A file with the JSON Schema of the data; without it any data is taken
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// A file with an example of the data, with which rules are tried when they are saved
    #[arg(long, value_name = "FILE")]
    example: Option<PathBuf>,
    /// What it means, for people
    #[arg(long)]
    description: Option<String>,
    /// A metric says so when no event came for so long, as 24h
    #[arg(long, value_name = "DURATION")]
    silent_after: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    server: Server,
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Topics {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Topics::List(list) => list.run().await,
            Topics::Create(create) => create.run().await,
            Topics::Delete(delete) => delete.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.connect()?;
        for event_type in all(&client).await? {
            if self.json {
                println!("{event_type}");
            } else {
                println!("{}", line(&event_type));
            }
        }
        Ok(())
    }
}

/// The pages of the list, one after the other.
async fn all(client: &Client) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/event-types?limit=200{cursor}");
        let mut page = client.call(client.request(Method::GET, &path)).await?;
        let Value::Array(data) = page["data"].take() else { bail!("the server answered without `data`") };
        all.extend(data);
        match page["next_cursor"].as_str() {
            // It is made of letters that need no escaping.
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

/// Name, origin, whether it is in force, what it means.
fn line(event_type: &Value) -> String {
    let text = |name: &str| event_type[name].as_str().unwrap_or_default();
    let state = if event_type["active"] == true { "active" } else { "not in force" };
    format!("{}\t{}\t{state}\t{}", text("name"), text("origin"), text("description")).trim_end().to_owned()
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let body = self.body()?;
        let client = self.server.connect()?;
        let saved = client.call(client.request(Method::POST, "/v1/event-types").json(&body)).await?;
        println!("{}", saved["name"].as_str().unwrap_or(&self.name));
        Ok(())
    }

    fn body(&self) -> anyhow::Result<Value> {
        let mut body = Map::new();
        body.insert("name".to_owned(), Value::from(&*self.name));
        for (field, file) in [("schema", &self.schema), ("example", &self.example)] {
            if let Some(file) = file {
                body.insert(field.to_owned(), read(file)?);
            }
        }
        for (field, text) in [("description", &self.description), ("silent_after", &self.silent_after)] {
            if let Some(text) = text {
                body.insert(field.to_owned(), Value::from(&**text));
            }
        }
        Ok(Value::Object(body))
    }
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{shown}`"))?;
    serde_json::from_str(&text).with_context(|| format!("`{shown}` is no JSON"))
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.server.connect()?;
        for name in &self.names {
            // Anything else would be another address.
            ensure!(
                is_event_type(name),
                "`{name}` is no event type: they are words of a-z, 0-9 and _ with dots between them"
            );
            let call = client.request(Method::DELETE, &format!("/v1/event-types/{name}"));
            client.call(call).await.with_context(|| format!("cannot delete `{name}`"))?;
            println!("{name}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        topics: Topics,
    }

    #[test]
    fn an_event_type_is_shown_in_one_line() {
        let mut shown = json!({"name": "a.b", "origin": "saved", "active": true, "description": "What it is"});
        assert_eq!(line(&shown), "a.b\tsaved\tactive\tWhat it is");
        shown["active"] = json!(false);
        shown["description"] = Value::Null;
        assert_eq!(line(&shown), "a.b\tsaved\tnot in force");
    }

    #[test]
    fn an_event_type_is_made_of_the_arguments() {
        let folder = tempfile::tempdir().expect("a folder");
        let schema = folder.path().join("schema.json");
        std::fs::write(&schema, r#"{"type": "object"}"#).expect("writable");
        let path = schema.to_str().expect("UTF-8");
        let create = |arguments: &[&str]| {
            let line = Line::try_parse_from([&["topics", "create"], arguments].concat()).expect("a command line");
            let Topics::Create(create) = line.topics else { panic!("another command") };
            create.body()
        };
        let body = create(&["a.b", "--schema", path, "--silent-after", "24h"]).expect("readable");
        assert_eq!(body, json!({"name": "a.b", "schema": {"type": "object"}, "silent_after": "24h"}));
        assert!(create(&["a.b", "--example", "/nowhere/at/all"]).is_err());
        assert!(Line::try_parse_from(["topics", "delete"]).is_err(), "all of them is not what is meant");
    }
}
