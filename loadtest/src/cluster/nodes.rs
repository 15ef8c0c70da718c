//! The processes of a cluster: an API and several engines.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Place;
use crate::engine::{EngineCommand, EngineProcess, processor_time, resident_of};
use crate::http_client::{Server, Url, fetch};

/// How long a process may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Nodes {
    api: EngineCommand,
    running_api: Option<EngineProcess>,
    commands: Vec<EngineCommand>,
    /// Of each engine.
    servers: Vec<Server>,
    /// `None`: it does not run now.
    pub(crate) engines: Vec<Option<EngineProcess>>,
}

impl Nodes {
    pub(crate) fn new(place: &Place, directory: &Path, config: &Path) -> Result<Self> {
        let command = |name: &str, port: u16, role: &str| {
            let mut address = place.listen;
            address.set_port(port);
            let url = Url { authority: address.to_string(), path: "/".into() };
            let server = Server::new(&url, Some(&place.key))?;
            let directory = directory.join(name);
            let command = EngineCommand::new(&place.binary, Some(config), &directory, &url, &server, "")?;
            Ok::<_, anyhow::Error>((command.with(&["--roles", role]), server))
        };
        let first = place.listen.port();
        let nodes: Result<Vec<_>> =
            (1..=place.nodes).map(|number| command(&format!("engine-{number}"), first + number, "engine")).collect();
        let (commands, servers): (Vec<_>, Vec<_>) = nodes?.into_iter().unzip();
        let engines = commands.iter().map(|_| None).collect();
        let (api, _) = command("api", first, "api")?;
        Ok(Self { api, running_api: None, commands, servers, engines })
    }

    /// Returns when all are ready.
    pub(crate) async fn start_all(&mut self) -> Result<()> {
        for index in 0..self.commands.len() {
            self.start(index).await?;
        }
        let mut api = self.api.start()?;
        api.ready().await.context("the API process")?;
        self.running_api = Some(api);
        Ok(())
    }

    /// Starts an engine; how long it takes until it is ready.
    pub(crate) async fn start(&mut self, index: usize) -> Result<Duration> {
        let mut engine = self.commands[index].start()?;
        let ready = engine.ready().await.with_context(|| format!("engine {}", index + 1))?;
        self.engines[index] = Some(engine);
        Ok(ready)
    }

    pub(crate) async fn kill(&mut self, index: usize) -> Result<()> {
        match self.engines[index].take() {
            Some(engine) => engine.kill().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn terminate(&mut self, index: usize) -> Result<Duration> {
        let engine = self.engines[index].take().context("it does not run")?;
        let (status, took) = engine.terminate(END_MAX).await?;
        ensure!(status.success(), "engine {} ended with {status} after SIGTERM", index + 1);
        Ok(took)
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.engines.len()).filter(|index| self.engines[*index].is_some()).collect()
    }

    /// What the engines that run used so far; not the API.
    pub(crate) fn processor_time(&self) -> Duration {
        let pids = self.engines.iter().flatten().filter_map(EngineProcess::pid);
        pids.filter_map(|pid| processor_time(pid).ok()).sum()
    }

    /// Of the API and the engines that run, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let all = self.running_api.iter().chain(self.engines.iter().flatten());
        all.filter_map(EngineProcess::pid).filter_map(|pid| resident_of(pid).ok()).sum()
    }

    /// How many messages each engine has sent since it was started.
    pub(crate) async fn sent(&self) -> Result<Vec<f64>> {
        let mut sent = Vec::new();
        for (index, engine) in self.engines.iter().enumerate() {
            sent.push(match engine {
                Some(_) => sent_in(&String::from_utf8_lossy(&fetch(&self.servers[index], "/metrics").await?)),
                None => 0.0,
            });
        }
        Ok(sent)
    }

    pub(crate) async fn terminate_all(&mut self) -> Result<()> {
        if let Some(api) = self.running_api.take() {
            api.terminate(END_MAX).await?;
        }
        for index in self.running() {
            self.terminate(index).await?;
        }
        Ok(())
    }
}

/// Of a page of metrics, over all channels and providers.
fn sent_in(metrics: &str) -> f64 {
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("fanfare_deliveries_total{") && line.contains(r#"outcome="sent""#));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_added_up_over_channels() {
        let page = "# HELP fanfare_deliveries_total x\n\
            fanfare_deliveries_total{channel=\"email\",provider=\"a\",outcome=\"sent\"} 3\n\
            fanfare_deliveries_total{channel=\"email\",provider=\"a\",outcome=\"failed\"} 5\n\
            fanfare_deliveries_total{channel=\"webhook\",provider=\"b\",outcome=\"sent\"} 4\n";
        assert!((sent_in(page) - 7.0).abs() < 1e-9);
    }
}
