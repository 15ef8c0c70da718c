//! One line that tells how far it is: refreshed in place on a terminal, now and then a plain line elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const BAR_CELLS: usize = 30;

/// Writes to standard error, so that results can be piped.
pub(crate) struct Progress {
    terminal: bool,
    quiet: bool,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), quiet, shown: None }
    }

    /// Shows the share that is done, if it is time to.
    pub(crate) fn show(&mut self, share: f64, text: &str) {
        let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
        if self.quiet || self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let mut stderr = std::io::stderr().lock();
        // Nobody is there to be told that nobody can be told.
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[2K{} {text}", bar(share)).and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{:3.0} %  {text}", share * 100.0)
        };
    }

    /// Removes the line from a terminal.
    pub(crate) fn finish(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn bar(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let done = (share * BAR_CELLS as f64) as usize;
    format!("[{}{}] {:3.0} %", "#".repeat(done), ".".repeat(BAR_CELLS - done), share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_it_is_far() {
        assert_eq!(bar(0.0), "[..............................]   0 %");
        assert_eq!(bar(0.5), "[###############...............]  50 %");
        assert_eq!(bar(7.0), "[##############################] 100 %");
    }
}
