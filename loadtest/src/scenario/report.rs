//! What a run came to, as text.

use std::fmt;

use crate::measured::{Account, Measured, Percentiles};
use crate::plot::number;

pub(super) struct Text<'a>(pub(super) &'a Measured);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.0;
        let machine = &measured.machine;
        let (name, rate, seconds) = (&measured.scenario, number(measured.offered_rate), measured.seconds);
        writeln!(f, "{name}: {rate}/s offered for {seconds:.0} s, {} nodes, {} cores", machine.nodes, machine.cores)?;
        writeln!(
            f,
            "{:<12}{:>11}{:>11}{:>9}{:>11}{:>11}{:>7}{:>10}{:>11}{:>8}",
            "", "offered", "accepted", "refused", "unanswered", "delivered", "lost", "explained", "duplicated", "late"
        )?;
        account(f, "all", &measured.total)?;
        for (name, of_priority) in &measured.by_priority {
            account(f, name, of_priority)?;
        }
        for (name, of_channel) in &measured.by_channel {
            account(f, name, of_channel)?;
        }
        latency(f, "create", &measured.create)?;
        for (priority, of_priority) in &measured.hand_over {
            latency(f, &format!("handed over ({priority})"), of_priority)?;
        }
        if let Some(received) = &measured.received {
            latency(f, "received", received)?;
        }
        for engine in &measured.engines {
            let cores = engine.cpu_seconds / seconds.max(1e-3);
            let (start, most, written) =
                (engine.memory_start as f64 / 1e6, engine.memory_max as f64 / 1e6, engine.disk_written as f64 / 1e6);
            writeln!(
                f,
                "{:<24}{cores:.2} cores, {start:.0} to at most {most:.0} MB, {written:.0} MB written",
                engine.name
            )?;
        }
        if let Some(why) = &measured.refused_because {
            writeln!(f, "{:<24}{why}", "first refusal")?;
        }
        if let Some(limit) = &measured.limit {
            writeln!(f, "{:<24}{} at {:.0} %: {}", "least left", limit.resource, limit.share * 100.0, limit.why)?;
        }
        for objective in &measured.objectives {
            let value = objective.value.map_or_else(|| "not measured".into(), number);
            let verdict = if objective.holds { "holds" } else { "MISSED" };
            writeln!(f, "{:<24}{value} (at most {}): {verdict}", objective.name, number(objective.limit))?;
        }
        Ok(())
    }
}

fn account(f: &mut fmt::Formatter<'_>, name: &str, account: &Account) -> fmt::Result {
    let Account { offered, accepted, refused, unanswered, delivered, lost, explained, duplicated, late } = account;
    writeln!(
        f,
        "{name:<12}{offered:>11}{accepted:>11}{refused:>9}{unanswered:>11}{delivered:>11}{lost:>7}{explained:>10}{duplicated:>11}{late:>8}"
    )
}

fn latency(f: &mut fmt::Formatter<'_>, name: &str, latency: &Percentiles) -> fmt::Result {
    let Percentiles { count, p50, p90, p99, p999, max, .. } = latency;
    writeln!(f, "{name:<24}P50 {p50:.1}  P90 {p90:.1}  P99 {p99:.1}  P99.9 {p999:.1}  max {max:.1} ms  ({count})")
}
