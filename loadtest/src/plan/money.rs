//! What it costs a month, and how that differs from a table that somebody published.

use std::collections::BTreeMap;

use super::answer::{Figure, Section, Unit};
use super::backends::Machines;
use super::capacity::Nodes;
use super::demand::Demand;
use super::file::{Plan, Published};

/// Costs a month.
#[derive(Debug, Clone)]
pub(crate) struct Money {
    pub(crate) channels: BTreeMap<String, f64>,
    pub(crate) infrastructure: f64,
    pub(crate) each_user: f64,
}

/// Messages by channel, machines by kind, and what they come to.
pub(crate) fn section(plan: &Plan, demand: &Demand, nodes: &Nodes, machines: Machines) -> (Section, Money) {
    let mut section = Section::new("Costs a month");
    let mut channels = BTreeMap::new();
    for channel in &plan.channels {
        let messages = demand.a_day * channel.share * plan.demand.days_a_month;
        let why = format!("{} messages at ${} (assumed: plan file)", Unit::Count.text(messages), channel.price);
        section.line(&channel.name, Unit::Dollars, Figure::computed(messages * channel.price, why));
        channels.insert(channel.name.clone(), messages * channel.price);
    }
    let mut infrastructure = 0.0;
    let mut machine = |name: &str, count: f64, price: f64| {
        infrastructure += count * price;
        let why = format!("{} at {} (assumed: plan file)", Unit::Count.text(count), Unit::Dollars.text(price));
        section.line(name, Unit::Dollars, Figure::computed(count * price, why));
    };
    machine("nodes", nodes.count.map_or(f64::NAN, f64::from), plan.node.price_a_month);
    if let Some(kafka) = &plan.kafka {
        machine("Kafka", f64::from(kafka.brokers), kafka.price_a_month);
    }
    if let (Some(store), Some(count)) = (&plan.store, machines.store) {
        machine("CQL database", count, store.price_a_month);
    }
    if let Some(redis) = &plan.redis {
        machine("Redis", f64::from(redis.nodes), redis.price_a_month);
    }
    for (name, price) in &plan.fixed {
        machine(name, 1.0, *price);
    }
    let messages: f64 = channels.values().sum();
    let total = messages + infrastructure;
    section.line("infrastructure", Unit::Dollars, Figure::computed(infrastructure, "all but the messages"));
    section.line("total", Unit::Dollars, Figure::computed(total, "messages and infrastructure"));
    let each_user = total / demand.users;
    section.line("a user", Unit::Dollars, Figure::computed(each_user, "the total over the users of a day"));
    let each = total / (demand.a_day * plan.demand.days_a_month);
    section.line(
        "a notification",
        Unit::Dollars,
        Figure::computed(each, "the total over the notifications of a month"),
    );
    if messages > 0.0 && infrastructure.is_finite() {
        section.note(format!(
            "Infrastructure is {} of it; the rest is what providers take.",
            Unit::Share.text(infrastructure / total)
        ));
    }
    (section, Money { channels, infrastructure, each_user })
}

/// The published table beside this plan, line by line, and why they differ.
pub(crate) fn compared(plan: &Plan, published: &Published, money: &Money, nodes: &Nodes) -> Section {
    let mut section = Section::new(format!("Beside {}", published.source));
    let from = || format!("plan file, `published`, of {}", published.source);
    let mut row = |name: &str, theirs: f64, ours: f64| {
        section.line(format!("{name}, published"), Unit::Dollars, Figure::assumed(theirs, from()));
        let difference = if (ours - theirs).abs() < 0.005 * theirs.abs() {
            "the same within 0.5 %".into()
        } else {
            format!("{} beside it", signed(ours - theirs))
        };
        section.line(format!("{name}, this plan"), Unit::Dollars, Figure::computed(ours, difference));
    };
    for (channel, theirs) in &published.channels {
        row(channel, *theirs, money.channels.get(channel).copied().unwrap_or(0.0));
    }
    let listed: f64 = published.infrastructure.values().sum();
    let messages: f64 = published.channels.values().sum();
    row("infrastructure", listed, money.infrastructure);
    row("a user", published.each_user, money.each_user);
    let sum = listed + messages;
    section.line("total, published", Unit::Dollars, Figure::assumed(published.total, from()));
    section.line(
        "total, its own lines added up",
        Unit::Dollars,
        Figure::computed(sum, "its channels and its infrastructure"),
    );
    section.line(
        "total, this plan",
        Unit::Dollars,
        Figure::computed(money.channels.values().sum::<f64>() + money.infrastructure, "above"),
    );
    if (sum - published.total).abs() >= 1.0 {
        section.note(format!("Its total is {} beside the sum of its own lines.", signed(published.total - sum)));
    }
    match nodes.count {
        Some(count) => section.note(format!(
            "It has {} machines for the work, this plan {count} nodes at {}: one carries {} by its {}, so the peak needs {}, and {} may be gone.",
            Unit::Count.text(published.workers),
            Unit::Dollars.text(plan.node.price_a_month),
            Unit::PerSecond.text(nodes.each.value),
            nodes.binding,
            count - plan.failures.nodes,
            plan.failures.nodes
        )),
        None => section.note("This plan has no number of nodes that is enough, so its infrastructure is not known."),
    }
    for note in &published.notes {
        section.note(note.clone());
    }
    section
}

fn signed(difference: f64) -> String {
    let sign = if difference < 0.0 { "−" } else { "+" };
    format!("{sign}{}", Unit::Dollars.text(difference.abs()))
}
