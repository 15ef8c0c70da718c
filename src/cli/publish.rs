//! `fanfare publish`: one notification request, written to its topic as another program would.

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::kafka::Cluster;
use crate::domain::Priority;
use crate::log::Publication;

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    cluster: Cluster,
    /// critical, high, normal or low; without it the request's own, or normal
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<String>,
    /// The record's key; without it the request's user_id
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A retry key: written again with the same one, it is not sent twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The request as JSON, or @FILE, or - for standard input
    #[arg(value_name = "JSON")]
    request: String,
}

impl Publish {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = self.cluster.admin()?;
        let text = read(&self.request)?;
        let id = admin.publish(self.publication(text)?).await?;
        println!("{id}");
        Ok(())
    }

    /// What is wrong in the request itself, the engine says: it goes into the dead letters.
    fn publication(&self, text: String) -> anyhow::Result<Publication> {
        let request: Value = serde_json::from_str(&text).context("the request is no JSON")?;
        let priority = self.priority.as_deref().or(request["priority"].as_str());
        let lane = match priority {
            Some(name) => Priority::parse(name).with_context(|| format!("`{name}` is no priority"))?,
            None => Priority::Normal,
        };
        let user = request["user_id"].as_str().map(str::to_owned);
        let key = self.key.clone().or(user);
        Ok(Publication { lane, key, idempotency_key: self.idempotency_key.clone(), body: Bytes::from(text) })
    }
}

fn read(request: &str) -> anyhow::Result<String> {
    match request.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`")),
        None if request == "-" => std::io::read_to_string(std::io::stdin()).context("cannot read the standard input"),
        None => Ok(request.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        publish: Publish,
    }

    fn publication(arguments: &[&str]) -> anyhow::Result<Publication> {
        let line = Line::try_parse_from([&["publish"], arguments].concat())?;
        line.publish.publication(read(&line.publish.request)?)
    }

    #[test]
    fn a_request_goes_to_the_lane_of_its_priority_with_its_user_as_key() {
        let request = r#"{"user_id":"alice","priority":"P1"}"#;
        let found = publication(&[request]).expect("valid");
        assert_eq!((found.lane, found.key.as_deref()), (Priority::High, Some("alice")));
        assert_eq!(found.body, request.as_bytes());
        let found = publication(&["--priority", "low", "--key", "k", request]).expect("valid");
        assert_eq!((found.lane, found.key.as_deref()), (Priority::Low, Some("k")));
        let found = publication(&[r#"{"to":{"email":"a@example.com"}}"#]).expect("valid");
        assert_eq!((found.lane, found.key), (Priority::Normal, None));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in ["{", r#"{"priority":"urgent"}"#] {
            assert!(publication(&[bad]).is_err(), "{bad}");
        }
        assert!(read("@/nowhere/at/all").is_err());
    }
}
