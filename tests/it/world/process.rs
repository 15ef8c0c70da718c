//! A node as a process of its own: `fanfare serve`.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::place::{Place, Spot};

/// The longest that a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that anything of whole nodes may take, on a busy machine and with the lease of a node that died.
const EVENTUALLY: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(EVENTUALLY, asking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// How long a node that is not heard of keeps its shards: the least that goes with the provider's limit below.
pub const LEASE: Duration = Duration::from_secs(11);

/// A running node, killed at the latest with the test.
pub struct Process {
    child: Mutex<Child>,
    address: SocketAddr,
    http: Client,
    dir: tempfile::TempDir,
}

impl Process {
    /// Starts a node that sends webhooks, with so many partitions of each lane.
    pub async fn start(spot: &Arc<Spot>, partitions: u16) -> Self {
        Self::serve(|address| configuration(spot, partitions, address)).await
    }

    /// Starts a node at a place; one that is started there again finds what was there.
    pub async fn start_at(place: &Place) -> Self {
        match place {
            Place::Services(spot) => Self::start(spot, 1).await,
            Place::Embedded(dir) => Self::serve(|address| embedded(dir.path(), address)).await,
        }
    }

    /// The same, and it sends webhooks wherever it is.
    pub async fn start_with_hooks(place: &Place) -> Self {
        match place {
            Place::Services(spot) => Self::start(spot, 1).await,
            Place::Embedded(dir) => Self::serve(|address| embedded(dir.path(), address) + HOOKS).await,
        }
    }

    /// The same in another group of consumers, which reads all that the log has again; on the embedded log, which nobody else reads, as before.
    pub async fn start_and_read_again(place: &Place) -> Self {
        match place {
            Place::Services(spot) => {
                let group = format!("group = \"{}\"", spot.name);
                let again = format!("group = \"{}_again\"", spot.name);
                Self::serve(|address| configuration(spot, 1, address).replace(&group, &again)).await
            }
            Place::Embedded(_) => Self::start_with_hooks(place).await,
        }
    }

    async fn serve(configuration: impl Fn(SocketAddr) -> String) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Free until now; nobody else is told of it.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let config = dir.path().join("fanfare.toml");
        std::fs::write(&config, configuration(address)).expect("written");
        let log = File::create(dir.path().join("log")).expect("created");
        let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let tls = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
        let http = Client::builder().no_proxy().use_preconfigured_tls(tls.with_no_client_auth());
        let http = http.timeout(PATIENCE).build().expect("a client");
        let process = Self { child: Mutex::new(child), address, http, dir };
        process.until_ready().await;
        process
    }

    async fn until_ready(&self) {
        let ready = async {
            while !matches!(self.try_call(Method::GET, "/readyz", None).await, Ok((StatusCode::OK, _))) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, ready).await;
        assert!(in_time.is_ok(), "the node is not ready; its log:\n{}", self.log());
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("readable")
    }

    /// Calls the API; an answer that is no JSON is given as a text.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address)).bearer_auth("dev");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// The same of a node that must answer, and well.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.try_call(method, path, body).await.expect("the node answers");
        assert!(status.is_success(), "{path}: {status} {answer}; its log:\n{}", self.log());
        answer
    }

    /// Imports users, and returns what was answered, line by line.
    pub async fn import(&self, lines: String) -> Vec<Value> {
        let request = self.http.post(format!("http://{}/v1/users/import", self.address)).bearer_auth("dev");
        let request = request.header("content-type", "application/x-ndjson").body(lines);
        let response = request.send().await.expect("the node answers");
        assert_eq!(response.status(), StatusCode::OK);
        let text = response.text().await.expect("a whole answer");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Posts lines of JSON, and returns what was answered.
    pub async fn upload(&self, path: &str, lines: String) -> Value {
        let request = self.http.post(format!("http://{}{path}", self.address)).bearer_auth("dev");
        let request = request.header("content-type", "application/x-ndjson").body(lines);
        let response = request.send().await.expect("the node answers");
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.expect("JSON")
    }

    /// How many shards it works on.
    pub async fn shards(&self) -> usize {
        let page = self.call(Method::GET, "/metrics", None).await;
        let lines = page.as_str().expect("text").lines();
        let value = lines.filter_map(|line| line.strip_prefix("fanfare_owned_shards ")).next();
        value.map_or(0, |value| value.parse::<f64>().expect("a number") as usize)
    }

    /// Ends it at once, as SIGKILL does.
    pub fn kill(&self) {
        let mut child = self.child();
        child.kill().expect("it runs, or was waited for");
        child.wait().expect("it has ended");
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

const HOOKS: &str = "[security]\nallow_private_addresses = true\n\
                     [[providers]]\nname = \"hooks\"\nkind = \"webhook\"\ntimeout = \"1s\"\n";

fn embedded(dir: &Path, address: SocketAddr) -> String {
    let data_dir = dir.join("data");
    let data_dir = data_dir.display();
    format!("[http]\nlisten = \"{address}\"\n[log]\npartitions = 1\n[store.embedded]\ndata_dir = \"{data_dir}\"\n")
}

fn configuration(spot: &Spot, partitions: u16, address: SocketAddr) -> String {
    let (services, name, generation) = (spot.services, &spot.name, spot.generation);
    format!(
        r#"
[http]
listen = "{address}"
[log]
backend = "kafka"
partitions = {partitions}
[log.kafka]
brokers = "{kafka}"
topic_prefix = "{name}"
group = "{name}"
generation = {generation}
options = {{ "heartbeat.interval.ms" = "200", "session.timeout.ms" = "6000" }}
[store]
backend = "cql"
[store.cql]
nodes = ["{cql}"]
keyspace = "{keyspace}"
[coordination]
backend = "redis"
[coordination.redis]
url = "redis://{redis}"
prefix = "{name}"
[cluster]
lease = "{lease}s"
{HOOKS}"#,
        kafka = services.kafka,
        cql = services.cql,
        redis = services.redis,
        keyspace = spot.keyspace,
        lease = LEASE.as_secs(),
    )
}
