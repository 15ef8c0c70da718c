//! Figures as people read them.

use std::fmt;

use crate::engine::Resident;

/// Milliseconds, with as many digits as mean something.
pub(crate) fn millis(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Memory over a run, in MB of a million bytes.
pub(crate) struct Megabytes<'a>(pub(crate) &'a Resident);

impl fmt::Display for Megabytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let Resident { start, end, min, max, .. } = *self.0;
        write!(
            f,
            "start {:.0} MB  min {:.0} MB  max {:.0} MB  end {:.0} MB",
            megabytes(start),
            megabytes(min),
            megabytes(max),
            megabytes(end)
        )
    }
}
