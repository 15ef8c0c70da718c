//! An engine in a child process, to be killed and started again.

use std::fs::{File, OpenOptions};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::providers::{self, Account};
use crate::http_client::{Client, Server, Url};
use crate::mock::Kind;

/// How long an engine may take until it is ready, its recovery included.
const READY_MAX: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The configuration that is used when none is given.
const CONFIG: &str = include_str!("../../engine.toml");
/// Where it has its mail server.
const CONFIG_SMTP: &str = "127.0.0.1:2525";

/// How to start an engine.
#[derive(Debug, Clone)]
pub(crate) struct EngineCommand {
    binary: PathBuf,
    config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    listen: String,
    server: Server,
    /// Beside `serve` and its usual options.
    options: Vec<String>,
}

/// A started engine. It is killed when this is dropped.
pub(crate) struct EngineProcess {
    child: Child,
    server: Server,
    started: Instant,
}

impl EngineCommand {
    /// `directory` takes the data, the engine's log and, when no `config` is given, a configuration that ends at the
    /// mail server `smtp`.
    pub(crate) fn new(
        binary: &Path,
        config: Option<&Path>,
        directory: &Path,
        url: &Url,
        server: &Server,
        smtp: &str,
    ) -> Result<Self> {
        let context = || format!("cannot write to `{}`", directory.display());
        std::fs::create_dir_all(directory).with_context(context)?;
        let config = match config {
            Some(config) => config.to_owned(),
            None => {
                let path = directory.join("engine.toml");
                std::fs::write(&path, CONFIG.replace(CONFIG_SMTP, smtp)).with_context(context)?;
                path
            }
        };
        Ok(Self {
            binary: binary.to_owned(),
            config,
            data_dir: directory.join("data"),
            log: directory.join("engine.log"),
            listen: url.authority.clone(),
            server: server.clone(),
            options: Vec::new(),
        })
    }

    /// With these providers of one kind in the configuration that is used when none is given.
    pub(crate) fn with_only(self, kind: Kind, accounts: &[Account<'_>]) -> Result<Self> {
        let context = || format!("cannot write `{}`", self.config.display());
        std::fs::write(&self.config, providers::only(CONFIG, kind, accounts)?).with_context(context)?;
        Ok(self)
    }

    /// With further options of `fanfare serve`.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Starts it; it is not ready yet.
    pub(crate) fn start(&self) -> Result<EngineProcess> {
        // It would answer in the place of the engine, which ends at once, and be measured.
        ensure!(TcpStream::connect(&self.listen).is_err(), "something listens on `{}` already", self.listen);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log: File = log.with_context(|| format!("cannot write `{}`", self.log.display()))?;
        let started = Instant::now();
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.options)
            .env("FANFARE__HTTP__LISTEN", &self.listen)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.binary.display()))?;
        Ok(EngineProcess { child, server: self.server.clone(), started })
    }

    /// Where it writes what it has to say.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

impl EngineProcess {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Waits until `/readyz` answers 200; the time since the start.
    pub(crate) async fn ready(&mut self) -> Result<Duration> {
        let mut client = Client::new(&self.server);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the engine ended at once ({status}): see its log");
            }
            if let Ok(answer) = client.call(self.server.get("/readyz")?).await
                && answer.status.is_success()
            {
                return Ok(self.started.elapsed());
            }
            if self.started.elapsed() > READY_MAX {
                bail!("the engine is not ready after {READY_MAX:?}: see its log");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("the engine ended by itself: see its log")?, signal)
            .context("cannot signal the engine")
    }

    /// SIGKILL: nothing gets a chance. Returns when the process is gone. An engine that had ended by itself before is an
    /// error.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the engine ended by itself ({status}): see its log");
        }
        self.child.kill().await.context("cannot kill the engine")
    }

    /// SIGTERM, and the time that the engine takes to end; killed after `max`.
    pub(crate) async fn terminate(mut self, max: Duration) -> Result<(ExitStatus, Duration)> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.context("the engine ended by itself: see its log")?;
        let asked = Instant::now();
        kill_process(pid, Signal::TERM).context("cannot end the engine")?;
        match timeout(max, self.child.wait()).await {
            Ok(status) => Ok((status?, asked.elapsed())),
            Err(_) => bail!("the engine did not end within {max:?} after SIGTERM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_engine_is_started_where_something_listens() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = Url { authority: taken.local_addr().expect("bound").to_string(), path: "/".into() };
        let server = Server::new(&url, None).expect("legal");
        let directory = std::env::temp_dir().join(format!("fanfare-child-{}", std::process::id()));
        let command = EngineCommand::new(Path::new("/bin/false"), None, &directory, &url, &server, "127.0.0.1:1");
        let refusal = command.and_then(|command| command.start()).err().map(|error| error.to_string());
        assert_eq!(refusal, Some(format!("something listens on `{}` already", url.authority)));
        std::fs::remove_dir_all(directory).expect("its own directory");
    }
}
