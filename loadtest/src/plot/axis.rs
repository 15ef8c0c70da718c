//! An axis: from values to places, and the values worth a line.

/// What an axis spans, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Axis {
    /// Spans all of `values` and, where `from_zero`, zero; ends at values worth a line. A logarithmic axis leaves out what is not above zero.
    pub(super) fn of(values: impl Iterator<Item = f64>, is_log: bool, from_zero: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite() && (!is_log || *value > 0.0)) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = if is_log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        if is_log {
            let (low, high) = (10f64.powf(low.log10().floor()), 10f64.powf(high.log10().ceil()));
            return Self { low, high: if high > low { high } else { low * 10.0 }, is_log };
        }
        if from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if high - low <= 0.0 {
            high = low + low.abs().max(1.0);
        }
        Self { low, high, is_log }
    }

    /// The same, with its ends moved to the next value worth a line.
    pub(super) fn rounded(self, lines: usize) -> Self {
        if self.is_log {
            return self;
        }
        let step = step(self.high - self.low, lines);
        Self { low: (self.low / step).floor() * step, high: (self.high / step).ceil() * step, is_log: false }
    }

    /// Where a value stands: 0 at the low end, 1 at the high one. `None` where the axis has no place for it.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || (self.is_log && value <= 0.0) {
            return None;
        }
        let share = match self.is_log {
            true => (value / self.low).log10() / (self.high / self.low).log10(),
            false => (value - self.low) / (self.high - self.low),
        };
        Some(share)
    }

    /// About so many values worth a line: 1, 2 or 5 times a power of ten; powers of ten on a logarithmic axis.
    pub(super) fn ticks(&self, lines: usize) -> Vec<f64> {
        if self.is_log {
            return self.decades(lines);
        }
        let step = step(self.high - self.low, lines);
        let first = (self.low / step).ceil() as i64;
        // A little more than the span: the end is a tick although the division is not exact.
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }

    fn decades(&self, lines: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
        let every = ((last - first) as usize).div_ceil(lines.max(1)).max(1);
        let mut ticks = Vec::new();
        for power in (first..=last).step_by(every) {
            let decade = 10f64.powi(power);
            ticks.push(decade);
            if last - first <= 2 && power < last {
                ticks.extend([decade * 2.0, decade * 5.0]);
            }
        }
        ticks
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that cuts the span into at most so many parts.
fn step(span: f64, lines: usize) -> f64 {
    let rough = span / lines.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999_999)
        .unwrap_or(rough)
}
