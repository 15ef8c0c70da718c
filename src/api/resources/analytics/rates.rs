//! Rates, each a count divided by another. A rate over nothing is none. It may be above 1 where a day's opens are of messages that were
//! sent before.

use crate::domain::{Count, Counts};

/// All rates by their names.
pub(super) fn of(counts: &Counts) -> [(&'static str, Option<f64>); 8] {
    let get = |count| counts.get(count);
    let sent = get(Count::Sent);
    // Those of which nobody said that they did not arrive: many channels never say that one did.
    let arrived = sent - get(Count::Bounced);
    [
        ("delivery_rate", rate(get(Count::Delivered), sent)),
        ("open_rate", rate(get(Count::Opened), arrived)),
        ("click_rate", rate(get(Count::Clicked), arrived)),
        ("click_to_open_rate", rate(get(Count::Clicked), get(Count::Opened))),
        ("bounce_rate", rate(get(Count::Bounced), sent)),
        ("complaint_rate", rate(get(Count::Complained), arrived)),
        ("unsubscribe_rate", rate(get(Count::Unsubscribed), arrived)),
        ("conversion_rate", rate(get(Count::Converted), arrived)),
    ]
}

/// To six digits: more would be noise.
fn rate(part: i64, all: i64) -> Option<f64> {
    (all > 0).then(|| (part as f64 / all as f64 * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_divides_by_what_it_says_and_over_nothing_is_none() {
        let mut counts = Counts::default();
        let of_counts = |counts: &Counts| of(counts).map(|(_, rate)| rate);
        assert_eq!(of_counts(&counts), [None; 8]);
        for (count, number) in [
            (Count::Sent, 10),
            (Count::Bounced, 2),
            (Count::Delivered, 6),
            (Count::Opened, 4),
            (Count::OpenedTotal, 9),
            (Count::Clicked, 1),
            (Count::Converted, 2),
        ] {
            counts.add(count, number);
        }
        let expected = [0.6, 0.5, 0.125, 0.25, 0.2, 0.0, 0.0, 0.25].map(Some);
        assert_eq!(of_counts(&counts), expected);
    }
}
