//! What a run came to, as one page with plots.

use std::collections::BTreeSet;

use crate::measured::{Account, Measured, Percentiles, Sample};
use crate::plot::{Page, Plot, escape, number};

const SECONDS: &str = "seconds since the warm-up";

pub(super) fn page(measured: &Measured) -> String {
    let machine = &measured.machine;
    let place = format!(
        "{} node(s), {} backends, {} cores, {:.1} GB of memory{}. {}",
        machine.nodes,
        machine.backends,
        machine.cores,
        machine.memory as f64 / 1e9,
        if machine.is_shared { ", shared with the harness and the mock providers" } else { "" },
        machine.engine_version,
    );
    let page = Page::new(format!("Scenario: {}", measured.scenario)).text(&measured.description).text(&place);
    let page = page.figures(&figures(measured));
    let page = objectives(measured, page);
    let page = faults(measured, limit(measured, page)).heading("Over time");
    let plots = [
        throughput(measured),
        create(measured),
        hand_over(measured),
        queued(measured),
        processor(measured),
        memory(measured),
        disk(measured),
    ];
    let page = plots.iter().fold(page, |page, plot| page.section(&plot.svg()));
    let page = page.heading("Latency").section(&curve(measured).svg());
    let page = latencies(measured, page);
    engines(measured, accounts(measured, page)).html()
}

fn figures(measured: &Measured) -> Vec<(String, String, Option<bool>)> {
    let total = &measured.total;
    let cores: f64 = measured.engines.iter().map(|engine| engine.cpu_seconds).sum::<f64>() / measured.seconds.max(1e-3);
    let worst = measured.hand_over.values().map(|latency| latency.p99).max_by(f64::total_cmp);
    let holds = measured.objectives.iter().all(|objective| objective.holds);
    let verdict = if holds { "all hold" } else { "missed" };
    vec![
        ("objectives".into(), verdict.into(), Some(holds)),
        ("offered a second".into(), number(measured.offered_rate), None),
        ("delivered".into(), number(total.delivered as f64), None),
        ("lost".into(), total.lost.to_string(), Some(total.lost == 0)),
        ("create P99, ms".into(), number(measured.create.p99), None),
        ("hand-over P99, ms".into(), worst.map_or_else(|| "–".into(), number), None),
        ("engine, cores".into(), number(cores), None),
    ]
}

fn objectives(measured: &Measured, page: Page) -> Page {
    if measured.objectives.is_empty() {
        return page;
    }
    let row = |objective: &crate::measured::Objective| {
        let value = objective.value.map_or_else(|| "not measured".into(), number);
        let verdict = if objective.holds { "holds" } else { "missed" };
        vec![objective.name.clone(), number(objective.limit), value, verdict.into()]
    };
    let rows: Vec<Vec<String>> = measured.objectives.iter().map(row).collect();
    page.heading("Objectives").table(&["objective", "at most", "measured", ""], &rows)
}

fn limit(measured: &Measured, page: Page) -> Page {
    let Some(limit) = &measured.limit else { return page };
    let text = format!("{} was used to {:.0} %: {}.", limit.resource, limit.share * 100.0, limit.why);
    page.heading("What had the least left").text(&text)
}

fn faults(measured: &Measured, page: Page) -> Page {
    if measured.faults.is_empty() {
        return page;
    }
    let item = |fault: &crate::measured::Disturbance| {
        format!("<li>{:.0} to {:.0} s: {}</li>", fault.from_seconds, fault.to_seconds, escape(&fault.what))
    };
    let items: String = measured.faults.iter().map(item).collect();
    page.heading("What was done to the providers").section(&format!("<ul>{items}</ul>"))
}

/// One value of every look.
fn series(measured: &Measured, value: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    measured.series.iter().map(|sample| (sample.at_seconds, value(sample).unwrap_or(f64::NAN))).collect()
}

/// Over time, with the warm-up and the faults marked.
fn over_time(measured: &Measured, title: &str, y: &str) -> Plot {
    let mut plot = Plot::new(title).x(SECONDS).y(y);
    if measured.warmup_seconds > 0.0 {
        plot = plot.mark(-measured.warmup_seconds, 0.0, "warm-up");
    }
    for fault in &measured.faults {
        plot = plot.mark(fault.from_seconds, fault.to_seconds, &fault.what);
    }
    plot
}

fn throughput(measured: &Measured) -> Plot {
    let plot = over_time(measured, "Throughput", "notifications a second");
    let plot = plot.dashed("offered", &series(measured, |sample| Some(sample.offered)));
    let plot = plot.line("delivered", &series(measured, |sample| Some(sample.delivered)));
    match measured.series.iter().any(|sample| sample.refused > 0.0) {
        true => plot.line("refused", &series(measured, |sample| Some(sample.refused))),
        false => plot,
    }
}

fn create(measured: &Measured) -> Plot {
    let plot = over_time(measured, "Create: from the intended start to the answer", "ms").log_y();
    let between = |sample: &Sample| Some((sample.at_seconds, sample.create_p50?, sample.create_p99?));
    let band: Vec<(f64, f64, f64)> = measured.series.iter().filter_map(between).collect();
    let plot = plot.band("between", &band).line("P50", &series(measured, |sample| sample.create_p50));
    let plot = plot.line("P99", &series(measured, |sample| sample.create_p99));
    level(measured, plot, "create_p99_ms")
}

fn hand_over(measured: &Measured) -> Plot {
    let plot = over_time(measured, "Hand-over: from accepted to the provider's call", "ms").log_y();
    let plot = plot.line("P50", &series(measured, |sample| sample.hand_over_p50));
    let plot = plot.line("P99", &series(measured, |sample| sample.hand_over_p99));
    level(measured, plot, "hand_over_p99_ms")
}

fn level(measured: &Measured, plot: Plot, name: &str) -> Plot {
    match measured.objectives.iter().find(|objective| objective.name == name) {
        Some(objective) => plot.level(objective.limit, "objective for P99"),
        None => plot,
    }
}

fn queued(measured: &Measured) -> Plot {
    let names: BTreeSet<&String> = measured.series.iter().flat_map(|sample| sample.queued.keys()).collect();
    names.into_iter().fold(over_time(measured, "Accepted and not yet handed over", "notifications"), |plot, name| {
        let values = series(measured, |sample| sample.queued.get(name).copied());
        // Priorities that nothing was queued of say nothing.
        if values.iter().any(|(_, value)| *value > 0.0) { plot.line(name, &values) } else { plot }
    })
}

fn processor(measured: &Measured) -> Plot {
    let plot = over_time(measured, "Processor", "cores");
    let plot = plot.line("engine", &series(measured, |sample| Some(sample.engine_cores)));
    let plot = plot.line("harness", &series(measured, |sample| Some(sample.harness_cores)));
    let plot = plot.line("mock providers", &series(measured, |sample| Some(sample.mock_cores)));
    plot.level(f64::from(measured.machine.cores), "all cores")
}

fn memory(measured: &Measured) -> Plot {
    let values = series(measured, |sample| Some(sample.memory as f64 / 1e6));
    over_time(measured, "Resident memory of the engine", "MB").line("engine", &values)
}

fn disk(measured: &Measured) -> Plot {
    let values = series(measured, |sample| Some(sample.disk_written / 1e6));
    over_time(measured, "Written to disk by the engine", "MB a second").line("engine", &values)
}

/// How many are slower: 0.1 is the slowest tenth.
fn curve(measured: &Measured) -> Plot {
    let points = |latency: &Percentiles| -> Vec<(f64, f64)> {
        let slower = |[share, ms]: &[f64; 2]| (1.0 / (1.0 - share).max(1e-5), *ms);
        latency.curve.iter().map(slower).collect()
    };
    let plot = Plot::new("The slowest of so many").x("one of so many (100 is P99)").y("ms").log_x().log_y();
    let plot = plot.line("create", &points(&measured.create));
    let plot = measured
        .hand_over
        .iter()
        .fold(plot, |plot, (priority, latency)| plot.line(&format!("hand-over, {priority}"), &points(latency)));
    match &measured.received {
        Some(received) => plot.points("received by the mock", &points(received)),
        None => plot,
    }
}

fn latencies(measured: &Measured, page: Page) -> Page {
    let row = |name: String, latency: &Percentiles| {
        let Percentiles { count, p50, p90, p99, p999, max, .. } = latency;
        let mut row = vec![name, number(*count as f64)];
        row.extend([p50, p90, p99, p999, max].map(|ms| number(*ms)));
        row
    };
    let mut rows = vec![row("create".into(), &measured.create)];
    rows.extend(measured.hand_over.iter().map(|(priority, latency)| row(format!("hand-over, {priority}"), latency)));
    rows.extend(measured.received.iter().map(|latency| row("received by the mock".into(), latency)));
    page.table(&["ms", "count", "P50", "P90", "P99", "P99.9", "max"], &rows)
}

fn accounts(measured: &Measured, page: Page) -> Page {
    let row = |name: &str, account: &Account| {
        let Account { offered, accepted, refused, unanswered, delivered, lost, explained, duplicated, late } = account;
        let counts = [offered, accepted, refused, unanswered, delivered, lost, explained, duplicated, late];
        let mut row = vec![name.to_owned()];
        row.extend(counts.map(u64::to_string));
        row
    };
    let mut rows = vec![row("all", &measured.total)];
    rows.extend(measured.by_priority.iter().map(|(name, account)| row(name, account)));
    rows.extend(measured.by_channel.iter().map(|(name, account)| row(name, account)));
    let head =
        ["", "offered", "accepted", "refused", "unanswered", "delivered", "lost", "explained", "duplicated", "late"];
    let page = page.heading("What became of them").table(&head, &rows);
    match &measured.refused_because {
        Some(why) => page.text(&format!("The first refusal: {why}.")),
        None => page,
    }
}

fn engines(measured: &Measured, page: Page) -> Page {
    let row = |engine: &crate::measured::Engine| {
        let megabytes = |bytes: u64| number(bytes as f64 / 1e6);
        let mut row = vec![engine.name.clone(), number(engine.cpu_seconds)];
        row.extend([engine.memory_start, engine.memory_max, engine.memory_end].map(megabytes));
        row.extend([engine.disk_written, engine.stored].map(megabytes));
        row
    };
    let rows: Vec<Vec<String>> = measured.engines.iter().map(row).collect();
    let head = ["", "processor, s", "memory at first, MB", "at most", "at last", "written, MB", "stored, MB"];
    page.heading("What the engines used").table(&head, &rows)
}
