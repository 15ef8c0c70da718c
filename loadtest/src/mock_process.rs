//! The mock as the other commands see it: its control calls, and its process when they started it themselves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::http_client::{Client, Server, Url};
use crate::mock::Stats;

/// How long a mock may take to listen.
const START_MAX: Duration = Duration::from_secs(5);

/// When a message should have been sent (microseconds since 1970), and how long after that it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lateness {
    pub(crate) stamp_us: u64,
    pub(crate) late_us: u64,
}

/// A running mock.
pub(crate) struct MockHandle {
    server: Server,
    /// Kept, so that looking at the mock does not look like load on it.
    client: Mutex<Client>,
    /// Ends with this handle. `None` when somebody else started the mock.
    process: Option<Child>,
}

impl MockHandle {
    /// The addresses of a mock that is started without being told any.
    pub(crate) const USUAL: [&str; 4] = ["--http", "127.0.0.1:9090", "--smtp", "127.0.0.1:2525"];

    /// Uses the mock at `url`, or starts one with the given options.
    pub(crate) async fn attach_or_start(url: Option<&Url>, options: &[&str]) -> Result<Self> {
        match url {
            Some(url) => Self::attach(url).await,
            None => Self::start(options).await,
        }
    }

    /// Uses a mock that runs already.
    pub(crate) async fn attach(url: &Url) -> Result<Self> {
        let handle = Self::new(url, None)?;
        handle.stats().await.context("there is no mock to be reached: start one with `fanfare-load mock`")?;
        Ok(handle)
    }

    /// Starts a mock in a process of its own, with the options of `fanfare-load mock`. It ends with this process.
    pub(crate) async fn start(options: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find the own program")?;
        let process = Command::new(program)
            .arg("mock")
            .args(options)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the mock")?;
        let given = options.iter().position(|option| *option == "--http").and_then(|at| options.get(at + 1));
        let address = given.context("a mock is started with `--http`, or it could not be found")?;
        let url = Url { authority: (*address).to_owned(), path: "/".into() };
        let mut handle = Self::new(&url, Some(process))?;
        handle.wait_until_it_listens().await?;
        Ok(handle)
    }

    fn new(url: &Url, process: Option<Child>) -> Result<Self> {
        let server = Server::new(url, None)?;
        Ok(Self { client: Mutex::new(Client::new(&server)), server, process })
    }

    async fn wait_until_it_listens(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait()?
            {
                bail!("the mock ended at once ({status}): is its address in use?");
            }
            match self.stats().await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > START_MAX => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The process id, when it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    pub(crate) async fn stats(&self) -> Result<Stats> {
        let json = self.client.lock().await.fetch(&self.server, "/stats").await?;
        serde_json::from_slice(&json).context("cannot read the mock's statistics")
    }

    /// All ids seen, one `id count` a line.
    pub(crate) async fn ids(&self) -> Result<Bytes> {
        self.client.lock().await.fetch(&self.server, "/ids").await
    }

    /// How late each stamped message came, in the order of arrival.
    pub(crate) async fn latencies(&self) -> Result<Vec<Lateness>> {
        let lines = self.client.lock().await.fetch(&self.server, "/latencies").await?;
        let lines = std::str::from_utf8(&lines).context("the mock's latencies are no text")?;
        lines.lines().map(|line| Lateness::parse(line).with_context(|| format!("`{line}` is no latency"))).collect()
    }

    /// Changes how all kinds behave: the keys of `POST /behaviour`.
    pub(crate) async fn behave(&self, change: &Value) -> Result<()> {
        let body = Bytes::from(change.to_string());
        let answer = self.client.lock().await.call(self.server.post("/behaviour", body)).await?;
        ensure!(
            answer.status.is_success(),
            "the mock does not change its behaviour: {}",
            String::from_utf8_lossy(&answer.body).trim()
        );
        Ok(())
    }

    /// Forgets all counts and ids.
    pub(crate) async fn reset(&self) -> Result<()> {
        self.client.lock().await.call(self.server.post("/reset", Bytes::new())).await?;
        Ok(())
    }
}

impl Lateness {
    fn parse(line: &str) -> Option<Self> {
        let (stamp_us, late_us) = line.split_once(' ')?;
        Some(Self { stamp_us: stamp_us.parse().ok()?, late_us: late_us.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_a_stamp_and_a_length() {
        assert_eq!(Lateness::parse("17 4"), Some(Lateness { stamp_us: 17, late_us: 4 }));
        assert_eq!(Lateness::parse("17"), None);
        assert_eq!(Lateness::parse("17 -4"), None);
    }
}
