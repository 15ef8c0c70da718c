//! What is done to a cluster, and how long it takes to get over it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::process::Command;

use super::report::Round;
use super::{Fault, Test};
use crate::progress::Progress;
use crate::random::Dice;

/// All ids that arrived are fetched and compared.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The longest that a cluster may take to get over a fault before the next is done to it.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

impl Test<'_> {
    pub(super) async fn faults(&mut self, progress: &mut Progress) -> Result<Vec<Round>> {
        if self.args.fault == Fault::None {
            return Ok(Vec::new());
        }
        let dice = Dice::new(self.args.seed);
        let mut rounds = Vec::new();
        for number in 0..self.args.rounds {
            let text = format!("round {} of {}: {} accepted", number + 1, self.args.rounds, self.load.accepted());
            progress.show(f64::from(number) / f64::from(self.args.rounds), &text);
            // Another moment within a beat each time.
            self.wait(self.args.pause.mul_f64(0.5 + dice.share())).await?;
            let duplicates = self.mock.stats().await?.total().duplicates;
            let mut round = match self.args.fault {
                Fault::None => return Ok(rounds),
                Fault::Kill => self.kill(&dice).await?,
                Fault::Stop => self.stop(&dice).await?,
                Fault::Churn => self.churn(&dice).await?,
                Fault::Outage => self.outage().await?,
            };
            round.duplicates = self.mock.stats().await?.total().duplicates - duplicates;
            rounds.push(round);
        }
        Ok(rounds)
    }

    async fn kill(&mut self, dice: &Dice) -> Result<Round> {
        let index = self.pick(dice)?;
        self.nodes.kill(index).await?;
        let recovered = self.recovered().await?;
        let ready = self.nodes.start(index).await?;
        Ok(Round { node: Some(index + 1), what: "killed", recovered, ready: Some(ready), ..Round::default() })
    }

    async fn stop(&mut self, dice: &Dice) -> Result<Round> {
        let index = self.pick(dice)?;
        let engine = self.nodes.engines[index].as_ref().context("it does not run")?;
        engine.signal(Signal::STOP)?;
        let began = Instant::now();
        let recovered = self.recovered().await?;
        self.wait(self.args.outage.saturating_sub(began.elapsed())).await?;
        let engine = self.nodes.engines[index].as_ref().context("it does not run")?;
        engine.signal(Signal::CONT)?;
        self.wait(self.args.pause).await?;
        Ok(Round { node: Some(index + 1), what: "stopped", recovered, ..Round::default() })
    }

    async fn churn(&mut self, dice: &Dice) -> Result<Round> {
        let all = self.nodes.engines.len();
        let gone = (0..all).find(|index| self.nodes.engines[*index].is_none());
        match gone {
            Some(index) => {
                let ready = self.nodes.start(index).await?;
                Ok(Round { node: Some(index + 1), what: "joined", ready: Some(ready), ..Round::default() })
            }
            None => {
                let index = self.pick(dice)?;
                let ended = self.nodes.terminate(index).await?;
                Ok(Round { node: Some(index + 1), what: "left", ended: Some(ended), ..Round::default() })
            }
        }
    }

    async fn outage(&mut self) -> Result<Round> {
        shell(self.args.stop_command.as_deref().unwrap_or_default()).await?;
        let accepted = self.load.accepted();
        self.wait(self.args.outage).await?;
        let meanwhile = self.load.accepted() - accepted;
        shell(self.args.start_command.as_deref().unwrap_or_default()).await?;
        let recovered = self.recovered().await?;
        Ok(Round { what: "outage", recovered, accepted_meanwhile: Some(meanwhile), ..Round::default() })
    }

    fn pick(&self, dice: &Dice) -> Result<usize> {
        let running = self.nodes.running();
        ensure!(!running.is_empty(), "no engine runs");
        Ok(running[dice.roll() as usize % running.len()])
    }

    /// How long it takes until everything has arrived that is accepted now.
    async fn recovered(&self) -> Result<Option<Duration>> {
        let (accepted, began) = (self.load.ledger(), Instant::now());
        loop {
            // Merged messages do not name what they stand for: as many have arrived, and at the end all are counted.
            let is_there = match self.args.merge {
                None => accepted.missing(&self.mock.ids().await?).count() == 0,
                Some(_) => self.mock.stats().await?.items.unwrap_or_default() >= accepted.len(),
            };
            if is_there {
                return Ok(Some(began.elapsed()));
            }
            if began.elapsed() > RECOVERY_MAX {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn shell(command: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", command]).status().await.context("cannot run a shell")?;
    ensure!(status.success(), "`{command}` failed");
    Ok(())
}
