//! The report: what was said as tables, and what it rests on as plots, in one file that needs nothing else.

use super::answer::Unit;
use super::capacity::Witness;
use super::demand::Demand;
use super::file::Plan;
use super::forecast::Forecast;
use super::laws::Laws;
use super::runs::{Run, Time};
use super::{Found, laws};
use crate::plot::{Page, Plot, escape};

/// Points of a curve.
const STEPS: u32 = 60;

/// Tables with sources are as wide as the page, and what they say of them reads from the left.
const STYLE: &str = "<style>section:has(>.from),section:has(>ul){width:100%;max-width:none}section:has(>style){display:none}\
    .from table{width:100%}.from td:last-child,.from th:last-child{text-align:left;color:var(--soft);font-size:13px;width:60%}\
    .from .alarm td:not(:last-child){color:var(--bad);font-weight:600}.from td:not(:last-child){white-space:nowrap}ul{margin:4px 0 12px;padding-left:20px}</style>";

/// Of a plan: its answer, and the laws under it.
pub(crate) fn plan(plan: &Plan, witness: &Witness, found: &Found) -> String {
    let mut page = Page::new(&plan.name).section(STYLE).text(&plan.description).figures(&in_short(found));
    let mut plots = vec![nodes(plan, found), months(plan, found)];
    if let Some(laws) = &witness.laws {
        let highest = witness.runs.iter().map(|run| run.rate).fold(found.nodes.each.value, f64::max);
        let seen = Seen { runs: &witness.runs, against: None };
        plots.push(processor(laws, seen, Range { highest, shares: &plan.shares(), nodes: 1.0 }));
        plots.push(latency(laws, seen));
    }
    for plot in &plots {
        page = page.section(&plot.svg());
    }
    // What breaks first is said last, and asked first.
    let (first, rest) = found.answer.sections.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
    for section in first.into_iter().chain(rest) {
        let rows = section
            .lines
            .iter()
            .map(|line| (line.is_alarm, vec![line.name.clone(), line.value(), line.figure.source.to_string()]));
        page =
            page.heading(&section.title).section(&table(&["", "value", "from"], rows)).section(&notes(&section.notes));
    }
    page.html()
}

/// Of a forecast: the table, and the laws with what was measured.
pub(crate) fn forecast(runs: &[Run], against: Option<&Run>, forecast: &Forecast) -> String {
    let mut page = Page::new(format!("Forecast at {}", Unit::PerSecond.text(forecast.rate)))
        .section(STYLE)
        .text(&format!("By {}", forecast.runs));
    let holds = |row: &super::forecast::Row| row.error.map(|error| error.abs() <= forecast.within);
    if forecast.rows.iter().any(|row| row.error.is_some()) {
        let figure = |row: &super::forecast::Row| (format!("{}, error", row.name), error(row), holds(row));
        page = page.figures(&forecast.rows.iter().filter(|row| row.error.is_some()).map(figure).collect::<Vec<_>>());
    }
    if let (Some(laws), Some(like)) = (Laws::of(runs), against.or(runs.last())) {
        let shares = laws::shares(like);
        let (seen, range) =
            (Seen { runs, against }, Range { highest: forecast.rate * 1.1, shares: &shares, nodes: like.nodes });
        page = page.section(&processor(&laws, seen, range).svg()).section(&latency(&laws, seen).svg());
    }
    let rows = forecast.rows.iter().map(|row| {
        let interval =
            row.forecast.interval.map(|[low, high]| format!("{} to {}", row.unit.text(low), row.unit.text(high)));
        let measured = row.measured.as_ref().map(|measured| row.unit.text(measured.value));
        let cells = [
            row.name.clone(),
            row.unit.text(row.forecast.value),
            interval.unwrap_or_default(),
            measured.unwrap_or_default(),
            error(row),
        ];
        (holds(row) == Some(false), cells.into_iter().chain([row.forecast.source.to_string()]).collect())
    });
    let head = ["", "forecast", "interval", "measured", "error", "from"];
    page.heading("Forecast and measurement").section(&table(&head, rows)).section(&notes(&forecast.notes)).html()
}

fn error(row: &super::forecast::Row) -> String {
    row.error.map(|error| format!("{:+.1} %", error * 100.0)).unwrap_or_default()
}

/// Rows with a mark for alarms.
fn table(head: &[&str], rows: impl Iterator<Item = (bool, Vec<String>)>) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let head = cells("th", &mut head.iter().copied());
    let rows: String = rows
        .map(|(is_alarm, row)| {
            let mark = if is_alarm { " class=\"alarm\"" } else { "" };
            format!("<tr{mark}>{}</tr>", cells("td", &mut row.iter().map(String::as_str)))
        })
        .collect();
    format!("<div class=\"wide from\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")
}

fn notes(notes: &[String]) -> String {
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    format!("<ul>{items}</ul>")
}

/// What is asked first, with whether it is well.
fn in_short(found: &Found) -> Vec<(String, String, Option<bool>)> {
    let nodes = &found.nodes;
    let count = nodes.count.map_or("none".to_owned(), |count| count.to_string());
    let mut figures = vec![
        ("nodes".to_owned(), count, nodes.count.is_none().then_some(false)),
        ("at the peak".to_owned(), Unit::PerSecond.text(found.demand.peak), None),
        (format!("one node carries, by its {}", nodes.binding), Unit::PerSecond.text(nodes.each.value), None),
    ];
    let scarcest = found.resources.iter().filter(|resource| resource.bears().is_finite()).take(3);
    figures.extend(scarcest.map(|resource| {
        (
            format!("{}: times this plan", resource.name),
            Unit::Times.text(resource.bears()),
            Some(resource.bears() >= 1.0),
        )
    }));
    figures
}

/// What so many nodes carry, beside what is needed.
fn nodes(plan: &Plan, found: &Found) -> Plot {
    let scaling = &found.nodes.scaling;
    let gone = plan.failures.nodes;
    let last = (found.nodes.count.unwrap_or(scaling.most().0.min(64)) + 3).max(6);
    let curve = |each: f64| -> Vec<(f64, f64)> {
        let law = scaling.with_lambda(each);
        (1..=last).map(|count| (f64::from(count), law.at(f64::from(count)))).collect()
    };
    let mut plot = Plot::new("What nodes carry").x("nodes").y("notifications a second");
    if let Some([low, high]) = found.nodes.each.interval {
        let band: Vec<(f64, f64, f64)> =
            curve(low).into_iter().zip(curve(high)).map(|((count, low), (_, high))| (count, low, high)).collect();
        plot = plot.band("interval", &band);
    }
    let left: Vec<(f64, f64)> = curve(found.nodes.each.value)
        .into_iter()
        .map(|(count, rate)| (count + f64::from(gone), rate))
        .filter(|(count, _)| *count <= f64::from(last))
        .collect();
    plot.line("all there", &curve(found.nodes.each.value))
        .line(&format!("{gone} gone"), &left)
        .level(found.demand.peak, "the peak")
        .level(2.0 * found.demand.peak, "twice the peak")
}

/// How the peak grows, beside what the nodes of the plan carry.
fn months(plan: &Plan, found: &Found) -> Plot {
    let last = (plan.demand.months_ahead + 12.0).max(24.0);
    let peaks: Vec<(f64, f64)> = (0..=STEPS)
        .map(|step| last * f64::from(step) / f64::from(STEPS))
        .map(|month| (month, Demand::after(plan, month).peak))
        .collect();
    let flat = |rate: f64| [(0.0, rate), (last, rate)];
    let mut plot =
        Plot::new("The peak over the months").x("months from now").y("notifications a second").line("the peak", &peaks);
    let highest = peaks.iter().map(|(_, peak)| *peak).fold(0.0, f64::max);
    // What bears much more would press the rest flat.
    let scarce =
        found.resources.iter().filter(|resource| resource.bears() * found.demand.peak <= 3.0 * highest).take(5);
    for resource in scarce {
        plot = plot.dashed(&resource.name, &flat(resource.bears() * found.demand.peak));
    }
    plot.points("this plan", &[(plan.demand.months_ahead, found.demand.peak)])
}

/// Runs, and one that the laws were not fitted to.
#[derive(Clone, Copy)]
struct Seen<'a> {
    runs: &'a [Run],
    against: Option<&'a Run>,
}

/// Up to a rate of a mix, on so many nodes.
#[derive(Clone, Copy)]
struct Range<'a> {
    highest: f64,
    shares: &'a laws::Shares,
    nodes: f64,
}

fn processor(laws: &Laws, seen: Seen<'_>, range: Range<'_>) -> Plot {
    let Range { highest, shares, nodes } = range;
    let places: Vec<f64> = (0..=STEPS).map(|step| highest * f64::from(step) / f64::from(STEPS)).collect();
    let at = |rate: &f64| (*rate, laws.processor.cores(nodes, *rate, shares));
    let curve: Vec<(f64, f64)> = places.iter().map(at).map(|(rate, (cores, _))| (rate, cores)).collect();
    let band: Vec<(f64, f64, f64)> = places
        .iter()
        .map(at)
        .filter_map(|(rate, (cores, half))| half.map(|half| (rate, (cores - half).max(0.0), cores + half)))
        .collect();
    let measured: Vec<(f64, f64)> = seen.runs.iter().map(|run| (run.rate, run.engine_cores)).collect();
    let mut plot = Plot::new("Processor of the engine")
        .x("notifications a second")
        .y("cores")
        .band("interval", &band)
        .line("fitted", &curve)
        .points("measured", &measured);
    if let Some(run) = seen.against {
        plot = plot.points("measured, not fitted to", &[(run.rate, run.engine_cores)]);
    }
    plot
}

fn latency(laws: &Laws, seen: Seen<'_>) -> Plot {
    let mut plot = Plot::new("Latency by utilisation").x("share of the cores that is used").y("milliseconds").log_y();
    for (time, law) in laws.times.iter().filter(|(time, _)| [Time::CreateP99, Time::HandOverP99].contains(time)) {
        let curve: Vec<(f64, f64)> = (0..STEPS)
            .map(|step| 0.97 * f64::from(step) / f64::from(STEPS))
            .map(|share| (share, law.at(share)))
            .collect();
        let measured: Vec<(f64, f64)> = seen
            .runs
            .iter()
            .chain(seen.against)
            .filter_map(|run| Some((run.utilisation(), *run.times.get(time)?)))
            .collect();
        plot = plot
            .line(&format!("{}, fitted", time.name()), &curve)
            .points(&format!("{}, measured", time.name()), &measured);
    }
    plot
}
