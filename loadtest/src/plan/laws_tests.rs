use super::*;
use crate::plan::numbers::noise::normal;
use crate::plan::synthetic::{Engine, run};
use crate::random::Dice;

fn shares(email: f64) -> BTreeMap<String, f64> {
    BTreeMap::from([("email".to_owned(), email), ("push".to_owned(), 1.0 - email)])
}

#[test]
fn runs_of_different_mixes_tell_what_each_channel_costs() {
    let engine = Engine::default();
    let runs: Vec<Run> = [(1000.0, 0.9), (3000.0, 0.1), (5000.0, 0.5), (8000.0, 0.2)]
        .map(|(rate, email)| run(&engine, rate, email))
        .into();
    let laws = Laws::of(&runs).expect("four runs");
    let (mail, _) = laws.processor.each(&shares(1.0));
    let (push, _) = laws.processor.each(&shares(0.0));
    assert!((mail * 1e6 - engine.email_us).abs() < 0.5, "{mail}");
    assert!((push * 1e6 - engine.push_us).abs() < 0.5, "{push}");
    assert!((laws.processor.idle - engine.idle).abs() < 0.002, "{}", laws.processor.idle);
    assert_eq!(laws.processor.by_channel().len(), 2);
}

#[test]
fn runs_of_one_mix_tell_what_a_notification_of_it_costs() {
    let engine = Engine::default();
    let runs = [run(&engine, 3000.0, 0.5), run(&engine, 6000.0, 0.5)];
    let laws = Laws::of(&runs).expect("two runs");
    assert!(laws.processor.by_channel().is_empty());
    let (cores, _) = laws.processor.cores(1.0, 9000.0, &shares(0.5));
    let truth = run(&engine, 9000.0, 0.5).engine_cores;
    assert!((cores / truth - 1.0).abs() < 0.01, "{cores} {truth}");
    let (rate, _) = laws.processor.rate_at(truth, &shares(0.5));
    assert!((rate / 9000.0 - 1.0).abs() < 0.01, "{rate}");
}

#[test]
fn one_run_gives_a_cost_that_has_the_idle_cost_in_it() {
    let engine = Engine::default();
    let laws = Laws::of(&[run(&engine, 2000.0, 0.5)]).expect("one run");
    assert_eq!(laws.processor.idle, 0.0);
    assert!(laws.processor.words().contains("upper bound"));
    let (cores, half) = laws.processor.cores(1.0, 4000.0, &shares(0.5));
    assert!(cores > run(&engine, 4000.0, 0.5).engine_cores && half.is_some(), "{cores} {half:?}");
    assert!(Laws::of(&[]).is_none());
}

#[test]
fn more_nodes_cost_their_idle_time_each() {
    let engine = Engine::default();
    let mut runs: Vec<Run> = vec![run(&engine, 2000.0, 0.5), run(&engine, 4000.0, 0.5), run(&engine, 4000.0, 0.5)];
    runs[2].nodes = 3.0;
    runs[2].engine_cores += 2.0 * engine.idle;
    let laws = Laws::of(&runs).expect("three runs");
    assert!((laws.processor.idle - engine.idle).abs() < 0.002, "{}", laws.processor.idle);
}

#[test]
fn the_forecast_interval_has_the_truth_in_it_19_times_of_20() {
    let (dice, engine, mut within) = (Dice::new(4), Engine::default(), 0);
    for _ in 0..500 {
        let runs: Vec<Run> = [2000.0, 3000.0, 4000.0, 5000.0, 6000.0]
            .map(|rate| {
                let mut run = run(&engine, rate, 0.5);
                run.engine_cores += 0.01 * normal(&dice);
                run.engine_cores_error = None;
                run
            })
            .into();
        let (cores, half) = Laws::of(&runs).expect("five runs").processor.cores(1.0, 9000.0, &shares(0.5));
        let truth = engine.idle + 9000.0 * (engine.email_us + engine.push_us) / 2e6;
        within += usize::from((cores - truth).abs() <= half.expect("five runs"));
    }
    assert!((460..=490).contains(&within), "{within} of 500");
}

#[test]
fn a_line_that_falls_is_a_constant_and_one_from_below_nothing_has_no_base() {
    let falling = Straight::of(&[(1.0, 10.0, None), (2.0, 8.0, None)]).expect("two points");
    assert!((falling.base - 9.0).abs() < 1e-9 && falling.each == 0.0, "{falling:?}");
    assert_eq!(falling.each_half_width(), None);
    let steep = Straight::of(&[(1.0, 1.0, None), (2.0, 4.0, None)]).expect("two points");
    assert_eq!(steep.base, 0.0);
    assert!((steep.each - 1.8).abs() < 1e-9, "{}", steep.each);
    assert!(Straight::of(&[(0.0, 1.0, None)]).is_none());
    assert!(Straight::of(&[]).is_none());
}
