//! Whether the variants of a message differ. Pure: shares with the intervals in which they lie, by the methods of Wilson and of Newcombe.

/// Of the normal distribution: 95 % of it lies within so many deviations.
const Z: f64 = 1.959_963_984_540_054;
/// 80 % of it lies below.
const Z_POWER: f64 = 0.841_621_233_572_914_2;
/// Below this a difference is called one.
const P_MAX: f64 = 0.05;
/// Of more it makes no sense to speak.
const MORE_MAX: f64 = 10_000_000.0;

/// From and to, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// One variant: how many got it, and how many of those did what is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    pub name: Box<str>,
    pub sent: u64,
    /// Never above `sent`.
    pub successes: u64,
}

/// A variant against the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub name: Box<str>,
    pub against: Box<str>,
    /// Of the rates: this one's less the first's.
    pub difference: f64,
    pub interval: Interval,
    /// How likely as large a difference is where there is none, two-sided; `None`: nothing can be said.
    pub p: Option<f64>,
    pub differs: bool,
    pub statement: String,
}

/// What can be said of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentReport {
    /// Each with its rate and interval; `None`: nobody got it.
    pub arms: Vec<(Arm, Option<(f64, Interval)>)>,
    pub comparisons: Vec<Comparison>,
}

impl Arm {
    fn rate(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.successes as f64 / self.sent as f64 }
    }

    /// Wilson's interval, in which the true rate lies in 95 of 100 experiments.
    fn interval(&self) -> Interval {
        if self.sent == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (n, p) = (self.sent as f64, self.rate());
        let middle = p + Z * Z / (2.0 * n);
        let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let all = 1.0 + Z * Z / n;
        Interval { low: ((middle - reach) / all).max(0.0), high: ((middle + reach) / all).min(1.0) }
    }
}

/// Judges variants, each against the first.
pub fn compare(arms: Vec<Arm>) -> ExperimentReport {
    let comparisons = match arms.split_first() {
        Some((first, others)) => others.iter().map(|other| against(first, other)).collect(),
        None => Vec::new(),
    };
    let judged = |arm: Arm| {
        let rate = (arm.sent > 0).then(|| (arm.rate(), arm.interval()));
        (arm, rate)
    };
    ExperimentReport { arms: arms.into_iter().map(judged).collect(), comparisons }
}

fn against(first: &Arm, other: &Arm) -> Comparison {
    let (a, b) = (first.rate(), other.rate());
    let (of_a, of_b) = (first.interval(), other.interval());
    let difference = b - a;
    let interval = Interval {
        low: difference - ((b - of_b.low).powi(2) + (of_a.high - a).powi(2)).sqrt(),
        high: difference + ((of_b.high - b).powi(2) + (a - of_a.low).powi(2)).sqrt(),
    };
    let p = p_value(first, other);
    let differs = p.is_some_and(|p| p < P_MAX);
    let statement = statement(first, other, interval, p, differs);
    Comparison { name: other.name.clone(), against: first.name.clone(), difference, interval, p, differs, statement }
}

/// Of two shares, by their pooled one.
fn p_value(first: &Arm, other: &Arm) -> Option<f64> {
    let (n, m) = (first.sent as f64, other.sent as f64);
    let pooled = (first.successes + other.successes) as f64 / (n + m);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    if first.sent == 0 || other.sent == 0 || deviation == 0.0 {
        return None;
    }
    Some(two_sided((other.rate() - first.rate()).abs() / deviation))
}

/// How much of the normal distribution lies farther than so many deviations from its middle.
fn two_sided(z: f64) -> f64 {
    // Abramowitz and Stegun 7.1.26, exact to seven digits.
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let factors = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = factors.into_iter().fold(0.0, |sum, factor| sum * t + factor);
    (sum * t * (-x * x).exp()).clamp(0.0, 1.0)
}

fn statement(first: &Arm, other: &Arm, interval: Interval, p: Option<f64>, differs: bool) -> String {
    let (a, b) = (first.rate(), other.rate());
    if p.is_none() {
        return match first.sent == 0 || other.sent == 0 {
            true => "Nothing can be told yet: one of them was not sent.".to_owned(),
            false => "No difference can be told: all did the same.".to_owned(),
        };
    }
    if differs {
        let (better, worse, low, high) = match b > a {
            true => (other, first, interval.low, interval.high),
            false => (first, other, -interval.high, -interval.low),
        };
        return format!(
            "{} is better: {} against {} of {}, a difference of {:.1} to {:.1} points.",
            better.name,
            percent(better.rate()),
            percent(worse.rate()),
            worse.name,
            low * 100.0,
            high * 100.0
        );
    }
    match more_needed(first, other) {
        Some(more) => format!(
            "No difference can be told yet: about {more} more per variant would be needed for one as large as it looks \
             now ({} against {}).",
            percent(b),
            percent(a)
        ),
        None => "No difference can be told: if there is one, it is too small to be found.".to_owned(),
    }
}

fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// Messages more of each, by which a difference as large as seen would be found in four of five experiments.
fn more_needed(first: &Arm, other: &Arm) -> Option<u64> {
    let (a, b) = (first.rate(), other.rate());
    let middle = f64::midpoint(a, b);
    let spread = Z * (2.0 * middle * (1.0 - middle)).sqrt() + Z_POWER * (a * (1.0 - a) + b * (1.0 - b)).sqrt();
    let needed = (spread / (b - a)).powi(2) - first.sent.min(other.sent) as f64;
    // At least as many as would be noticed.
    (needed.is_finite() && needed <= MORE_MAX).then(|| rounded(needed.max(100.0)))
}

/// To two digits.
fn rounded(number: f64) -> u64 {
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    ((number / unit).ceil() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &str, sent: u64, successes: u64) -> Arm {
        Arm { name: name.into(), sent, successes }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-4
    }

    #[test]
    fn intervals_are_those_of_the_books() {
        // Newcombe 1998, tables I and II: 56/70 against 48/80.
        let interval = arm("a", 80, 48).interval();
        assert!(close(interval.low, 0.4904) && close(interval.high, 0.7005), "{interval:?}");
        let report = compare(vec![arm("a", 80, 48), arm("b", 70, 56)]);
        let Comparison { interval, difference, p, differs, .. } = &report.comparisons[0];
        assert!(close(interval.low, 0.0524) && close(interval.high, 0.3339), "{interval:?}");
        assert!(close(*difference, 0.2) && *differs);
        assert!(close(p.expect("there is one"), 0.0081), "{p:?}");
        assert!(close(two_sided(Z), 0.05) && close(two_sided(0.0), 1.0));
    }

    #[test]
    fn the_statement_says_which_is_better_or_how_many_are_missing() {
        let said = |a, b| compare(vec![a, b]).comparisons.remove(0).statement;
        assert_eq!(
            said(arm("a", 10_000, 1000), arm("b", 10_000, 1200)),
            "b is better: 12.0 % against 10.0 % of a, a difference of 1.1 to 2.9 points."
        );
        assert_eq!(
            said(arm("a", 10_000, 1200), arm("b", 10_000, 1000)),
            "a is better: 12.0 % against 10.0 % of b, a difference of 1.1 to 2.9 points."
        );
        let open = said(arm("a", 500, 50), arm("b", 500, 60));
        assert!(open.starts_with("No difference can be told yet: about 3400 more per variant"), "{open}");
        assert_eq!(said(arm("a", 0, 0), arm("b", 5, 1)), "Nothing can be told yet: one of them was not sent.");
        assert_eq!(said(arm("a", 5, 0), arm("b", 5, 0)), "No difference can be told: all did the same.");
        let same = said(arm("a", 500, 50), arm("b", 500, 50));
        assert_eq!(same, "No difference can be told: if there is one, it is too small to be found.");
        assert!(compare(Vec::new()).comparisons.is_empty());
    }

    /// Numbers that are the same at each run, and as good as thrown.
    struct Dice(u64);

    impl Dice {
        fn share(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn arm(&mut self, name: &str, sent: u64, rate: f64) -> Arm {
            let successes = (0..sent).filter(|_| self.share() < rate).count() as u64;
            arm(name, sent, successes)
        }
    }

    #[test]
    fn intervals_cover_the_true_rates_at_their_level_over_a_thousand_experiments() {
        for (rate_a, rate_b, sent) in [(0.10, 0.12, 800), (0.02, 0.02, 1500), (0.45, 0.40, 400)] {
            let (mut of_rate, mut of_difference, mut found) = (0, 0, 0);
            for seed in 0..1000 {
                let mut dice = Dice(seed);
                let arms = vec![dice.arm("a", sent, rate_a), dice.arm("b", sent, rate_b)];
                let report = compare(arms);
                let has = |interval: &Interval, value: f64| interval.low <= value && value <= interval.high;
                let (_, of_a) = report.arms[0].1.as_ref().expect("it was sent");
                of_rate += u32::from(has(of_a, rate_a));
                of_difference += u32::from(has(&report.comparisons[0].interval, rate_b - rate_a));
                found += u32::from(report.comparisons[0].differs);
            }
            assert!((930..=970).contains(&of_rate), "{rate_a}: {of_rate} of 1000");
            assert!((930..=970).contains(&of_difference), "{rate_a}, {rate_b}: {of_difference} of 1000");
            if rate_a == rate_b {
                assert!((30..=70).contains(&found), "found where there is none: {found} of 1000");
            }
        }
    }
}
