//! From the shape of a scenario's arrivals to the curve of a stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::curve::Curve;
use super::file::{Scenario, Shape, Stream};

/// The parts that a day is drawn in.
const DAY_PARTS: u32 = 288;

impl Scenario {
    /// Requests of this stream over time: its rate, the scenario's shape, `scale` and its batches put together. Nothing comes before it
    /// begins, nor after it has ended.
    pub(super) fn curve(&self, stream: &Stream, scale: f64) -> Result<Curve> {
        let shape = stream.arrivals.as_ref().unwrap_or(&self.arrivals);
        let whole = self.whole().as_secs_f64();
        let from = stream.begin.as_secs_f64();
        ensure!(from < whole, "the stream `{}` begins when all is over", stream.name);
        let length = stream.lasting.map_or(whole - from, |lasting| lasting.as_secs_f64().min(whole - from));
        let curve = Curve::new(shape.points(length)?);
        let moved = curve.moved(from).scaled(self.rate_of(stream) * scale / stream.batch as f64);
        Ok(moved)
    }

    /// Notifications a second over warm-up and load, of all streams, at scale 1.
    pub(crate) fn mean_rate(&self) -> Result<f64> {
        let mut total = 0.0;
        for stream in &self.streams {
            total += self.curve(stream, 1.0)?.total() * stream.batch as f64;
        }
        Ok(total / self.whole().as_secs_f64())
    }
}

impl Curve {
    /// Nothing comes before `from`.
    fn moved(&self, from: f64) -> Self {
        if from == 0.0 {
            return self.clone();
        }
        let mut points = vec![(0.0, 0.0), (from, 0.0)];
        points.extend(self.points().iter().map(|(at, factor)| (at + from, *factor)));
        Self::new(points)
    }
}

impl Shape {
    /// Factors over so many seconds.
    pub(super) fn points(&self, seconds: f64) -> Result<Vec<(f64, f64)>> {
        let points = match self {
            Self::Constant => vec![(0.0, 1.0), (seconds, 1.0)],
            Self::Ramp { from, to } => vec![(0.0, *from), (seconds, *to)],
            Self::Step { factors } => steps(factors, seconds)?,
            Self::Spike { at, lasting, factor } => spike(*at, *lasting, *factor, seconds),
            Self::Diurnal { night, peak, period } => {
                day(*night, *peak, period.map_or(seconds, |period| period.as_secs_f64()), seconds)
            }
            Self::Replay { file } => {
                let text = std::fs::read_to_string(file);
                let text = text.with_context(|| format!("cannot read the trace `{}`", file.display()))?;
                replay(&text, seconds).with_context(|| format!("the trace `{}`", file.display()))?
            }
        };
        let is_sane = points.iter().all(|(_, factor)| factor.is_finite() && *factor >= 0.0);
        ensure!(is_sane, "factors of arrivals are numbers, at least 0");
        Ok(points)
    }
}

fn steps(factors: &[f64], seconds: f64) -> Result<Vec<(f64, f64)>> {
    ensure!(!factors.is_empty(), "`factors` of a step needs at least one number");
    let each = seconds / factors.len() as f64;
    let step = |(index, factor): (usize, &f64)| [(index as f64 * each, *factor), ((index + 1) as f64 * each, *factor)];
    Ok(factors.iter().enumerate().flat_map(step).collect())
}

fn spike(at: Duration, lasting: Duration, factor: f64, seconds: f64) -> Vec<(f64, f64)> {
    let from = at.as_secs_f64().min(seconds);
    let to = (from + lasting.as_secs_f64()).min(seconds);
    vec![(0.0, 1.0), (from, 1.0), (from, factor), (to, factor), (to, 1.0), (seconds, 1.0)]
}

/// A cosine from night to night.
fn day(night: f64, peak: f64, period: f64, seconds: f64) -> Vec<(f64, f64)> {
    let point = |part: u32| {
        let at = seconds * f64::from(part) / f64::from(DAY_PARTS);
        let height = (1.0 - (std::f64::consts::TAU * at / period).cos()) / 2.0;
        (at, night + (peak - night) * height)
    };
    (0..=DAY_PARTS).map(point).collect()
}

/// Stretched to so many seconds, with a mean of 1.
pub(super) fn replay(text: &str, seconds: f64) -> Result<Vec<(f64, f64)>> {
    let mut recorded = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let read = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok()).filter(|number| *number >= 0.0);
        let mut words = line.split_whitespace();
        let pair = (read(words.next()), read(words.next()));
        let (Some(at), Some(count)) = pair else { anyhow::bail!("`{line}` is not of the form `seconds count`") };
        ensure!(recorded.last().is_none_or(|(before, _)| at > *before), "`{line}`: its time does not rise");
        recorded.push((at, count));
    }
    ensure!(recorded.len() >= 2, "it has fewer than two lines");
    let (first, last) = (recorded[0].0, recorded[recorded.len() - 1].0);
    // The last line lasts as long as the one before it.
    let end = last + (last - recorded[recorded.len() - 2].0);
    let stretch = seconds / (end - first);
    let total: f64 = recorded.iter().map(|(_, count)| count).sum();
    ensure!(total > 0.0, "nothing came in it");
    let mut points = Vec::with_capacity(2 * recorded.len());
    for (index, (at, count)) in recorded.iter().enumerate() {
        let until = recorded.get(index + 1).map_or(end, |(at, _)| *at);
        let factor = count / total / (until - at) * (end - first);
        points.extend([((at - first) * stretch, factor), ((until - first) * stretch, factor)]);
    }
    Ok(points)
}
