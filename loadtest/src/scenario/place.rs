//! Where a scenario runs: a mock and an engine that are started for it, or those that run already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};

use super::file::Scenario;
use crate::engine::{Account, EngineCommand, EngineProcess, only_providers};
use crate::http_client::{Client, Server, Url};
use crate::mock::Kind;
use crate::mock_process::MockHandle;

const CONFIG: &str = include_str!("../../engine.toml");
/// Where that has its mail server.
const CONFIG_SMTP: &str = "127.0.0.1:2525";
/// The longest that a started engine may take to end.
const END_MAX: Duration = Duration::from_secs(60);
/// Sends at once: as many as the rate and the provider's latency ask for, so many times over.
const IN_FLIGHT_ROOM: f64 = 3.0;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Start this program as the engine, at the address of `--url`, with data of its own, and a mock beside it.
    #[arg(long)]
    pub(crate) engine: Option<PathBuf>,
    /// The engine, or the API of a cluster.
    #[arg(long, default_value = "http://127.0.0.1:18080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// A mock that runs already; it should have `--latency-from-body --count-items`.
    #[arg(long, value_parser = Url::parse, required_unless_present = "engine")]
    pub(crate) mock: Option<Url>,
    /// Where a started mock listens: HTTP, and SMTP on the next port.
    #[arg(long, default_value = "127.0.0.1:18090")]
    pub(crate) mock_listen: std::net::SocketAddr,
    /// Where the metrics of each engine are, if not at `--url`: once for each node of a cluster.
    #[arg(long, value_parser = Url::parse, conflicts_with = "engine")]
    pub(crate) metrics: Vec<Url>,
    /// The process id of each engine on this machine, in the order of `--metrics`: for processor time, memory and disk.
    #[arg(long, conflicts_with = "engine")]
    pub(crate) pid: Vec<u32>,
    /// Below which the data of a started engine is; a new directory below the temporary one otherwise.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
}

/// Everything that runs.
pub(super) struct Place {
    pub(super) server: Server,
    /// Of each engine.
    pub(super) metrics: Vec<Server>,
    pub(super) pids: Vec<u32>,
    pub(super) mock: MockHandle,
    pub(super) mock_http: String,
    pub(super) data: Option<PathBuf>,
    pub(super) version: String,
    mock_server: Server,
    engine: Option<EngineProcess>,
    directory: PathBuf,
}

impl PlaceArgs {
    /// Starts what is to be started; `number` keeps the data of several runs apart.
    pub(super) async fn prepare(&self, scenario: &Scenario, scale: f64, number: u32) -> Result<Place> {
        let smtp = std::net::SocketAddr::new(self.mock_listen.ip(), self.mock_listen.port() + 1).to_string();
        let http = self.mock_listen.to_string();
        let options = ["--http", &http, "--smtp", &smtp, "--latency-from-body", "--count-items"];
        let mock = MockHandle::attach_or_start(self.mock.as_ref(), &options).await?;
        let listen = mock.stats().await?.listen;
        let mock_server = Server::new(&Url { authority: listen.http.clone(), path: "/".into() }, None)?;
        let server = Server::new(&self.url, Some(&self.key))?;
        let usual = || std::env::temp_dir().join(format!("fanfare-scenario-{}", std::process::id()));
        let directory = self.directory.clone().unwrap_or_else(usual).join(number.to_string());
        let mut place = Place {
            metrics: vec![server.clone()],
            server,
            pids: self.pid.clone(),
            mock,
            mock_http: listen.http.clone(),
            data: None,
            version: "unknown".into(),
            mock_server,
            engine: None,
            directory: directory.clone(),
        };
        if !self.metrics.is_empty() {
            place.metrics = self.metrics.iter().map(|url| Server::new(url, None)).collect::<Result<_>>()?;
        }
        place.mock.reset().await?;
        place.behave(scenario).await?;
        if let Some(binary) = &self.engine {
            std::fs::create_dir_all(&directory)
                .with_context(|| format!("cannot write to `{}`", directory.display()))?;
            let config = directory.join("engine.toml");
            std::fs::write(&config, config_of(scenario, scale, &listen.http, &listen.smtp)?)?;
            let command = EngineCommand::new(binary, Some(&config), &directory, &self.url, &place.server, "")?;
            let mut engine = command.start()?;
            engine.ready().await.with_context(|| format!("its log is `{}`", command.log().display()))?;
            place.pids = engine.pid().into_iter().collect();
            place.engine = Some(engine);
            place.data = Some(directory.join("data"));
            place.version = version(binary);
        }
        Ok(place)
    }
}

impl Place {
    /// Makes the mock behave as the scenario begins.
    async fn behave(&self, scenario: &Scenario) -> Result<()> {
        for (kind, keys) in &scenario.providers {
            self.change(kind, keys).await?;
        }
        Ok(())
    }

    /// Changes how a kind of provider behaves.
    pub(super) async fn change(&self, kind: &str, keys: &Map<String, Value>) -> Result<()> {
        let body = bytes::Bytes::from(Value::Object(keys.clone()).to_string());
        let path = format!("/behaviour?kind={kind}");
        let request = self.mock_server.send(hyper::Method::POST, &path, "application/json", body)?;
        let answer = Client::new(&self.mock_server).call(request).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status.is_success(), "the mock does not change how `{kind}` behaves: {}", said.trim());
        Ok(())
    }

    /// Of all engines, one after the other.
    pub(super) async fn scrape(&self) -> Result<String> {
        let mut scrapes = String::new();
        for server in &self.metrics {
            let scrape =
                crate::http_client::fetch(server, "/metrics").await.context("cannot read the engine's metrics")?;
            scrapes.push_str(&String::from_utf8_lossy(&scrape));
        }
        Ok(scrapes)
    }

    /// Ends what was started; the data goes too, unless they are to be looked at.
    pub(super) async fn end(self, keep: bool) -> Result<()> {
        if let Some(engine) = self.engine {
            engine.terminate(END_MAX).await?;
            match keep {
                false => std::fs::remove_dir_all(&self.directory).context("cannot remove the engine's data")?,
                true => eprintln!("data and log of the engine are in `{}`", self.directory.display()),
            }
        }
        Ok(())
    }
}

/// The configuration of an engine for a scenario: providers of the kinds that it uses, all of which end at the mock.
fn config_of(scenario: &Scenario, scale: f64, http: &str, smtp: &str) -> Result<String> {
    let mut config: toml::Table = CONFIG.replace(CONFIG_SMTP, smtp).parse().context("the usual configuration")?;
    let mut kinds: Vec<Kind> = Vec::new();
    for stream in &scenario.streams {
        let kind = stream.kind()?;
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    let needed = in_flight(scenario, scale);
    let own = config.remove("providers");
    let mut providers = own.and_then(|own| own.as_array().cloned()).unwrap_or_default();
    if kinds.iter().any(|kind| crate::channel::Channel::of(*kind) == crate::channel::Channel::Email) {
        // Mails would be shared with the server beside it.
        providers.retain(|provider| provider.get("kind").and_then(toml::Value::as_str) != Some("smtp"));
    }
    for kind in kinds {
        let section: toml::Table = only_providers("", kind, &[Account { name: kind.name(), mock: http }])?.parse()?;
        providers.extend(section.get("providers").and_then(toml::Value::as_array).cloned().unwrap_or_default());
    }
    for provider in providers.iter_mut().filter_map(toml::Value::as_table_mut) {
        provider.insert("max_in_flight".into(), needed.into());
    }
    config.insert("providers".into(), toml::Value::Array(providers));
    let dispatch = toml::Table::from_iter([("endpoint_in_flight".to_owned(), toml::Value::from(needed))]);
    lay_over(&mut config, &toml::Table::from_iter([("dispatch".to_owned(), dispatch.into())]));
    lay_over(&mut config, &scenario.engine);
    toml::to_string(&config).context("cannot write the engine's configuration")
}

/// By the scenario's rate and the slowest provider's latency.
fn in_flight(scenario: &Scenario, scale: f64) -> i64 {
    let latency = |keys: &Map<String, Value>| keys.get("latency_ms").and_then(Value::as_f64).unwrap_or(0.0);
    let slowest = scenario.providers.values().map(latency).fold(0.0, f64::max);
    let rate: f64 = scenario.streams.iter().map(|stream| scenario.rate_of(stream)).sum();
    ((rate * scale * slowest / 1000.0 * IN_FLIGHT_ROOM) as i64).clamp(64, 2048)
}

/// Tables are put together, key by key; everything else is replaced.
fn lay_over(config: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (config.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            _ => {
                config.insert(key.clone(), value.clone());
            }
        }
    }
}

fn version(binary: &Path) -> String {
    let output = std::process::Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".into())
}
