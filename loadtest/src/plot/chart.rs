//! One plot: lines, points and bands over two axes, as SVG.

use std::fmt::Write;

use super::axis::Axis;
use super::legend::{self, Entry};
use super::number::number;
use super::page::escape;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;
const AREA_HEIGHT: f64 = 210.0;
/// How many colours the page has; more series begin again.
pub(super) const COLOURS: usize = 8;
const TICKS_X: usize = 8;
const TICKS_Y: usize = 6;

/// A plot that is being put together. The order of the calls is the order of drawing and of the legend.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plot {
    title: String,
    x: String,
    y: String,
    is_log_x: bool,
    is_log_y: bool,
    series: Vec<Series>,
    marks: Vec<Mark>,
    rules: Vec<(f64, String)>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Line(Vec<(f64, f64)>),
    Dashed(Vec<(f64, f64)>),
    Points(Vec<(f64, f64)>),
    /// Each with its lower and its upper end.
    Band(Vec<(f64, f64, f64)>),
}

#[derive(Debug, Clone)]
struct Mark {
    from: f64,
    to: f64,
    text: String,
}

/// The axes of a plot and the place that they have.
struct Area {
    x: Axis,
    y: Axis,
    top: f64,
}

impl Plot {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// What runs to the right, with its unit.
    pub(crate) fn x(mut self, text: &str) -> Self {
        self.x = text.to_owned();
        self
    }

    /// What runs up, with its unit.
    pub(crate) fn y(mut self, text: &str) -> Self {
        self.y = text.to_owned();
        self
    }

    /// Logarithmic upwards; what is not above zero has no place.
    pub(crate) fn log_y(mut self) -> Self {
        self.is_log_y = true;
        self
    }

    /// Logarithmic to the right.
    pub(crate) fn log_x(mut self) -> Self {
        self.is_log_x = true;
        self
    }

    /// A line through these points. It is interrupted where a point has no place (`NaN`).
    pub(crate) fn line(self, name: &str, points: &[(f64, f64)]) -> Self {
        self.with(name, Shape::Line(points.to_vec()))
    }

    /// The same, dashed: for what was computed beside what was measured.
    pub(crate) fn dashed(self, name: &str, points: &[(f64, f64)]) -> Self {
        self.with(name, Shape::Dashed(points.to_vec()))
    }

    /// Points that nothing connects.
    pub(crate) fn points(self, name: &str, points: &[(f64, f64)]) -> Self {
        self.with(name, Shape::Points(points.to_vec()))
    }

    /// An area between two lines: `(x, low, high)`.
    pub(crate) fn band(self, name: &str, band: &[(f64, f64, f64)]) -> Self {
        self.with(name, Shape::Band(band.to_vec()))
    }

    /// A time (or whatever runs to the right) in which something was different.
    pub(crate) fn mark(mut self, from: f64, to: f64, text: &str) -> Self {
        self.marks.push(Mark { from, to, text: text.to_owned() });
        self
    }

    /// A level, such as an objective.
    pub(crate) fn level(mut self, value: f64, text: &str) -> Self {
        self.rules.push((value, text.to_owned()));
        self
    }

    /// Draws it.
    pub(crate) fn svg(&self) -> String {
        let mut body = String::new();
        let legend_height = legend::draw(&self.legend(), LEFT, TOP, WIDTH - LEFT - RIGHT, &mut body);
        let area = Area { x: self.axis_x(), y: self.axis_y(), top: TOP + legend_height };
        let height = area.top + AREA_HEIGHT + BOTTOM;
        self.draw_marks(&area, &mut body);
        self.draw_grid(&area, &mut body);
        for (number, series) in self.series.iter().enumerate() {
            series.shape.draw(number % COLOURS, &area, &mut body);
        }
        self.draw_levels(&area, &mut body);
        let title = escape(&self.title);
        format!(
            r#"<svg class="plot" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{title}"><text class="title" x="{LEFT}" y="18">{title}</text>{body}</svg>"#
        )
    }

    fn with(mut self, name: &str, shape: Shape) -> Self {
        self.series.push(Series { name: name.to_owned(), shape });
        self
    }

    fn legend(&self) -> Vec<Entry<'_>> {
        let entry = |(number, series): (usize, &'_ Series)| (number % COLOURS, matches!(series.shape, Shape::Band(_)));
        let mut entries = Vec::new();
        for (number, series) in self.series.iter().enumerate() {
            let (colour, is_area) = entry((number, series));
            entries.push(Entry { name: &series.name, colour, is_area });
        }
        entries
    }

    fn axis_x(&self) -> Axis {
        let series = self.series.iter().flat_map(|series| series.shape.all_x());
        Axis::of(series, self.is_log_x, false)
    }

    fn axis_y(&self) -> Axis {
        let series = self.series.iter().flat_map(|series| series.shape.all_y());
        let levels = self.rules.iter().map(|(value, _)| *value);
        Axis::of(series.chain(levels), self.is_log_y, true).rounded(TICKS_Y)
    }

    /// What no place is for is left out: writing to a string cannot fail otherwise.
    fn draw_grid(&self, area: &Area, out: &mut String) {
        let (bottom, right) = (area.top + AREA_HEIGHT, WIDTH - RIGHT);
        for tick in area.y.ticks(TICKS_Y) {
            let Some(y) = area.place_y(tick) else { continue };
            let _ = write!(out, r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>"#);
            let text = number(tick);
            let _ = write!(
                out,
                r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{text}</text>"#,
                LEFT - 6.0,
                y + 4.0
            );
        }
        for tick in area.x.ticks(TICKS_X) {
            let Some(x) = area.place_x(tick) else { continue };
            let _ = write!(
                out,
                r#"<line class="grid" x1="{x:.1}" y1="{bottom:.1}" x2="{x:.1}" y2="{:.1}"/>"#,
                bottom + 5.0
            );
            let text = number(tick);
            let _ = write!(
                out,
                r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                bottom + 18.0
            );
        }
        let _ = write!(out, r#"<line class="axis" x1="{LEFT}" y1="{bottom:.1}" x2="{right}" y2="{bottom:.1}"/>"#);
        let middle = (LEFT + right) / 2.0;
        let below = bottom + 36.0;
        let _ = write!(
            out,
            r#"<text class="name" x="{middle:.1}" y="{below:.1}" text-anchor="middle">{}</text>"#,
            escape(&self.x)
        );
        let centre = area.top + AREA_HEIGHT / 2.0;
        let _ = write!(
            out,
            r#"<text class="name" transform="translate(14 {centre:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escape(&self.y)
        );
    }

    fn draw_marks(&self, area: &Area, out: &mut String) {
        for mark in &self.marks {
            let (Some(from), Some(to)) = (area.place_x(mark.from), area.place_x(mark.to)) else { continue };
            let (from, to) = (from.clamp(LEFT, WIDTH - RIGHT), to.clamp(LEFT, WIDTH - RIGHT));
            let (top, width) = (area.top, (to - from).max(1.0));
            let _ = write!(
                out,
                r#"<rect class="mark" x="{from:.1}" y="{top:.1}" width="{width:.1}" height="{AREA_HEIGHT}"/>"#
            );
            let (x, y) = (from + 4.0, top + 12.0);
            let _ = write!(out, r#"<text class="tick" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(&mark.text));
        }
    }

    fn draw_levels(&self, area: &Area, out: &mut String) {
        for (value, text) in &self.rules {
            let Some(y) = area.place_y(*value) else { continue };
            let right = WIDTH - RIGHT;
            let _ = write!(out, r#"<line class="level" x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>"#);
            let (x, y) = (right - 4.0, y - 4.0);
            let _ =
                write!(out, r#"<text class="tick" x="{x:.1}" y="{y:.1}" text-anchor="end">{}</text>"#, escape(text));
        }
    }
}

impl Area {
    fn place_x(&self, value: f64) -> Option<f64> {
        Some(LEFT + self.x.place(value)? * (WIDTH - LEFT - RIGHT))
    }

    fn place_y(&self, value: f64) -> Option<f64> {
        Some(self.top + (1.0 - self.y.place(value)?) * AREA_HEIGHT)
    }

    fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.place_x(x)?, self.place_y(y)?))
    }
}

impl Shape {
    fn all_x(&self) -> Vec<f64> {
        match self {
            Self::Line(points) | Self::Dashed(points) | Self::Points(points) => {
                points.iter().map(|(x, _)| *x).collect()
            }
            Self::Band(band) => band.iter().map(|(x, _, _)| *x).collect(),
        }
    }

    fn all_y(&self) -> Vec<f64> {
        match self {
            Self::Line(points) | Self::Dashed(points) | Self::Points(points) => {
                points.iter().map(|(_, y)| *y).collect()
            }
            Self::Band(band) => band.iter().flat_map(|(_, low, high)| [*low, *high]).collect(),
        }
    }

    fn draw(&self, colour: usize, area: &Area, out: &mut String) {
        match self {
            Self::Line(points) => draw_line(points, &format!("l{colour}"), area, out),
            Self::Dashed(points) => draw_line(points, &format!("l{colour} dashed"), area, out),
            Self::Points(points) => {
                for (x, y) in points.iter().filter_map(|(x, y)| area.place(*x, *y)) {
                    let _ = write!(out, r#"<circle class="p{colour}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
                }
            }
            Self::Band(band) => draw_band(band, colour, area, out),
        }
    }
}

fn draw_line(points: &[(f64, f64)], class: &str, area: &Area, out: &mut String) {
    let mut path = String::new();
    let mut is_drawing = false;
    for (x, y) in points {
        let Some((x, y)) = area.place(*x, *y) else {
            is_drawing = false;
            continue;
        };
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_drawing { 'L' } else { 'M' });
        is_drawing = true;
    }
    let _ = write!(out, r#"<path class="{class}" d="{path}"/>"#);
}

fn draw_band(band: &[(f64, f64, f64)], colour: usize, area: &Area, out: &mut String) {
    let upper = band.iter().filter_map(|(x, _, high)| area.place(*x, *high));
    let lower = band.iter().rev().filter_map(|(x, low, _)| area.place(*x, *low));
    let mut path = String::new();
    for (x, y) in upper.chain(lower) {
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
    }
    if !path.is_empty() {
        let _ = write!(out, r#"<path class="a{colour}" d="{path}Z"/>"#);
    }
}
