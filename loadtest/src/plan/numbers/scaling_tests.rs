use super::super::noise::{NONSENSE, normal};
use super::*;
use crate::random::Dice;

const KNOWN: Known = Known { sigma: 0.1, kappa: 0.001 };

fn points(counts: &[f64], truth: [f64; 3], noise: f64, dice: &Dice) -> Vec<(f64, f64)> {
    counts.iter().map(|nodes| (*nodes, throughput(*nodes, &truth) * (1.0 + noise * normal(dice)))).collect()
}

#[test]
fn parameters_without_noise_are_found_exactly() {
    let dice = Dice::new(1);
    for _ in 0..100 {
        let truth = [100.0 + 10_000.0 * dice.share(), 0.3 * dice.share(), 0.02 * dice.share()];
        let found = Scaling::fit(&points(&[1.0, 2.0, 3.0, 5.0, 8.0], truth, 0.0, &dice), KNOWN).expect("five counts");
        assert!((found.lambda / truth[0] - 1.0).abs() < 1e-5, "{found:?} {truth:?}");
        assert!((found.sigma - truth[1]).abs() < 1e-4 && (found.kappa - truth[2]).abs() < 1e-5, "{found:?} {truth:?}");
    }
}

#[test]
fn the_truth_lies_in_about_19_of_20_intervals() {
    let (dice, truth, tries) = (Dice::new(9), [1000.0, 0.1, 0.01], 1000);
    let mut within = [0; 3];
    for _ in 0..tries {
        let found = Scaling::fit(&points(&[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0], truth, 0.02, &dice), KNOWN)
            .expect("eight");
        let found_parameters = [found.lambda, found.sigma, found.kappa];
        for index in 0..3 {
            let half = found.parameter_half_width(index).expect("more points than parameters");
            within[index] += usize::from((found_parameters[index] - truth[index]).abs() <= half);
        }
    }
    for count in within {
        assert!((0.92..=0.98).contains(&(count as f64 / f64::from(tries))), "{within:?} of {tries}");
    }
}

#[test]
fn with_fewer_counts_than_parameters_the_rest_is_taken_as_known() {
    let dice = Dice::new(2);
    let one = Scaling::fit(&[(1.0, 500.0), (1.0, 520.0)], KNOWN).expect("one count");
    assert_eq!((one.fitted, one.sigma, one.kappa), (1, KNOWN.sigma, KNOWN.kappa));
    assert!((one.lambda - 510.0).abs() < 1.0, "{one:?}");
    let two = Scaling::fit(&points(&[1.0, 3.0], [500.0, 0.2, 0.0], 0.0, &dice), KNOWN).expect("two counts");
    assert_eq!((two.fitted, two.kappa), (2, 0.0));
    assert!((two.sigma - 0.2).abs() < 1e-6, "{two:?}");
    assert_eq!(two.parameter_half_width(1), None);
    let three = Scaling::fit(&points(&[3.0], [500.0, 0.1, 0.001], 0.0, &dice), KNOWN).expect("three nodes only");
    assert!((three.lambda - 500.0).abs() < 1e-6, "{three:?}");
}

#[test]
fn nodes_are_as_many_as_needed_and_those_that_may_be_gone() {
    let straight = Scaling::fit(&[(1.0, 100.0)], Known { sigma: 0.0, kappa: 0.0 }).expect("one");
    assert_eq!(straight.nodes_for(250.0, 0), Some(3));
    assert_eq!(straight.nodes_for(250.0, 1), Some(4));
    assert_eq!(straight.nodes_for(0.0, 1), Some(2));
    let bounded = Scaling::fit(&[(1.0, 100.0)], Known { sigma: 0.5, kappa: 0.0 }).expect("one");
    assert_eq!(bounded.nodes_for(250.0, 0), None);
    let turning = Scaling::fit(&[(1.0, 100.0)], Known { sigma: 0.1, kappa: 0.01 }).expect("one");
    let (nodes, most) = turning.most();
    assert!((9..=10).contains(&nodes), "{nodes}");
    assert!(turning.at(5.0) < most && turning.at(40.0) < most);
    assert_eq!(turning.nodes_for(most * 1.01, 0), None);
}

#[test]
fn nonsense_gives_no_law_or_a_finite_one() {
    for a in NONSENSE {
        for b in NONSENSE {
            let known = Known { sigma: a.abs().min(1.0), kappa: 0.0 };
            for points in
                [vec![(a, b)], vec![(1.0, a), (2.0, b)], vec![(1.0, a), (2.0, b), (3.0, a), (4.0, 1.0)], vec![]]
            {
                if let Some(law) = Scaling::fit(&points, known) {
                    assert!(law.lambda.is_finite(), "{points:?} {law:?}");
                    let _ = (law.nodes_for(a, 1), law.most());
                }
            }
        }
    }
}
