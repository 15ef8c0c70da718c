//! `fanfare-load saturate`: the highest rate at which a scenario's objectives hold. In: a scenario, an engine's program, a rate to begin at.
//! Out: a [`Saturation`]. Promised: each step is the scenario itself, only scaled, on a fresh engine; nothing is left of the step before.

mod search;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::args;
use crate::measured::{FORMAT, Limit, Measured, Saturation, Search, Step};
use crate::progress::Progress;
use crate::scenario::{PlaceArgs, Scenario, Way, measure};
use search::Bisection;

/// Finds the highest rate at which a scenario's objectives hold.
#[derive(Debug, Args)]
pub(crate) struct SaturateArgs {
    /// The scenario.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// The rate to begin at, notifications a second of all streams together; what the file says otherwise.
    #[arg(long, value_parser = args::rate)]
    pub(crate) from: Option<f64>,
    /// How long the load of a step goes on, after the scenario's warm-up.
    #[arg(long, default_value = "30s", value_parser = args::duration)]
    pub(crate) step: Duration,
    /// How close the highest rate that holds and the lowest that does not are to be, as a share.
    #[arg(long, default_value = "0.03", value_parser = args::share)]
    pub(crate) precision: f64,
    /// How often to search from the start.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) repeat: u16,
    /// Write the result to this file, as JSON.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Write a report to this file: one page that needs nothing else.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl SaturateArgs {
    /// Whether there is a rate at which the objectives hold.
    pub(crate) async fn run(self) -> Result<bool> {
        ensure!(self.place.engine.is_some(), "a search starts a fresh engine for each step: say which with `--engine`");
        ensure!(self.precision >= 0.005, "`--precision` is at least 0.005: no machine is steadier than that");
        let mut scenario = Scenario::read(&self.file)?;
        ensure!(!scenario.objectives.is_empty(), "the scenario has no `[objectives]`: any rate would do");
        scenario.duration = self.step;
        let saturation = self.search_all(&scenario).await?;
        let json = serde_json::to_string_pretty(&saturation)?;
        if let Some(path) = &self.out {
            std::fs::write(path, &json).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        if let Some(path) = &self.html {
            let page = report::page(&saturation);
            std::fs::write(path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        match self.json {
            true => println!("{json}"),
            false => print!("{}", report::Text(&saturation)),
        }
        Ok(saturation.rate > 0.0)
    }

    async fn search_all(&self, scenario: &Scenario) -> Result<Saturation> {
        let base = scenario.mean_rate()?;
        let mut searches = Vec::new();
        let mut number = 0;
        for _ in 0..self.repeat {
            let mut search = Search { rate: 0.0, steps: Vec::new() };
            let mut bisection = Bisection::new(self.from.unwrap_or(base), self.precision);
            while let Some(rate) = bisection.next() {
                number += 1;
                let step = self.step(scenario, rate, rate / base, number).await?;
                bisection.tell(rate, step.holds);
                search.steps.push(step);
            }
            search.rate = bisection.best();
            searches.push(search);
        }
        let (rate, spread) = search::median_and_spread(searches.iter().map(|search| search.rate));
        let limit = most_frequent(&searches);
        Ok(Saturation { format: FORMAT, scenario: scenario.name.clone(), searches, rate, spread, limit })
    }

    async fn step(&self, scenario: &Scenario, rate: f64, scale: f64, number: u32) -> Result<Step> {
        let mut progress = Progress::new(self.json);
        let way = Way { scale, number, keep: false };
        let measured = measure(scenario, &self.place, way, &mut progress).await?;
        progress.finish();
        let step = Step::of(rate, &measured);
        if !self.json {
            let verdict = if step.holds { "holds".to_owned() } else { format!("missed: {}", step.missed.join(", ")) };
            eprintln!("step {number}: {rate:.0}/s {verdict}");
        }
        Ok(step)
    }
}

impl Step {
    fn of(rate: f64, measured: &Measured) -> Self {
        let missed = measured.objectives.iter().filter(|objective| !objective.holds);
        let missed: Vec<String> = missed.map(|objective| objective.name.clone()).collect();
        let cpu: f64 = measured.engines.iter().map(|engine| engine.cpu_seconds).sum();
        Self {
            rate,
            holds: missed.is_empty(),
            missed,
            engine_cores: cpu / measured.seconds.max(1e-3),
            create_p99: measured.create.p99,
            hand_over_p99: measured.hand_over.values().map(|latency| latency.p99).max_by(f64::total_cmp),
            limit: measured.limit.clone(),
        }
    }
}

/// What the first step beyond the highest rate was limited by, in most of the searches.
fn most_frequent(searches: &[Search]) -> Option<Limit> {
    let beyond = |search: &Search| {
        let failed = search.steps.iter().filter(|step| !step.holds);
        failed.min_by(|one, other| one.rate.total_cmp(&other.rate)).and_then(|step| step.limit.clone())
    };
    let limits: Vec<Limit> = searches.iter().filter_map(beyond).collect();
    let count = |limit: &&Limit| limits.iter().filter(|other| other.resource == limit.resource).count();
    limits.iter().max_by_key(count).cloned()
}
