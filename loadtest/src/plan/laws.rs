//! The laws that the measured runs tell: what a notification costs of the processor, the memory and the disk, and how times grow. With too few runs
//! for a law a simpler one stands in its place, and says so.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Figure;
use super::numbers::{Fit, QueueLaw, Row, least_squares};
use super::runs::{Run, Time};

/// What part of all each channel is.
pub(crate) type Shares = BTreeMap<String, f64>;

/// Those of a run.
pub(crate) fn shares(run: &Run) -> Shares {
    let whole: f64 = run.by_channel.values().sum();
    run.by_channel.iter().map(|(channel, rate)| (channel.clone(), rate / whole)).collect()
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Laws {
    pub(crate) processor: Processor,
    /// Cores of harness and mocks by the rate.
    pub(crate) beside: Straight,
    /// Bytes of one engine, by the rate of one node.
    pub(crate) memory: Straight,
    /// Bytes a second by the rate.
    pub(crate) written: Straight,
    pub(crate) stored: Straight,
    /// A second by the rate.
    pub(crate) operations: BTreeMap<String, Straight>,
    pub(crate) times: BTreeMap<Time, QueueLaw>,
    /// The names of the runs.
    pub(crate) runs: String,
}

impl Laws {
    /// None without a run.
    pub(crate) fn of(runs: &[Run]) -> Option<Self> {
        let first = runs.first()?;
        let straight =
            |y: fn(&Run) -> f64| Straight::of(&runs.iter().map(|run| (run.rate, y(run), None)).collect::<Vec<_>>());
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.operations.keys()).collect();
        let operation = |name: &String| {
            let points: Vec<_> =
                runs.iter().filter_map(|run| Some((run.rate, *run.operations.get(name)?, None))).collect();
            Some((name.clone(), Straight::of(&points)?))
        };
        let time = |time: &Time| {
            let points: Vec<(f64, f64)> =
                runs.iter().filter_map(|run| Some((run.utilisation(), *run.times.get(time)?))).collect();
            Some((*time, QueueLaw::fit(&points, first.all_cores())?))
        };
        Some(Self {
            processor: Processor::of(runs)?,
            beside: straight(|run| run.beside_cores)?,
            memory: Straight::of(&runs.iter().map(|run| (run.rate / run.nodes, run.memory, None)).collect::<Vec<_>>())?,
            written: straight(|run| run.written)?,
            stored: straight(|run| run.stored)?,
            operations: names.into_iter().filter_map(operation).collect(),
            times: Time::ALL.iter().filter_map(time).collect(),
            runs: named(runs),
        })
    }
}

fn named(runs: &[Run]) -> String {
    let labels: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    match labels.as_slice() {
        [some @ .., last] if some.len() > 3 => format!("{} runs, {} to {last}", labels.len(), some[0]),
        labels => labels.join("; "),
    }
}

/// A rate, what was measured at it, and how sure that is: one standard error with its degrees of freedom.
pub(crate) type Seen = (f64, f64, Option<(f64, f64)>);

/// `y = base + each·rate`, neither below nothing.
#[derive(Debug, Clone)]
pub(crate) struct Straight {
    pub(crate) base: f64,
    pub(crate) each: f64,
    fit: Fit,
    has_base: bool,
    has_each: bool,
}

impl Straight {
    /// Through points of rate, value and its standard error. Where they tell no base it is 0 with one rate; a line that falls is a constant.
    pub(crate) fn of(points: &[Seen]) -> Option<Self> {
        let fit = |has_base: bool, has_each: bool| {
            let rows: Vec<Row> = points
                .iter()
                .map(|(rate, y, error)| Row { x: columns(*rate, has_base, has_each), y: *y, error: *error })
                .collect();
            let fit = least_squares(&rows)?;
            let base = if has_base { fit.coefficients[0] } else { 0.0 };
            let each = if has_each { *fit.coefficients.last()? } else { 0.0 };
            Some(Self { base, each, fit, has_base, has_each })
        };
        match fit(true, true) {
            Some(law) if law.each < 0.0 => fit(true, false),
            Some(law) if law.base < 0.0 => fit(false, true),
            Some(law) => Some(law),
            None => fit(false, true),
        }
    }

    /// What the law says at a rate.
    pub(crate) fn at(&self, rate: f64) -> f64 {
        self.base + self.each * rate
    }

    /// To either side of that.
    pub(crate) fn half_width(&self, rate: f64) -> Option<f64> {
        self.fit.half_width(&columns(rate, self.has_base, self.has_each))
    }

    /// To either side of what one more costs; none of a constant.
    pub(crate) fn each_half_width(&self) -> Option<f64> {
        let mut weights = vec![0.0; columns(1.0, self.has_base, self.has_each).len()];
        *weights.last_mut()? = 1.0;
        if self.has_each { self.fit.half_width(&weights) } else { None }
    }

    /// What the law is of, in words.
    pub(crate) fn words(&self) -> &'static str {
        match (self.has_base, self.has_each) {
            (true, true) => "a base and a cost each",
            (true, false) => "a constant, as it does not grow with the rate",
            _ => "a cost each without a base, as the runs tell none: an upper bound at higher rates",
        }
    }
}

fn columns(rate: f64, has_base: bool, has_each: bool) -> Vec<f64> {
    [(has_base, 1.0), (has_each, rate)].into_iter().filter(|(has, _)| *has).map(|(_, value)| value).collect()
}

/// Cores of all engines: `idle·nodes + Σ each(channel)·rate(channel)`.
#[derive(Debug, Clone)]
pub(crate) struct Processor {
    /// Cores of one node that does nothing.
    pub(crate) idle: f64,
    form: Form,
    fit: Fit,
    has_idle: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// The runs had different mixes, and tell channels apart.
    ByChannel(Vec<String>),
    /// A notification costs what it costs in the mix of the runs.
    Together,
}

impl Processor {
    fn of(runs: &[Run]) -> Option<Self> {
        let channels: BTreeSet<&String> = runs.iter().flat_map(|run| run.by_channel.keys()).collect();
        let channels: Vec<String> = channels.into_iter().cloned().collect();
        let mut forms = Vec::new();
        if channels.len() > 1 {
            forms.push((Form::ByChannel(channels), true));
        }
        forms.extend([(Form::Together, true), (Form::Together, false)]);
        forms.into_iter().find_map(|(form, has_idle)| Self::with(runs, form, has_idle))
    }

    /// With these columns; none if they cannot be told apart, or a cost comes out below nothing.
    fn with(runs: &[Run], form: Form, has_idle: bool) -> Option<Self> {
        let row = |run: &Run| Row {
            x: weights(&form, has_idle, run.nodes, run.rate, &run.by_channel),
            y: run.engine_cores,
            error: run.engine_cores_error,
        };
        let fit = least_squares(&runs.iter().map(row).collect::<Vec<Row>>())?;
        let idle = if has_idle { fit.coefficients[0] } else { 0.0 };
        let (idle_costs, costs) = fit.coefficients.split_at(usize::from(has_idle));
        let is_sound = idle_costs.iter().all(|idle| *idle >= 0.0) && costs.iter().all(|each| *each > 0.0);
        is_sound.then_some(Self { idle, form, fit, has_idle })
    }

    /// Cores of so many nodes at a rate of a mix (shares by channel).
    pub(crate) fn cores(&self, nodes: f64, rate: f64, shares: &Shares) -> (f64, Option<f64>) {
        let weights = self.weights(nodes, rate, shares);
        (self.fit.at(&weights), self.fit.half_width(&weights))
    }

    /// Processor seconds that one notification of the mix costs.
    pub(crate) fn each(&self, shares: &Shares) -> (f64, Option<f64>) {
        self.cores(0.0, 1.0, shares)
    }

    /// The rate of the mix at which one node uses so many cores; its ends are those of the costs.
    pub(crate) fn rate_at(&self, cores: f64, shares: &Shares) -> (f64, Option<[f64; 2]>) {
        let (each, _) = self.each(shares);
        let rate = ((cores - self.idle) / each).max(0.0);
        let (used, half) = self.cores(1.0, rate, shares);
        // The line is as sure at that rate as `half` says; a core more or less there is so many notifications.
        let interval = half.filter(|_| used > 0.0).map(|half| [(rate - half / each).max(0.0), rate + half / each]);
        (rate, interval)
    }

    /// Each channel's cost in seconds, of those that the runs tell apart.
    pub(crate) fn by_channel(&self) -> Vec<(&str, Figure)> {
        let Form::ByChannel(channels) = &self.form else { return Vec::new() };
        let mut figures = Vec::new();
        for channel in channels {
            let (each, half) = self.each(&BTreeMap::from([(channel.clone(), 1.0)]));
            figures.push((channel.as_str(), Figure::fitted(each * 1e6, half.map(|half| half * 1e6), self.words())));
        }
        figures
    }

    /// Whether the runs say what a channel costs; one they did not have costs what is usual in them.
    pub(crate) fn knows(&self, channel: &str) -> bool {
        matches!(&self.form, Form::ByChannel(channels) if channels.iter().any(|known| known == channel))
    }

    /// To either side of the idle cost; none without one.
    pub(crate) fn idle_half_width(&self) -> Option<f64> {
        let mut weights = vec![0.0; self.fit.coefficients.len()];
        weights[0] = 1.0;
        if self.has_idle { self.fit.half_width(&weights) } else { None }
    }

    /// How it was fitted.
    pub(crate) fn words(&self) -> String {
        let what = match (&self.form, self.has_idle) {
            (Form::ByChannel(_), _) => "idle cost and a cost by channel",
            (Form::Together, true) => {
                "idle cost and one cost for the mix of the runs, which does not tell channels apart"
            }
            (Form::Together, false) => {
                "one cost for the mix of the runs, idle cost in it: an upper bound at higher rates"
            }
        };
        format!("{what}; {}", self.fit.basis())
    }

    fn weights(&self, nodes: f64, rate: f64, shares: &Shares) -> Vec<f64> {
        let mut rates: BTreeMap<String, f64> =
            shares.iter().map(|(channel, share)| (channel.clone(), rate * share)).collect();
        if let Form::ByChannel(channels) = &self.form {
            // What no run had is spread over those there were.
            let unknown: f64 = rates.iter().filter(|(channel, _)| !self.knows(channel)).map(|(_, rate)| rate).sum();
            for channel in channels {
                *rates.entry(channel.clone()).or_default() += unknown / channels.len() as f64;
            }
        }
        weights(&self.form, self.has_idle, nodes, rate, &rates)
    }
}

fn weights(form: &Form, has_idle: bool, nodes: f64, rate: f64, rates: &BTreeMap<String, f64>) -> Vec<f64> {
    let mut weights = if has_idle { vec![nodes] } else { Vec::new() };
    match form {
        Form::ByChannel(channels) => {
            weights.extend(channels.iter().map(|channel| rates.get(channel).copied().unwrap_or(0.0)))
        }
        Form::Together => weights.push(rate),
    }
    weights
}

#[cfg(test)]
#[path = "laws_tests.rs"]
mod tests;
