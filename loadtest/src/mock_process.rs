//! The mock as the other commands see it: its control calls, and its process when they started it themselves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::http_client::{Client, Server, Url};
use crate::mock::Stats;

/// How long a mock may take to listen.
const START_MAX: Duration = Duration::from_secs(5);

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

    /// Forgets all counts and ids.
    pub(crate) async fn reset(&self) -> Result<()> {
        self.client.lock().await.call(self.server.post("/reset", Bytes::new())).await?;
        Ok(())
    }
}
