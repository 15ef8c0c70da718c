//! What providers take: who binds at the peak, also with some out, and how long a backlog takes.

use super::answer::{Figure, Section, Unit};
use super::capacity::Nodes;
use super::demand::Demand;
use super::file::{Channel, Plan, Provider};
use super::first::Resource;

/// A channel's providers together, calls a second.
#[derive(Debug, Clone)]
pub(crate) struct Limit<'a> {
    pub(crate) channel: &'a Channel,
    /// None where the plan names no provider.
    pub(crate) whole: Option<f64>,
    /// With the largest ones out, as many as may be.
    pub(crate) left: f64,
}

/// Of each channel of the plan.
pub(crate) fn limits(plan: &Plan) -> Vec<Limit<'_>> {
    let limit = |channel| {
        let mut rates: Vec<f64> = of(plan, channel).map(|provider| provider.rate_per_second).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        let left = rates.iter().skip(plan.failures.providers as usize).sum();
        Limit { channel, whole: (!rates.is_empty()).then(|| rates.iter().sum()), left }
    };
    plan.channels.iter().map(limit).collect()
}

fn of<'a>(plan: &'a Plan, channel: &'a Channel) -> impl Iterator<Item = &'a Provider> {
    plan.providers.iter().filter(|provider| provider.channel == channel.name)
}

/// What they take, beside what comes at the peak, all there and with some out.
pub(crate) fn section(plan: &Plan, demand: &Demand) -> (Section, Vec<Resource>) {
    let (mut section, mut resources) = (Section::new("Providers"), Vec::new());
    let out = plan.failures.providers;
    for limit in limits(plan) {
        let name = &limit.channel.name;
        let calls = demand.calls(limit.channel.share * limit.channel.calls_each, demand.peak);
        let a_day = calls / plan.demand.peak_factor * 86_400.0;
        for provider in of(plan, limit.channel) {
            section.line(
                format!("{name}, {} takes", provider.name),
                Unit::PerSecond,
                Figure::assumed(provider.rate_per_second, provider.why.clone()),
            );
        }
        let Some(whole) = limit.whole else {
            section.note(format!(
                "No provider of `{name}` is named, so nothing is said of its limit: add `[[providers]]`."
            ));
            continue;
        };
        section.warn_if(
            calls > whole,
            format!("{name}, used at the peak"),
            Unit::Share,
            Figure::computed(
                calls / whole,
                format!("{} of {}", Unit::PerSecond.text(calls), Unit::PerSecond.text(whole)),
            ),
        );
        section.line(
            format!("{name}, a day's takes"),
            Unit::Seconds,
            Figure::computed(a_day / whole, "a day's calls over what its providers take"),
        );
        if calls > whole {
            section.note(format!(
                "At the peak {} more of `{name}` come than its providers take: they wait and are not lost, and the wait grows for as long as the peak lasts.",
                Unit::PerSecond.text(calls - whole)
            ));
        }
        resources.push(Resource::rate(format!("{name}: its providers"), calls, whole, "limits of the plan file"));
        if out == 0 {
            continue;
        }
        if limit.left > 0.0 {
            section.warn_if(
                calls > limit.left,
                format!("{name}, used with {out} out"),
                Unit::Share,
                Figure::computed(
                    calls / limit.left,
                    format!("{} of {}", Unit::PerSecond.text(calls), Unit::PerSecond.text(limit.left)),
                ),
            );
        } else {
            let waiting = a_day / 24.0;
            section.warn_if(
                true,
                format!("{name}, waiting after an hour with {out} out"),
                Unit::Count,
                Figure::computed(waiting, "it has no other provider; on average"),
            );
            section.note(format!("`{name}` has no provider left with {out} out: name another one, or let it fall back to another channel."));
        }
        resources.push(Resource::rate(
            format!("{name}: its providers, {out} out"),
            calls,
            limit.left,
            "limits of the plan file without the largest",
        ));
    }
    (section, resources)
}

/// How long a backlog takes that is divided as the rest, while the average goes on.
pub(crate) fn backlog(plan: &Plan, demand: &Demand, nodes: &Nodes) -> Section {
    let mut section = Section::new("A backlog");
    section.line("waiting", Unit::Count, Figure::assumed(demand.backlog, "plan file, `demand.backlog`"));
    let takes = |amount: f64, limit: f64, meanwhile: f64| {
        if limit > meanwhile { amount / (limit - meanwhile) } else { f64::INFINITY }
    };
    let mut slowest = (takes(demand.backlog, nodes.carries(), demand.average), "the nodes".to_owned());
    let gone = plan.failures.nodes;
    section.warn_if(
        !slowest.0.is_finite(),
        format!("through the nodes, {gone} gone"),
        Unit::Seconds,
        Figure::computed(slowest.0, format!("over {} less the average", Unit::PerSecond.text(nodes.carries()))),
    );
    for limit in limits(plan) {
        let (Some(whole), name) = (limit.whole, &limit.channel.name) else { continue };
        let each = limit.channel.share * limit.channel.calls_each;
        if each == 0.0 {
            continue;
        }
        let average = demand.calls(each, demand.average);
        let seconds = takes(demand.backlog * each, whole, average);
        let why = format!(
            "its part over {} less its average of {}",
            Unit::PerSecond.text(whole),
            Unit::PerSecond.text(average)
        );
        section.warn_if(
            !seconds.is_finite(),
            format!("through the providers of {name}"),
            Unit::Seconds,
            Figure::computed(seconds, why),
        );
        if seconds > slowest.0 {
            slowest = (seconds, format!("the providers of {name}"));
        }
    }
    let (seconds, by) = slowest;
    let objective = plan.objectives.drain_minutes.map(|minutes| minutes * 60.0);
    let is_late = objective.is_some_and(|objective| seconds > objective);
    section.warn_if(
        is_late || !seconds.is_finite(),
        "drained after",
        Unit::Seconds,
        Figure::computed(seconds, format!("the slowest: {by}")),
    );
    if let (true, Some(objective)) = (is_late, objective) {
        section.note(format!("That is later than the objective of {}.", Unit::Seconds.text(objective)));
    }
    section
}
