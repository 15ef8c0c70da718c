//! `fanfare-load forecast`: what a run at another rate would measure, by runs at lower ones; and how far that is from one that was made.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use super::answer::{Figure, Unit};
use super::capacity::times_words;
use super::laws::{Laws, Shares, shares};
use super::runs::{Run, Searched, Time};
use super::{read_all, report, write};
use crate::args;

/// Forecasts a run at another rate from measured ones, and compares the forecast with a run that was made.
#[derive(Debug, Args)]
pub(crate) struct ForecastArgs {
    /// A result of `scenario --out`; give two and more, of one scenario at different rates.
    #[arg(long, value_name = "RESULT", required = true)]
    measured: Vec<PathBuf>,
    /// Notifications a second; that of `--against` where it is not said.
    #[arg(long, value_parser = args::rate, required_unless_present = "against")]
    at: Option<f64>,
    /// A run that was made at that rate.
    #[arg(long, value_name = "RESULT")]
    against: Option<PathBuf>,
    /// A result of `saturate --out`, beside the highest rate that is forecast.
    #[arg(long, value_name = "RESULT")]
    saturation: Option<String>,
    /// The error up to which the forecast holds.
    #[arg(long, default_value = "0.1", value_parser = args::share)]
    within: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a report with plots to this file.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// A forecast, and what was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) forecast: Figure,
    pub(crate) measured: Option<Figure>,
    /// Of the measured value, as a share.
    pub(crate) error: Option<f64>,
}

impl Row {
    fn new(name: impl Into<String>, unit: Unit, forecast: Figure) -> Self {
        Self { name: name.into(), unit, forecast, measured: None, error: None }
    }

    fn beside(self, measured: Option<Figure>) -> Self {
        let error = measured
            .as_ref()
            .map(|measured| self.forecast.value / measured.value - 1.0)
            .filter(|error| !error.is_nan());
        Self { measured, error, ..self }
    }
}

/// What is forecast, and what it is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Notifications a second.
    pub(crate) rate: f64,
    pub(crate) against: Option<&'a Run>,
    pub(crate) searched: Option<&'a Searched>,
    /// The error up to which it holds, as a share.
    pub(crate) within: f64,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct Forecast {
    pub(crate) rate: f64,
    pub(crate) runs: String,
    pub(crate) within: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

impl ForecastArgs {
    /// Whether all that can be compared is within the bar.
    pub(crate) fn run(&self) -> Result<bool> {
        let runs = read_all(&self.measured)?;
        let against = self.against.as_ref().map(|path| Run::read(path)).transpose()?;
        let searched = self.saturation.as_ref().map(|argument| Searched::read(argument)).transpose()?;
        let rate = self.at.or(against.as_ref().map(|run| run.rate)).context("say the rate with `--at`")?;
        let forecast = Forecast::of(
            &runs,
            Asked { rate, against: against.as_ref(), searched: searched.as_ref(), within: self.within },
        )?;
        if let Some(path) = &self.html {
            write(path, &report::forecast(&runs, against.as_ref(), &forecast))?;
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&forecast).context("the forecast cannot be written as JSON")?);
        } else {
            print!("{forecast}");
        }
        Ok(forecast.holds())
    }
}

impl Forecast {
    /// An error if the runs tell no law, or are not of one kind of machine.
    pub(crate) fn of(runs: &[Run], asked: Asked<'_>) -> Result<Self> {
        let Asked { rate, against, searched, within } = asked;
        let laws = Laws::of(runs).context("the runs tell nothing: give at least one that accepted something")?;
        let machine = Machine::of(runs, against, &laws)?;
        let mut rows = Vec::new();
        let of = |words: &str| format!("{words}; {}", laws.runs);
        let measured = |value: f64| against.map(|run| Figure::measured(value, run.label.clone()));
        let see = |value: fn(&Run) -> f64| against.and_then(|run| measured(value(run)));
        let highest = machine.rate_at(1.0);
        let carried = Figure::computed(rate.min(highest), "the rate, or what the cores allow if that is less");
        rows.push(Row::new("throughput", Unit::PerSecond, carried).beside(see(|run| run.delivered)));
        let (cores, half) = laws.processor.cores(machine.nodes, rate, &machine.shares);
        rows.push(
            Row::new("processor of the engine", Unit::Cores, Figure::fitted(cores, half, of(&laws.processor.words())))
                .beside(see(|run| run.engine_cores)),
        );
        let used = machine.used(rate);
        rows.push(
            Row::new(
                "cores that are used",
                Unit::Share,
                Figure::computed(used / machine.cores, "engine, and what shares its machine"),
            )
            .beside(see(Run::utilisation)),
        );
        for (time, law) in &laws.times {
            let utilisation = used / machine.cores;
            let figure = Figure::fitted(law.at(utilisation), law.half_width(utilisation), of(times_words(law.grows())));
            let seen = against.and_then(|run| run.times.get(time)).and_then(|value| measured(*value));
            rows.push(Row::new(time.name(), Unit::Milliseconds, figure).beside(seen));
        }
        let memory = Figure::fitted(
            laws.memory.at(rate / machine.nodes),
            laws.memory.half_width(rate / machine.nodes),
            of(laws.memory.words()),
        );
        rows.push(Row::new("memory of an engine", Unit::Bytes, memory).beside(see(|run| run.memory)));
        let written = Figure::fitted(laws.written.at(rate), laws.written.half_width(rate), of(laws.written.words()));
        rows.push(Row::new("written to the disk", Unit::BytesPerSecond, written).beside(see(|run| run.written)));
        let (bound, why) = machine.highest(runs, &laws);
        let found = searched.map(|searched| Figure::measured(searched.saturation.rate, searched.label.clone()));
        rows.push(Row::new("highest rate", Unit::PerSecond, Figure::computed(bound, why)).beside(found));
        Ok(Self { rate, runs: laws.runs.clone(), within, rows, notes: notes(runs, against, rate, highest) })
    }

    /// Whether all that can be compared is within the bar.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().filter_map(|row| row.error).all(|error| error.abs() <= self.within)
    }
}

/// What the runs ran on.
struct Machine<'a> {
    laws: &'a Laws,
    cores: f64,
    nodes: f64,
    is_shared: bool,
    shares: Shares,
}

impl<'a> Machine<'a> {
    fn of(runs: &[Run], against: Option<&Run>, laws: &'a Laws) -> Result<Self> {
        let like = against.or(runs.last()).context("give a run with `--measured`")?;
        for run in runs {
            ensure!(
                run.all_cores() == like.all_cores() && run.nodes == like.nodes && run.is_shared == like.is_shared,
                "`{}` is of another machine or number of nodes than `{}`: forecast from runs on the same; `fanfare-load plan` takes different ones",
                run.label,
                like.label
            );
        }
        let shares = shares(like);
        Ok(Self { laws, cores: like.all_cores(), nodes: like.nodes, is_shared: like.is_shared, shares })
    }

    fn used(&self, rate: f64) -> f64 {
        let beside = if self.is_shared { self.laws.beside.at(rate) } else { 0.0 };
        self.laws.processor.cores(self.nodes, rate, &self.shares).0 + beside
    }

    /// The rate at which such a share of the cores is used.
    fn rate_at(&self, utilisation: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1e9);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if self.used(middle) <= utilisation * self.cores { low = middle } else { high = middle }
        }
        low
    }

    /// The highest rate at which the objectives of the scenario hold, by the laws; and which ends it.
    fn highest(&self, runs: &[Run], laws: &Laws) -> (f64, String) {
        let mut least = (self.rate_at(1.0), String::from("all cores are used then"));
        for time in Time::ALL {
            let objective = runs.iter().find_map(|run| run.objectives.get(time.objective()));
            let (Some(objective), Some(law)) = (objective, laws.times.get(&time)) else { continue };
            let rate = law.reaches(*objective).map_or(0.0, |utilisation| self.rate_at(utilisation));
            if rate < least.0 {
                least = (
                    rate,
                    format!("{} reaches its objective of {} then", time.name(), Unit::Milliseconds.text(*objective)),
                );
            }
        }
        least
    }
}

fn notes(runs: &[Run], against: Option<&Run>, rate: f64, highest: f64) -> Vec<String> {
    let mut notes = Vec::new();
    if runs.len() < 2 {
        notes.push("One run tells no idle cost and no growth: give a second at another rate.".to_owned());
    }
    let most = runs.iter().map(|run| run.rate).fold(0.0, f64::max);
    if rate > 2.0 * most {
        notes.push(format!(
            "It is more than twice the highest rate that was measured ({}): measure nearer to it.",
            Unit::PerSecond.text(most)
        ));
    }
    if rate > highest {
        notes.push(format!(
            "The cores allow {}: at this rate a backlog grows, and times are without end.",
            Unit::PerSecond.text(highest)
        ));
    }
    for run in runs.iter().chain(against).filter(|run| !run.doubts.is_empty()) {
        notes.push(format!("A doubtful run, {}: {}.", run.label, run.doubts.join("; ")));
    }
    notes
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {}, by {}", Unit::PerSecond.text(self.rate), self.runs)?;
        writeln!(f, "  {:<24} {:>14} {:>32} {:>14} {:>9}", "", "forecast", "interval", "measured", "error")?;
        for row in &self.rows {
            let interval = row
                .forecast
                .interval
                .map_or_else(String::new, |[low, high]| format!("{} to {}", row.unit.text(low), row.unit.text(high)));
            let measured = row.measured.as_ref().map_or_else(String::new, |measured| row.unit.text(measured.value));
            let error = row.error.map_or_else(String::new, |error| format!("{:+.1} %", error * 100.0));
            let mark = if row.error.is_some_and(|error| error.abs() > self.within) { '!' } else { ' ' };
            writeln!(
                f,
                "{mark} {:<24} {:>14} {interval:>32} {measured:>14} {error:>9}  [{}]",
                row.name,
                row.unit.text(row.forecast.value),
                row.forecast.source
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  · {note}"))?;
        if self.rows.iter().any(|row| row.error.is_some()) {
            let verdict = if self.holds() { "all within" } else { "not all within" };
            writeln!(f, "{verdict} {}", Unit::Share.text(self.within))?;
        }
        Ok(())
    }
}
