//! What one node can do, what holds it back, and how many there must be.

use anyhow::{Result, bail};

use super::answer::{Figure, Section, Unit};
use super::demand::Demand;
use super::file::Plan;
use super::first::Resource;
use super::laws::Laws;
use super::numbers::{Known, Scaling};
use super::runs::{Run, Searched, Time};

/// What the planner knows.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) runs: Vec<Run>,
    pub(crate) laws: Option<Laws>,
    pub(crate) searched: Vec<Searched>,
    /// What is to be known of the choice of runs.
    pub(crate) note: Option<String>,
}

impl Witness {
    /// Of the runs, those on the backends of the plan: a node that shares a log and a database costs more than one alone. Others only if there are no such.
    pub(crate) fn of(plan: &Plan, runs: Vec<Run>, searched: Vec<Searched>) -> Self {
        let is_distributed = plan.store.is_some();
        let count = runs.len();
        let (fitting, others): (Vec<Run>, Vec<Run>) =
            runs.into_iter().partition(|run| run.is_distributed == is_distributed);
        let (wanted, given) = if is_distributed {
            ("Kafka, CQL and Redis", "embedded backends")
        } else {
            ("embedded backends", "Kafka, CQL and Redis")
        };
        let note = match (fitting.len(), others.len()) {
            (_, 0) => None,
            (0, _) => Some(format!(
                "The plan is for {wanted}, and all runs were on {given}: a notification costs something else there. Measure on {wanted} to know."
            )),
            (_, left) => {
                Some(format!("{left} of {count} runs were on {given} and are left out: the plan is for {wanted}."))
            }
        };
        let runs = if fitting.is_empty() { others } else { fitting };
        let laws = Laws::of(&runs);
        Self { runs, laws, searched, note }
    }
}

/// One thing that bounds a node.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) what: String,
    /// Notifications a second.
    pub(crate) rate: Figure,
}

/// How many nodes there must be, and why.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) bounds: Vec<Bound>,
    /// What one can do, with the bar on it.
    pub(crate) each: Figure,
    pub(crate) binding: String,
    pub(crate) scaling: Scaling,
    pub(crate) scaling_why: String,
    /// None if no number can do it.
    pub(crate) count: Option<u32>,
    gone: u32,
}

impl Nodes {
    /// An error if there is nothing to take a node's cost from.
    pub(crate) fn of(plan: &Plan, witness: &Witness, demand: &Demand) -> Result<Self> {
        let bounds = bounds(plan, witness)?;
        let Some(least) = bounds.iter().min_by(|a, b| a.rate.value.total_cmp(&b.rate.value)).cloned() else {
            bail!("nothing bounds a node: give a run with `--measured`");
        };
        if least.rate.value <= 0.0 {
            bail!(
                "a node of this plan carries nothing, by its {}: more cores or memory (`[node]`), or a later objective (`[objectives]`)",
                least.what
            );
        }
        let (shape, scaling_why) = scaling(plan, witness);
        let scaling = match shape {
            Some(shape) => shape.with_lambda(least.rate.value),
            None => bail!("the scaling cannot be fitted: state `scaling.sigma` and `scaling.kappa` in the plan"),
        };
        let count = scaling.nodes_for(demand.peak, plan.failures.nodes);
        Ok(Self {
            each: least.rate,
            binding: least.what,
            bounds,
            scaling,
            scaling_why,
            count,
            gone: plan.failures.nodes,
        })
    }

    /// What is left of them can do this, with as many gone as may be.
    pub(crate) fn carries(&self) -> f64 {
        self.count.map_or(self.scaling.most().1, |count| self.scaling.at(f64::from(count - self.gone.min(count - 1))))
    }

    /// What all of them can do.
    pub(crate) fn carries_whole(&self) -> f64 {
        self.count.map_or(self.scaling.most().1, |count| self.scaling.at(f64::from(count)))
    }

    /// What one can do, by each of its bounds, and what searches found.
    pub(crate) fn section_of_one(&self, plan: &Plan, witness: &Witness) -> Section {
        let mut section = Section::new("What one node can do");
        for bound in &self.bounds {
            section.line(format!("by its {}", bound.what), Unit::PerSecond, bound.rate.clone());
        }
        section.line(
            "so",
            Unit::PerSecond,
            Figure {
                source: super::answer::Source::Computed(format!("the least: its {}", self.binding)),
                ..self.each.clone()
            },
        );
        for searched in &witness.searched {
            let saturation = &searched.saturation;
            let limit = saturation.limit.as_ref().map_or("not known", |limit| limit.why.as_str());
            let searches = saturation.searches.len();
            let why = format!(
                "{}; {searches} searches, spread {}; limit: {limit}",
                searched.label,
                Unit::Share.text(saturation.spread)
            );
            section.line(
                format!("highest rate found on {} nodes", searched.nodes),
                Unit::PerSecond,
                Figure::measured(saturation.rate, why),
            );
        }
        section.note(format!(
            "At most {} of cores and memory are used (assumed: plan file, `node.utilisation`), on {} cores and {} GB.",
            Unit::Share.text(plan.node.utilisation),
            Unit::None.text(plan.node.cores),
            Unit::None.text(plan.node.memory_gb)
        ));
        section
    }

    /// How many there must be, and how they do at the peak with as many gone as may be.
    pub(crate) fn section(&self, plan: &Plan, witness: &Witness, demand: &Demand) -> (Section, Vec<Resource>) {
        let mut section = Section::new("Nodes");
        let parameter = |index: usize, value: f64| match self.scaling.fitted > index {
            // A bare shape has lost its intervals with its λ; they are those of the runs.
            true => Figure::fitted(value, self.shape_half_width(plan, witness, index), self.scaling_why.clone()),
            false => Figure::assumed(value, self.scaling_why.clone()),
        };
        section.line("σ, what one does at a time", Unit::None, parameter(1, self.scaling.sigma));
        section.line("κ, what pairs agree on", Unit::None, parameter(2, self.scaling.kappa));
        let Some(count) = self.count else {
            let (nodes, most) = self.scaling.most();
            let why = format!("X({nodes}), the most that any number can do");
            section.warn_if(
                true,
                "no number of nodes is enough; at most",
                Unit::PerSecond,
                Figure::computed(most, why),
            );
            section.note("Take larger nodes, measure several nodes (`--measured` of runs with `--nodes`) instead of assuming how they hinder each other, or divide the work among several clusters.");
            return (section, vec![Resource::rate("nodes", demand.peak, most, "X(n), the most")]);
        };
        let gone = plan.failures.nodes;
        let why = format!(
            "the fewest n with X(n − {gone}) ≥ the peak; X(n) = λn/(1 + σ(n−1) + κn(n−1)), λ = {}",
            Unit::PerSecond.text(self.each.value)
        );
        section.line(
            "nodes",
            Unit::Count,
            Figure { interval: self.count_interval(demand), ..Figure::computed(f64::from(count), why) },
        );
        let left = format!("they carry, {gone} gone");
        section.line(left, Unit::PerSecond, Figure::computed(self.carries(), format!("X({})", count - gone)));
        section.line(
            "they carry, all there",
            Unit::PerSecond,
            Figure::computed(self.carries_whole(), format!("X({count})")),
        );
        let used = demand.peak / self.carries() * plan.node.utilisation;
        section.line(
            format!("utilisation at the peak, {gone} gone"),
            Unit::Share,
            Figure::computed(used, format!("of the {}: the peak over X({}), × the bar", self.binding, count - gone)),
        );
        if let Some(laws) = &witness.laws {
            let at = (demand.peak / f64::from(count - gone)).min(self.each.value);
            let (cores, _) = laws.processor.cores(1.0, at, &plan.shares());
            let utilisation = cores / (plan.node.cores * plan.node.core_speed);
            for (time, law) in &laws.times {
                let why = format!(
                    "{} at {} of the cores, {gone} nodes gone; {}",
                    times_words(law.grows()),
                    Unit::Share.text(utilisation),
                    laws.runs
                );
                section.line(
                    format!("{} then", time.name()),
                    Unit::Milliseconds,
                    Figure::fitted(law.at(utilisation), law.half_width(utilisation), why),
                );
            }
        }
        if count > 1 && plan.store.is_none() {
            section.note("Several nodes share Kafka, a CQL database and Redis: add `[kafka]`, `[store]` and `[redis]` to the plan, and their costs.");
        }
        (
            section,
            vec![Resource::rate(
                format!("nodes, {gone} gone ({})", self.binding),
                demand.peak,
                self.carries(),
                format!("X({})", count - gone),
            )],
        )
    }

    fn shape_half_width(&self, plan: &Plan, witness: &Witness, index: usize) -> Option<f64> {
        scaling(plan, witness).0.and_then(|shape| shape.parameter_half_width(index))
    }

    /// With what one can do at the ends of its interval.
    fn count_interval(&self, demand: &Demand) -> Option<[f64; 2]> {
        let [low, high] = self.each.interval?;
        let count = |each: f64| self.scaling.with_lambda(each).nodes_for(demand.peak, self.gone).map(f64::from);
        Some([count(high)?, if low > 0.0 { count(low)? } else { return None }])
    }
}

/// The law of a time, in words.
pub(crate) fn times_words(grows: bool) -> &'static str {
    if grows { "base + k·w(ρ)" } else { "a constant, as it does not grow with the load" }
}

fn bounds(plan: &Plan, witness: &Witness) -> Result<Vec<Bound>> {
    let mut bounds = vec![processor_bound(plan, witness)?];
    let bar = plan.node.utilisation;
    bounds.extend(memory_bound(plan, witness));
    bounds.extend(disk_bound(plan, witness));
    let Some(laws) = &witness.laws else { return Ok(bounds) };
    let promised =
        [(Time::CreateP99, plan.objectives.create_p99_ms), (Time::HandOverP99, plan.objectives.hand_over_p99_ms)];
    for (time, objective) in promised {
        let (Some(objective), Some(law)) = (objective, laws.times.get(&time)) else { continue };
        let utilisation = law.reaches(objective).unwrap_or(0.0);
        let (rate, interval) =
            laws.processor.rate_at(utilisation * plan.node.cores * plan.node.core_speed, &plan.shares());
        let why = format!(
            "{} reaches {} at {} of the cores; {}",
            times_words(law.grows()),
            Unit::Milliseconds.text(objective),
            Unit::Share.text(utilisation),
            laws.runs
        );
        bounds.push(Bound {
            what: format!("latency ({})", time.name()),
            rate: Figure { interval, ..Figure::fitted(rate, None, why) },
        });
    }
    for searched in witness.searched.iter().filter(|searched| searched.nodes == 1.0) {
        let limit = searched.saturation.limit.as_ref().map(|limit| limit.resource.as_str()).unwrap_or("processor");
        // The cores are in the first line; what held the harness back says nothing of a node.
        if !["processor", "harness"].contains(&limit) && !limit.starts_with("provider") {
            let why = format!("{}, × {}", searched.label, Unit::Share.text(bar));
            bounds.push(Bound { what: limit.to_owned(), rate: Figure::measured(searched.saturation.rate * bar, why) });
        }
    }
    Ok(bounds)
}

fn processor_bound(plan: &Plan, witness: &Witness) -> Result<Bound> {
    let node = &plan.node;
    let cores = node.cores * node.utilisation * node.core_speed;
    let what = String::from("processor");
    if let Some(laws) = &witness.laws {
        let (rate, interval) = laws.processor.rate_at(cores, &plan.shares());
        let why = format!("{} cores, {}; {}", Unit::None.text(cores), laws.processor.words(), laws.runs);
        return Ok(Bound { what, rate: Figure { interval, ..Figure::fitted(rate, None, why) } });
    }
    let each = plan.engine.each(plan)?;
    let rate = ((cores - plan.engine.idle_cores) / each).max(0.0);
    let why = format!(
        "{} cores, {} a notification: {}",
        Unit::None.text(cores),
        Unit::Microseconds.text(each * 1e6),
        plan.engine.why
    );
    Ok(Bound { what, rate: Figure::assumed(rate, why) })
}

/// Up to the bar of its memory; none where memory does not grow with the rate and there is enough.
fn memory_bound(plan: &Plan, witness: &Witness) -> Option<Bound> {
    let bar = plan.node.utilisation;
    let (base, each, why) = match &witness.laws {
        Some(laws) => (laws.memory.base, laws.memory.each, format!("memory, {}; {}", laws.memory.words(), laws.runs)),
        None => (plan.engine.memory_mb? * 1e6, 0.0, plan.engine.why.clone()),
    };
    let room = plan.node.memory_gb * 1e9 * bar - base;
    if each == 0.0 && room >= 0.0 {
        return None;
    }
    let rate = if room > 0.0 { room / each } else { 0.0 };
    let why = format!("{why}; up to {} of it", Unit::Share.text(bar));
    let figure = if witness.laws.is_some() { Figure::fitted(rate, None, why) } else { Figure::assumed(rate, why) };
    Some(Bound { what: "memory".into(), rate: figure })
}

/// Up to the bar of what its disk writes, where the plan says that.
fn disk_bound(plan: &Plan, witness: &Witness) -> Option<Bound> {
    let room = plan.node.disk_write_mb? * 1e6 * plan.node.utilisation;
    let (base, each, why) = match &witness.laws {
        Some(laws) => {
            (laws.written.base, laws.written.each, format!("written, {}; {}", laws.written.words(), laws.runs))
        }
        None => (0.0, plan.engine.written_bytes?, plan.engine.why.clone()),
    };
    let rate = ((room - base) / each).max(0.0);
    let why =
        format!("{why}; up to {} of what it writes (assumed: plan file)", Unit::Share.text(plan.node.utilisation));
    let figure = if witness.laws.is_some() { Figure::fitted(rate, None, why) } else { Figure::assumed(rate, why) };
    (each > 0.0).then(|| Bound { what: "disk".into(), rate: figure })
}

impl super::file::Engine {
    /// Seconds of processor time for a notification of the plan's mix, as the plan says it; an error if it does not.
    pub(crate) fn each(&self, plan: &Plan) -> Result<f64> {
        let mut each = 0.0;
        for channel in &plan.channels {
            let Some(cost) = self.processor_us.get(&channel.name).or_else(|| self.processor_us.get("default")) else {
                bail!(
                    "there is nothing to take the processor time of `{}` from: give runs with `--measured`, or state `engine.processor_us.{}` (or \
                     `engine.processor_us.default`) in the plan",
                    channel.name,
                    channel.name
                );
            };
            each += channel.share * cost / 1e6;
        }
        Ok(each)
    }
}

/// How several nodes hinder each other, and where that is from.
fn scaling(plan: &Plan, witness: &Witness) -> (Option<Scaling>, String) {
    let known = Known { sigma: plan.scaling.sigma, kappa: plan.scaling.kappa };
    let assumed = || (Scaling::fit(&[(1.0, 1.0)], known), plan.scaling.why.clone());
    let searched: Vec<(f64, f64)> =
        witness.searched.iter().map(|searched| (searched.nodes, searched.saturation.rate)).collect();
    let (points, of) = match counts(&searched) {
        1.. if counts(&searched) > 1 => (searched, "the highest rates found"),
        _ => (implied(witness), "rates that the processor time of the runs would allow"),
    };
    let why = match counts(&points) {
        0 | 1 => return assumed(),
        2 => format!("{of}, on two numbers of nodes: κ is taken as 0"),
        several => format!("{of}, on {several} numbers of nodes"),
    };
    match Scaling::fit(&points, known) {
        Some(scaling) if points.len() <= scaling.fitted => {
            (Some(scaling), format!("{why}; as many points as unknowns: no interval"))
        }
        Some(scaling) => (Some(scaling), why),
        None => assumed(),
    }
}

fn counts(points: &[(f64, f64)]) -> usize {
    let mut counts: Vec<u64> = points.iter().map(|(nodes, _)| *nodes as u64).collect();
    counts.sort_unstable();
    counts.dedup();
    counts.len()
}

/// What each run's nodes could do with all their cores, by what a notification cost them beyond what they do anyway.
fn implied(witness: &Witness) -> Vec<(f64, f64)> {
    let idle = witness.laws.as_ref().map_or(0.0, |laws| laws.processor.idle);
    let point =
        |run: &Run| (run.nodes, run.rate * run.nodes * (run.cores - idle) / (run.engine_cores - run.nodes * idle));
    witness.runs.iter().map(point).filter(|(_, rate)| rate.is_finite() && *rate > 0.0).collect()
}
