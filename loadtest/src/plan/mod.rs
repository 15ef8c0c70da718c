//! `fanfare-load plan` and `fanfare-load forecast`: from what was measured to what will be needed. In: results of `scenario` and `saturate`, and a plan file that says
//! what is to be carried. Out: text, JSON and a report. Promised: each number has its source beside it (measured, fitted with its interval, assumed, or
//! computed of those), and what neither runs nor plan tell is an error that says what to give.
//!
//! `numbers` has the numerics, `runs` and `file` read, `laws` fits; `demand`, `capacity`, `providers`, `backends`, `money` and `first` answer.

mod file;
mod checks;
mod runs;
mod laws;
mod demand;
mod capacity;
mod providers;
mod backends;
mod money;
mod first;
mod forecast;
mod answer;
mod report;
mod numbers;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

pub(crate) use forecast::ForecastArgs;

use answer::{Section, Unit};
use capacity::{Nodes, Witness};
use demand::Demand;
use file::Plan;
use first::Resource;
use runs::{Run, Searched};

/// Says how many machines a plan needs, what they cost, and what breaks first; each number with its source.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The plan (TOML); see loadtest/plans/.
    file: PathBuf,
    /// A result of `scenario --out`; repeat it for runs at other rates, mixes and numbers of nodes.
    #[arg(long, value_name = "RESULT")]
    measured: Vec<PathBuf>,
    /// A result of `saturate --out`; `3:FILE` if it was of three nodes.
    #[arg(long, value_name = "[NODES:]RESULT")]
    saturation: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a report with plots to this file.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the JSON to this file.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// All that is said of a plan.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    name: String,
    description: String,
    sections: Vec<Section>,
}

impl PlanArgs {
    /// Prints and writes the answer; an error says what to give or to mend.
    pub(crate) fn run(&self) -> Result<()> {
        let plan = Plan::read(&self.file)?;
        let witness = Witness::of(
            &plan,
            read_all(&self.measured)?,
            self.saturation.iter().map(|argument| Searched::read(argument)).collect::<Result<_>>()?,
        );
        let found = Found::of(&plan, &witness)?;
        let json = serde_json::to_string_pretty(&found.answer).context("the answer cannot be written as JSON")?;
        if let Some(path) = &self.out {
            write(path, &json)?;
        }
        if let Some(path) = &self.html {
            write(path, &report::plan(&plan, &witness, &found))?;
        }
        if self.json {
            println!("{json}");
        } else {
            print!("{}", found.answer);
        }
        Ok(())
    }
}

/// The answer, and what plots are made of.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) answer: Answer,
    pub(crate) demand: Demand,
    pub(crate) nodes: Nodes,
    /// From the scarcest on.
    pub(crate) resources: Vec<Resource>,
}

impl Found {
    /// An error if neither the runs nor the plan tell something that is needed.
    pub(crate) fn of(plan: &Plan, witness: &Witness) -> Result<Self> {
        let demand = Demand::of(plan);
        let nodes = Nodes::of(plan, witness, &demand)?;
        let mut sections = vec![demand.section(plan), costs(plan, witness)?, nodes.section_of_one(plan, witness)];
        let (of_nodes, mut resources) = nodes.section(plan, witness, &demand);
        sections.push(of_nodes);
        let (of_backends, of_them, machines) =
            backends::sections(backends::Asked { plan, witness, demand: &demand, nodes: &nodes })?;
        sections.extend(of_backends);
        resources.extend(of_them);
        let (of_providers, of_them) = providers::section(plan, &demand);
        sections.push(of_providers);
        resources.extend(of_them);
        if demand.backlog > 0.0 {
            sections.push(providers::backlog(plan, &demand, &nodes));
        }
        let (of_money, money) = money::section(plan, &demand, &nodes, machines);
        sections.push(of_money);
        if let Some(published) = &plan.published {
            sections.push(money::compared(plan, published, &money, &nodes));
        }
        let (of_first, resources) = first::section(resources);
        sections.push(of_first);
        let answer = Answer { name: plan.name.clone(), description: plan.description.clone(), sections };
        Ok(Self { answer, demand, nodes, resources })
    }
}

/// What a notification costs, as fitted, or as the plan says it.
fn costs(plan: &Plan, witness: &Witness) -> Result<Section> {
    use answer::Figure;
    let mut section = Section::new("What a notification costs");
    let Some(laws) = &witness.laws else {
        for channel in &plan.channels {
            if let Some(cost) =
                plan.engine.processor_us.get(&channel.name).or_else(|| plan.engine.processor_us.get("default"))
            {
                section.line(
                    format!("processor, {}", channel.name),
                    Unit::Microseconds,
                    Figure::assumed(*cost, plan.engine.why.clone()),
                );
            }
        }
        let each = plan.engine.each(plan)?;
        section.line(
            "processor, in this mix",
            Unit::Microseconds,
            Figure::assumed(each * 1e6, plan.engine.why.clone()),
        );
        section.line(
            "processor of an idle node",
            Unit::Cores,
            Figure::assumed(plan.engine.idle_cores, plan.engine.why.clone()),
        );
        let others = [
            ("memory of a node", Unit::Bytes, plan.engine.memory_mb.map(|size| size * 1e6)),
            ("written to the disk", Unit::Bytes, plan.engine.written_bytes),
        ];
        for (name, unit, value) in others {
            if let Some(value) = value {
                section.line(name, unit, Figure::assumed(value, plan.engine.why.clone()));
            }
        }
        section.note("No run was given: all costs are what the plan says. Measure with `fanfare-load scenario --out` and give the results with `--measured`.");
        return Ok(section);
    };
    let shares = plan.shares();
    for (channel, figure) in laws.processor.by_channel() {
        section.line(format!("processor, {channel}"), Unit::Microseconds, figure);
    }
    let (each, half) = laws.processor.each(&shares);
    let of = |words: &str| format!("{words}; {}", laws.runs);
    let micros = |half: Option<f64>| half.map(|half| half * 1e6);
    section.line(
        "processor, in this mix",
        Unit::Microseconds,
        Figure::fitted(each * 1e6, micros(half), of(&laws.processor.words())),
    );
    section.line(
        "processor of an idle node",
        Unit::Cores,
        Figure::fitted(laws.processor.idle, laws.processor.idle_half_width(), of(&laws.processor.words())),
    );
    section.line(
        "memory of a node without load",
        Unit::Bytes,
        Figure::fitted(laws.memory.base, laws.memory.half_width(0.0), of(laws.memory.words())),
    );
    let each_of = |law: &laws::Straight| Figure::fitted(law.each, law.each_half_width(), of(law.words()));
    section.line("memory for one a second", Unit::Bytes, each_of(&laws.memory));
    section.line("written to the disk", Unit::Bytes, each_of(&laws.written));
    section.line("stored", Unit::Bytes, each_of(&laws.stored));
    for (name, law) in &laws.operations {
        section.line(format!("operations, {name}"), Unit::None, each_of(law));
    }
    let unknown: Vec<&str> =
        plan.channels.iter().map(|channel| channel.name.as_str()).filter(|name| !laws.processor.knows(name)).collect();
    if !unknown.is_empty() {
        section.note(format!("The runs do not tell what {} costs by itself: it is taken to cost what is usual in them. Measure runs of other mixes to know.", unknown.join(", ")));
    }
    if let Some(note) = &witness.note {
        section.note(note.clone());
    }
    for run in witness.runs.iter().filter(|run| !run.doubts.is_empty()) {
        section.note(format!("A doubtful run, {}: {}.", run.label, run.doubts.join("; ")));
    }
    Ok(section)
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Run>> {
    paths.iter().map(|path| Run::read(path)).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .with_context(|| format!("cannot write `{}`: name a file in a folder that is there", path.display()))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        if !self.description.is_empty() {
            writeln!(f, "{}", self.description)?;
        }
        self.sections.iter().try_for_each(|section| write!(f, "\n{section}"))
    }
}
