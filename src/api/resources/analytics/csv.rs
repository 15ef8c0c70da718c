//! The same as CSV (RFC 4180). A name that a spreadsheet would take for a formula begins with an apostrophe.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::{cost, days, rates, shown};
use crate::api::resources::answer::raw_json;
use crate::domain::{Count, Counts};
use crate::insight::{Report, ReportQuery};

pub(super) fn answer(asked: &ReportQuery, report: &Report) -> Response {
    let mut response = raw_json(StatusCode::OK, text(asked, report));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let name = format!("analytics-{}-{}.csv", days::text(asked.first_day), days::text(asked.last_day));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn text(asked: &ReportQuery, report: &Report) -> String {
    let columns = asked.columns();
    let rates = rates::of(&Counts::default()).map(|(name, _)| name);
    let counts = Count::ALL.map(Count::name);
    let mut text = columns.iter().chain(&counts).chain(&rates).copied().collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    for line in &report.lines {
        let values = columns.iter().zip(&line.values);
        let mut cells: Vec<String> =
            values.map(|(name, value)| cell(&shown(name, value).unwrap_or_default())).collect();
        cells.extend(Count::ALL.map(|count| match count {
            Count::Cost => cost(&line.counts).to_string(),
            count => line.counts.get(count).to_string(),
        }));
        let of_line = rates::of(&line.counts).into_iter();
        cells.extend(of_line.map(|(_, rate)| rate.map(|rate| rate.to_string()).unwrap_or_default()));
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A name, such that no spreadsheet computes it.
fn cell(word: &str) -> String {
    let guard = if word.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !word.contains(['"', ',', '\n', '\r']) {
        return word.to_owned();
    }
    format!("\"{guard}{}\"", word.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must_be_and_are_no_formulas() {
        for (word, expected) in [
            ("welcome", "welcome"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@sum", "\"'@sum\""),
            ("-2", "\"'-2\""),
            ("+49", "\"'+49\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(cell(word), expected, "{word:?}");
        }
    }
}
