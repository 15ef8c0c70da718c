//! `fanfare-load scenario`: the load of a file, and what came of it. In: a scenario, and an engine to start or one that runs. Out: a
//! [`Measured`](crate::measured::Measured) as text, JSON and one page of HTML. Promised: arrivals follow the file whatever the engine does, every
//! latency counts from the intended start, and each accepted notification is looked for at the mock.

mod file;
mod names;
mod shape;
mod curve;
mod zipf;
mod body;
mod driver;
mod place;
mod watch;
mod figures;
mod limit;
mod measure;
mod report;
mod html;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::args;
use crate::progress::Progress;
pub(crate) use file::Scenario;
pub(crate) use measure::{Way, measure};
pub(crate) use place::PlaceArgs;

/// Runs a scenario from a file and says whether its objectives hold.
#[derive(Debug, Args)]
pub(crate) struct ScenarioArgs {
    /// The scenario.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Multiplies all rates.
    #[arg(long, default_value = "1", value_parser = args::rate)]
    pub(crate) scale: f64,
    /// How long the load goes on, instead of what the file says.
    #[arg(long, value_parser = args::duration)]
    pub(crate) duration: Option<Duration>,
    /// Write the result to this file, as JSON.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Write a report to this file: one page that needs nothing else.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep data and log of a started engine, also when all holds.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl ScenarioArgs {
    /// Whether all objectives hold.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut scenario = Scenario::read(&self.file)?;
        if let Some(duration) = self.duration {
            scenario.duration = duration;
        }
        let mut progress = Progress::new(self.json);
        let way = Way { scale: self.scale, number: 1, keep: self.keep };
        let measured = measure(&scenario, &self.place, way, &mut progress).await?;
        progress.finish();
        let json = serde_json::to_string_pretty(&measured)?;
        if let Some(path) = &self.out {
            std::fs::write(path, &json).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        if let Some(path) = &self.html {
            std::fs::write(path, html::page(&measured))
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        match self.json {
            true => println!("{json}"),
            false => print!("{}", report::Text(&measured)),
        }
        Ok(measured.objectives.iter().all(|objective| objective.holds))
    }
}

#[cfg(test)]
mod tests;
