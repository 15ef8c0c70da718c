//! `fanfare send`: one notification, from flags or from JSON.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, Server};

/// How often a notification is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whole").args(["json"]).conflicts_with_all(["fields"]))]
pub(super) struct Send {
    #[command(flatten)]
    server: Server,
    /// The whole request as JSON, from a file or, with -, from standard input
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    fields: Fields,
    /// A retry key: sent again with the same one, it is not sent twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Only show what would become of it
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is sent or has failed, and show it; exit 1 if nothing was sent
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait at most, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    timeout: u64,
}

#[derive(Debug, Args)]
#[group(id = "fields", multiple = true)]
struct Fields {
    /// The user's id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A telephone number, as +4930123456
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// A device's push token
    #[arg(long, value_name = "TOKEN")]
    push_token: Option<String>,
    /// Where a webhook goes
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// A chat provider of the configuration by its name, or NAME:USER
    #[arg(long, value_name = "NAME")]
    chat: Option<String>,
    /// A file that goes with the mail, fetched when it is sent; its name is the last part of the address
    #[arg(long = "attach", value_name = "URL")]
    attachments: Vec<String>,
    /// A template's code
    #[arg(long, value_name = "CODE")]
    template: Option<String>,
    /// Instead of a template: the title
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Instead of a template: the text
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// With --body: the same as HTML
    #[arg(long, value_name = "TEXT", requires = "body")]
    html: Option<String>,
    /// What the template is filled from, as a JSON object
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// critical, high, normal or low
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<String>,
    /// Channels, separated by commas
    #[arg(long = "channel", value_name = "NAME", value_delimiter = ',')]
    channels: Vec<String>,
    /// all or fallback
    #[arg(long, value_name = "ROUTING")]
    routing: Option<String>,
    /// Send it this many seconds from now
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u64>,
    /// Send it at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<String>,
    /// Send it when the user's clock next shows this (HH:MM)
    #[arg(long, value_name = "HH:MM")]
    local_time: Option<String>,
    /// Do not send it after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// A second notification with this key is skipped
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
}

impl Send {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let body = match &self.json {
            Some(file) => read(file)?,
            None => self.fields.request()?.to_string(),
        };
        let client = self.server.connect()?;
        let path = if self.dry_run { "/v1/notifications?dry_run=true" } else { "/v1/notifications" };
        let mut request = client.request(Method::POST, path).header("content-type", "application/json").body(body);
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let answer = client.call(request).await?;
        if self.dry_run {
            println!("{answer:#}");
            return Ok(());
        }
        let id = answer["id"].as_str().context("the server answered without an id")?;
        println!("{id}");
        if self.wait { follow(&client, id, Duration::from_secs(self.timeout)).await } else { Ok(()) }
    }
}

fn read(file: &std::path::Path) -> anyhow::Result<String> {
    let outcome = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    outcome.with_context(|| format!("cannot read `{}`", file.display()))
}

/// Looks again and again until nothing of it is open.
async fn follow(client: &Client, id: &str, limit: Duration) -> anyhow::Result<()> {
    let ended = tokio::time::timeout(limit, ended(client, id)).await;
    let notification = ended.with_context(|| format!("{id} is still open after {} seconds", limit.as_secs()))??;
    println!("{notification:#}");
    let status = notification["status"].as_str().unwrap_or_default();
    anyhow::ensure!(matches!(status, "sent" | "delivered"), "{id} was not sent: {status}");
    Ok(())
}

/// The notification, once nothing of it is open.
async fn ended(client: &Client, id: &str) -> anyhow::Result<Value> {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        let notification = client.call(client.request(Method::GET, &format!("/v1/notifications/{id}"))).await?;
        if !matches!(notification["status"].as_str(), Some("accepted" | "pending" | "sending" | "scheduled")) {
            return Ok(notification);
        }
    }
}

impl Fields {
    /// The request; what is missing or wrong in it, the server says.
    fn request(&self) -> anyhow::Result<Value> {
        let mut request = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                request.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::String);
        set("user_id", text(&self.user));
        set(
            "to",
            object([
                ("email", &self.email),
                ("phone", &self.phone),
                ("push_token", &self.push_token),
                ("url", &self.webhook),
                ("chat", &self.chat),
            ]),
        );
        let attachments: Vec<Value> =
            self.attachments.iter().map(|url| json!({ "url": url, "name": file_name(url) })).collect();
        set("attachments", (!attachments.is_empty()).then(|| json!(attachments)));
        set("template", text(&self.template));
        let mut content = object([("title", &self.title), ("body", &self.body), ("html", &self.html)]);
        if let Some(content) = &mut content
            && content.get("title").is_none()
        {
            content["title"] = json!("");
        }
        set("content", content);
        let data = self.data.as_ref().map(|data| serde_json::from_str(data).context("--data is no JSON"));
        set("data", data.transpose()?);
        set("category", text(&self.category));
        set("priority", text(&self.priority));
        set("channels", (!self.channels.is_empty()).then(|| json!(self.channels)));
        set("routing", text(&self.routing));
        set("delay_seconds", self.delay.map(|seconds| json!(seconds)));
        set("deliver_at", text(&self.deliver_at));
        set("local_time", text(&self.local_time));
        set("expires_at", text(&self.expires_at));
        set("dedup_key", text(&self.dedup_key));
        Ok(Value::Object(request))
    }
}

/// What a file is called whose address is given alone.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => "attachment",
    }
}

/// An object of what is given; nothing if nothing is.
fn object<const N: usize>(fields: [(&str, &Option<String>); N]) -> Option<Value> {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
    let given: Map<String, Value> = given.collect();
    (!given.is_empty()).then_some(Value::Object(given))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::domain::{Source, Timestamp};
    use crate::intake::{Envelope, read_request};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        send: Send,
    }

    fn parse(arguments: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["send"], arguments].concat())
    }

    #[test]
    fn flags_make_the_request_that_the_api_takes() {
        let line = parse(&[
            "--email",
            "a@example.com",
            "--webhook",
            "https://example.com/",
            "--body",
            "Hi {{name}}",
            "--data",
            r#"{"name":"Alice"}"#,
            "--channel",
            "email,webhook",
            "--priority",
            "high",
            "--delay",
            "5",
            "--dedup-key",
            "k",
        ])
        .expect("valid");
        let request = line.send.fields.request().expect("valid").to_string();
        let now = Timestamp(0);
        let categories = &crate::config::defaults().categories().expect("the default is there");
        let envelope =
            Envelope { tenant: "default", source: Source::Http, idempotency: None, now, categories, contents: &() };
        let read = read_request(&request, &envelope).expect("the API takes it");
        assert_eq!((read.channels.len(), read.deliver_at), (2, Some(now + Duration::from_secs(5))));
    }

    #[test]
    fn json_and_fields_exclude_each_other() {
        assert!(parse(&["--json", "-"]).is_ok());
        assert!(parse(&["--json", "-", "--email", "a@example.com"]).is_err());
        assert!(parse(&["--email", "a@example.com", "--data", "{"]).expect("valid").send.fields.request().is_err());
    }
}
