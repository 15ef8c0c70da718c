//! What the planner says: sections of lines, each a number with its unit, how sure it is, and where it comes from. The same lines are the text, the
//! JSON and the tables of the report.

use std::fmt;

use serde::Serialize;

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub(crate) enum Source {
    /// Read in a file of a run.
    Measured(String),
    /// A law through runs.
    Fitted(String),
    /// Said in the plan, or taken for want of a measurement.
    Assumed(String),
    /// Of other lines.
    Computed(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(what) => write!(f, "measured: {what}"),
            Self::Fitted(what) => write!(f, "fitted: {what}"),
            Self::Assumed(what) => write!(f, "assumed: {what}"),
            Self::Computed(what) => write!(f, "computed: {what}"),
        }
    }
}

/// A number that was found, and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    /// Of 95 %, where there is one.
    pub(crate) interval: Option<[f64; 2]>,
    pub(crate) source: Source,
}

impl Figure {
    /// As it stands in a file of a run.
    pub(crate) fn measured(value: f64, what: impl Into<String>) -> Self {
        Self { value, interval: None, source: Source::Measured(what.into()) }
    }

    /// What cannot be below nothing has no interval there.
    pub(crate) fn fitted(value: f64, half_width: Option<f64>, what: impl Into<String>) -> Self {
        let interval = half_width.map(|half| [(value - half).max(0.0), value + half]);
        Self { value, interval, source: Source::Fitted(what.into()) }
    }

    /// As the plan says it, or for want of a measurement.
    pub(crate) fn assumed(value: f64, what: impl Into<String>) -> Self {
        Self { value, interval: None, source: Source::Assumed(what.into()) }
    }

    /// Of other lines; `what` says how.
    pub(crate) fn computed(value: f64, what: impl Into<String>) -> Self {
        Self { value, interval: None, source: Source::Computed(what.into()) }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    PerSecond,
    Cores,
    Microseconds,
    Milliseconds,
    Seconds,
    Bytes,
    BytesPerSecond,
    Share,
    Times,
    Dollars,
    None,
}

impl Unit {
    /// As people read it.
    pub(crate) fn text(self, value: f64) -> String {
        if !value.is_finite() {
            return if value.is_nan() { "unknown".into() } else { "without end".into() };
        }
        match self {
            Self::Count => grouped(value),
            Self::PerSecond => format!("{}/s", number(value)),
            Self::Cores => format!("{} cores", digits(value)),
            Self::Microseconds => format!("{} µs", digits(value)),
            Self::Milliseconds => crate::text::millis(value),
            Self::Seconds => lasting(value),
            Self::Bytes => bytes(value),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
            Self::Share => format!("{} %", digits(value * 100.0)),
            Self::Times => format!("{}×", digits(value)),
            Self::Dollars => format!("${}", money(value)),
            Self::None => digits(value),
        }
    }
}

/// Whole where it is large, with digits where it is not.
fn number(value: f64) -> String {
    if value.abs() >= 1000.0 { grouped(value) } else { digits(value) }
}

/// Three digits that mean something.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 1000.0 => grouped(value),
        size if size.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.4}").trim_end_matches('0').to_owned(),
        _ => format!("{value:.2e}"),
    }
}

/// A whole number by thousands.
fn grouped(value: f64) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    let plain = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

fn money(value: f64) -> String {
    if value.abs() >= 100.0 || value == 0.0 {
        grouped(value)
    } else if value.abs() >= 0.01 {
        format!("{value:.2}")
    } else {
        format!("{value:.5}")
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match UNITS.iter().find(|(size, _)| value.abs() >= *size) {
        Some((size, name)) => format!("{} {name}", digits(value / size)),
        None => format!("{} B", digits(value)),
    }
}

fn lasting(seconds: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "days"), (3600.0, "h"), (60.0, "min")];
    match UNITS.iter().find(|(size, _)| seconds.abs() >= 2.0 * size) {
        Some((size, name)) => format!("{} {name}", digits(seconds / size)),
        None => format!("{} s", digits(seconds)),
    }
}

/// A number with its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    #[serde(flatten)]
    pub(crate) figure: Figure,
    /// Whether it says that something is not enough.
    pub(crate) is_alarm: bool,
}

impl Line {
    /// A line that is no alarm.
    pub(crate) fn new(name: impl Into<String>, unit: Unit, figure: Figure) -> Self {
        Self { name: name.into(), unit, figure, is_alarm: false }
    }

    /// The same, as one that says that something is not enough.
    pub(crate) fn alarm(self, is_alarm: bool) -> Self {
        Self { is_alarm, ..self }
    }

    /// The number, and its interval.
    pub(crate) fn value(&self) -> String {
        let value = self.unit.text(self.figure.value);
        match self.figure.interval {
            Some([low, high]) => format!("{value} ({} to {})", self.unit.text(low), self.unit.text(high)),
            None => value,
        }
    }
}

/// Lines about one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
    /// What is to be known beside the numbers.
    pub(crate) notes: Vec<String>,
}

impl Section {
    /// Without a line yet.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new(), notes: Vec::new() }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, name: impl Into<String>, unit: Unit, figure: Figure) {
        self.lines.push(Line::new(name, unit, figure));
    }

    /// A line that is an alarm if something is not enough.
    pub(crate) fn warn_if(&mut self, is_alarm: bool, name: impl Into<String>, unit: Unit, figure: Figure) {
        self.lines.push(Line::new(name, unit, figure).alarm(is_alarm));
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let names = width(&mut self.lines.iter().map(|line| line.name.chars().count()));
        let values =
            width(&mut self.lines.iter().map(|line| line.value().chars().count()).filter(|length| *length <= 48));
        for line in &self.lines {
            let mark = if line.is_alarm { '!' } else { ' ' };
            writeln!(f, "{mark} {:<names$}  {:>values$}  [{}]", line.name, line.value(), line.figure.source)?;
        }
        for note in &self.notes {
            writeln!(f, "  · {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        let cases = [
            (Unit::Count, 50_000_000.0, "50,000,000"),
            (Unit::Count, 999.6, "1,000"),
            (Unit::Count, -1234.0, "-1,234"),
            (Unit::PerSecond, 578.703, "579/s"),
            (Unit::PerSecond, 2314.8, "2,315/s"),
            (Unit::Cores, 0.0421, "0.0421 cores"),
            (Unit::Microseconds, 37.25, "37.2 µs"),
            (Unit::Bytes, 1_234_567.0, "1.23 MB"),
            (Unit::Bytes, 12.0, "12 B"),
            (Unit::Share, 0.075, "7.50 %"),
            (Unit::Seconds, 5400.0, "90 min"),
            (Unit::Seconds, f64::INFINITY, "without end"),
            (Unit::Dollars, 160_900.0, "$160,900"),
            (Unit::Dollars, 0.1609, "$0.16"),
            (Unit::Dollars, 0.0001, "$0.00010"),
            (Unit::None, f64::NAN, "unknown"),
            (Unit::Count, 1e300, "1.00e300"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.text(value), expected);
        }
    }

    #[test]
    fn a_line_says_how_sure_it_is_and_where_it_comes_from() {
        let mut section = Section::new("nodes");
        section.line("processor", Unit::Microseconds, Figure::fitted(40.0, Some(50.0), "2 runs"));
        section.warn_if(true, "ses", Unit::PerSecond, Figure::assumed(1000.0, "plan"));
        section.note("a note");
        let text = section.to_string();
        assert!(text.contains("40 µs (0 µs to 90 µs)  [fitted: 2 runs]"), "{text}");
        assert!(text.contains("! ses"), "{text}");
        assert!(text.contains("· a note"), "{text}");
        let json = serde_json::to_value(&section.lines[0]).expect("plain");
        assert_eq!(json["source"], serde_json::json!({"kind": "fitted", "of": "2 runs"}));
        assert_eq!(json["interval"], serde_json::json!([0.0, 90.0]));
    }
}
