//! What a search came to, as text and as a page.

use std::fmt;

use crate::measured::{Saturation, Search, Step};
use crate::plot::{Page, Plot, number};

pub(super) struct Text<'a>(pub(super) &'a Saturation);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Saturation { scenario, rate, spread, searches, limit, .. } = self.0;
        let (rate, spread, count) = (number(*rate), spread * 100.0, searches.len());
        writeln!(f, "{scenario}: {rate}/s at most (median of {count}, spread {spread:.1} %)")?;
        for (index, search) in searches.iter().enumerate() {
            writeln!(f, "search {}: {}/s in {} steps", index + 1, number(search.rate), search.steps.len())?;
            for step in &search.steps {
                let verdict =
                    if step.holds { "holds".to_owned() } else { format!("missed {}", step.missed.join(", ")) };
                let (rate, cores, p99) = (number(step.rate), step.engine_cores, number(step.create_p99));
                writeln!(f, "  {rate:>9}/s  engine {cores:.2} cores  create P99 {p99} ms  {verdict}")?;
            }
        }
        match limit {
            Some(limit) => writeln!(f, "limited by {}: {}", limit.resource, limit.why),
            None => Ok(()),
        }
    }
}

pub(super) fn page(saturation: &Saturation) -> String {
    let Saturation { scenario, rate, spread, searches, limit, .. } = saturation;
    let figures = [
        ("highest rate, a second".to_owned(), number(*rate), Some(*rate > 0.0)),
        ("spread".to_owned(), format!("{:.1} %", spread * 100.0), None),
        ("searches".to_owned(), searches.len().to_string(), None),
    ];
    let page = Page::new(format!("Saturation: {scenario}")).figures(&figures);
    let page = match limit {
        Some(limit) => page.text(&format!("Limited by {}: {}.", limit.resource, limit.why)),
        None => page,
    };
    let page = page.section(&latency(searches).svg()).section(&cores(searches).svg());
    searches
        .iter()
        .enumerate()
        .fold(page, |page, (index, search)| {
            page.heading(&format!("Search {}: {}/s", index + 1, number(search.rate))).table(&HEAD, &rows(search))
        })
        .html()
}

const HEAD: [&str; 6] = ["a second", "", "engine, cores", "create P99, ms", "hand-over P99, ms", "least left"];

fn rows(search: &Search) -> Vec<Vec<String>> {
    let row = |step: &Step| {
        vec![
            number(step.rate),
            if step.holds { "holds".into() } else { format!("missed {}", step.missed.join(", ")) },
            number(step.engine_cores),
            number(step.create_p99),
            step.hand_over_p99.map_or_else(|| "–".into(), number),
            step.limit
                .as_ref()
                .map_or_else(String::new, |limit| format!("{} {:.0} %", limit.resource, limit.share * 100.0)),
        ]
    };
    search.steps.iter().map(row).collect()
}

/// All steps of all searches, by rate.
fn steps(searches: &[Search], holds: bool) -> impl Iterator<Item = &Step> {
    searches.iter().flat_map(|search| &search.steps).filter(move |step| step.holds == holds)
}

fn latency(searches: &[Search]) -> Plot {
    let points = |holds| steps(searches, holds).map(|step| (step.rate, step.create_p99)).collect::<Vec<_>>();
    let plot = Plot::new("Create P99 by rate").x("notifications a second").y("ms").log_y();
    plot.points("objectives hold", &points(true)).points("missed", &points(false))
}

fn cores(searches: &[Search]) -> Plot {
    let points = |holds| steps(searches, holds).map(|step| (step.rate, step.engine_cores)).collect::<Vec<_>>();
    let plot = Plot::new("Processor of the engine by rate").x("notifications a second").y("cores");
    plot.points("objectives hold", &points(true)).points("missed", &points(false))
}
