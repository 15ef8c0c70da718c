use std::collections::BTreeMap;

use super::curve::{Arrivals, Curve, Spacing};
use super::file::{Scenario, Shape};
use super::zipf::Zipf;
use super::{figures, shape, watch};
use crate::measured::Sample;
use crate::random::Dice;

const SMALL: &str = r#"
name = "small"
description = "a test"
duration = "10s"
rate = 100
[[streams]]
name = "a"
channel = "webhook"
share = 1.0
"#;

fn shapes() -> Vec<Shape> {
    let s = std::time::Duration::from_secs;
    vec![
        Shape::Constant,
        Shape::Ramp { from: 0.0, to: 2.0 },
        Shape::Step { factors: vec![0.5, 1.0, 3.0] },
        Shape::Spike { at: s(20), lasting: s(5), factor: 10.0 },
        Shape::Diurnal { night: 0.2, peak: 2.0, period: None },
    ]
}

#[test]
fn as_many_come_as_the_rate_says_in_every_part_of_the_run() {
    for shape in shapes() {
        let curve = Curve::new(shape.points(60.0).expect("legal")).scaled(200.0);
        for (spacing, tolerance) in [(Spacing::Even, 2.0), (Spacing::Poisson { seed: 7 }, 400.0)] {
            let times: Vec<f64> = Arrivals::new(curve.clone(), spacing).map(|at| at.as_secs_f64()).collect();
            assert!(times.is_sorted(), "{shape:?}");
            for amount in [0.1, 0.35, 0.5, 0.8, 1.0].map(|share| share * curve.total()) {
                let until = curve.when(amount).expect("within");
                let came = times.iter().filter(|at| **at <= until).count() as f64;
                assert!((came - amount).abs() <= tolerance, "{shape:?} {spacing:?}: {came} of {amount}");
            }
        }
    }
}

#[test]
fn evenly_spaced_arrivals_are_a_period_apart() {
    let curve = Curve::new(vec![(0.0, 50.0), (10.0, 50.0)]);
    let times: Vec<f64> = Arrivals::new(curve, Spacing::Even).map(|at| at.as_secs_f64()).collect();
    assert_eq!(times.len(), 500);
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.02).abs() < 1e-6));
}

#[test]
fn poisson_arrivals_are_as_irregular_as_they_should_be_and_the_same_for_a_seed() {
    let curve = Curve::new(vec![(0.0, 1000.0), (100.0, 1000.0)]);
    let times = |seed| Arrivals::new(curve.clone(), Spacing::Poisson { seed }).collect::<Vec<_>>();
    assert_eq!(times(3), times(3));
    assert_ne!(times(3), times(4));
    // Of an exponential distribution, one in e is longer than the mean.
    let longer = times(3).windows(2).filter(|pair| (pair[1] - pair[0]).as_secs_f64() > 0.001).count() as f64;
    let share = longer / times(3).len() as f64;
    assert!((share - 0.3679).abs() < 0.01, "{share}");
}

#[test]
fn zipf_gives_each_user_its_share() {
    for (count, exponent) in [(50, 0.0), (50, 0.8), (1000, 1.0), (1000, 1.3)] {
        let zipf = Zipf::new(count, exponent);
        let dice = Dice::new(5);
        let mut seen = vec![0u32; count as usize];
        const DRAWS: u32 = 200_000;
        (0..DRAWS).for_each(|_| seen[zipf.draw(&dice) as usize] += 1);
        let sum: f64 = (1..=count).map(|k| (k as f64).powf(-exponent)).sum();
        for k in [1u64, 2, 10, 50] {
            let expected = (k as f64).powf(-exponent) / sum * f64::from(DRAWS);
            let slack = 5.0 * expected.sqrt() + 1.0;
            let got = f64::from(seen[k as usize - 1]);
            assert!((got - expected).abs() < slack, "{k} of {count} with {exponent}: {got}, not {expected}");
        }
    }
}

#[test]
fn a_trace_is_stretched_and_keeps_its_form() {
    let points = shape::replay("# seconds count\n0 10\n60 30\n120 20\n", 18.0).expect("legal");
    let curve = Curve::new(points);
    assert!((curve.total() - 18.0).abs() < 1e-9, "a mean of 1: {}", curve.total());
    assert!((curve.when(3.0).expect("within") - 6.0).abs() < 1e-9, "a sixth in the first third");
    assert!((curve.when(12.0).expect("within") - 12.0).abs() < 1e-9);
    for bad in ["", "0 1\n", "0 1\n0 2\n", "a b\n1 1\n", "0 0\n1 0\n"] {
        assert!(shape::replay(bad, 10.0).is_err(), "{bad:?}");
    }
}

#[test]
fn a_key_that_does_not_exist_names_the_nearest() {
    let error = Scenario::parse(&SMALL.replace("share = 1.0", "shrae = 1.0")).expect_err("misspelt");
    assert!(error.to_string().contains("did you mean `share`?"), "{error}");
    let error = Scenario::parse(&format!("{SMALL}priorty = \"high\"")).expect_err("misspelt");
    assert!(error.to_string().contains("did you mean `priority`?"), "{error}");
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(Scenario::parse(SMALL).is_ok());
    let cases = [
        ("share = 1.0", "share = 1.0\nrate = 5", "either a `rate` or a `share`"),
        ("share = 1.0", "share = 1.0\npriority = \"urgent\"", "`priority` is one of"),
        ("share = 1.0", "share = 1.0\nprovider = \"fcm\"", "nothing of this channel"),
        ("\"webhook\"", "\"push\"\nprovider = \"apns\"", "not counted by their tasks"),
        ("share = 1.0", "share = 1.0\nzipf = 1.1", "`zipf` needs `users`"),
        ("share = 1.0", "share = 1.0\n[objectives]\nloss = 0", "no objective `loss`"),
        ("share = 1.0", "share = 1.0\n[providers.fmc]\nlatency_ms = 5", "no kind of provider `fmc`"),
    ];
    for (from, to, expected) in cases {
        let error = Scenario::parse(&SMALL.replace(from, to)).expect_err(to);
        assert!(format!("{error:#}").contains(expected), "{to}: {error:#}");
    }
}

#[test]
fn every_scenario_that_ships_can_be_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "toml") {
            let scenario = Scenario::read(&entry.path()).expect("legal");
            assert!(scenario.mean_rate().expect("a rate") > 0.0);
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn a_metric_is_added_up_by_a_label() {
    let scrape = "x_total{a=\"1\",b=\"u\"} 2\nx_total{a=\"2\",b=\"u\"} 3\nx_total{a=\"1\",b=\"v\"} 4\nx_totals 9\n";
    assert_eq!(watch::sum_by(scrape, "x_total", "a"), BTreeMap::from([("1".into(), 6.0), ("2".into(), 3.0)]));
    assert_eq!(watch::sum_by(scrape, "x_totals", ""), BTreeMap::from([(String::new(), 9.0)]));
}

#[test]
fn memory_that_only_fills_its_bounds_at_first_is_flat() {
    let sample = |second: u32| Sample {
        at_seconds: f64::from(second),
        memory: if second < 20 { 10 * u64::from(second) } else { 200 },
        ..Sample::default()
    };
    let series: Vec<Sample> = (0..100).map(sample).collect();
    assert_eq!(figures::memory_growth(&series, 100.0), Some(0.0));
}
