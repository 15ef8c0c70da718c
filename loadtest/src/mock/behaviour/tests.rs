//! Dice, limits and times, without a network.

use super::*;

fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).expect("an object")
}

fn verdicts(behaviour: &Behaviour, seed: u64, count: u32) -> Vec<Fate> {
    let temper = Temper::new(behaviour.clone(), seed);
    (0..count).map(|number| temper.decide(&format!("+1555{number}"))).collect()
}

#[test]
fn each_rate_gets_its_share_of_deliveries() {
    let behaviour = Behaviour { error_rate: 0.1, throttle_rate: 0.2, hang_rate: 0.3, ..Behaviour::default() };
    let fates = verdicts(&behaviour, 3, 10_000);
    for (verdict, expected) in [(Verdict::Fail, 1000), (Verdict::Throttle, 2000), (Verdict::Hang, 3000)] {
        let count = fates.iter().filter(|fate| fate.verdict == verdict).count();
        assert!(count.abs_diff(expected) < 200, "{count} instead of about {expected}");
    }
}

#[test]
fn a_seed_fixes_every_misbehaviour() {
    let tenth = 0.1;
    let behaviour = Behaviour {
        latency_us: 1000,
        latency_jitter_us: 100,
        latency_sigma: 0.5,
        error_rate: tenth,
        throttle_rate: tenth,
        reject_rate: tenth,
        hang_rate: tenth,
        reset_rate: tenth,
        garbage_rate: tenth,
        huge_rate: tenth,
        redirect_rate: tenth,
        unauthorized_rate: tenth,
        dead_rate: tenth,
        ..Behaviour::default()
    };
    let fates = verdicts(&behaviour, 7, 1000);
    assert_eq!(fates, verdicts(&behaviour, 7, 1000));
    assert_ne!(fates, verdicts(&behaviour, 8, 1000));
    for verdict in Verdict::ALL {
        let count = fates.iter().filter(|fate| fate.verdict == verdict).count();
        assert!((50..150).contains(&count), "{verdict:?}: {count}");
    }
}

#[test]
fn who_is_gone_stays_gone() {
    let behaviour =
        Behaviour { dead_rate: 0.3, dead_pattern: Some("gone".into()), error_rate: 0.5, ..Behaviour::default() };
    let temper = Temper::new(behaviour, 1);
    let is_dead = |recipient: &str| temper.decide(recipient).verdict == Verdict::Dead;
    let mut dead = 0;
    for number in 0..1000 {
        let recipient = format!("+1555{number}");
        let first = is_dead(&recipient);
        assert!((0..3).all(|_| is_dead(&recipient) == first));
        dead += u32::from(first);
    }
    assert!((250..350).contains(&dead), "{dead}");
    assert!(is_dead("is-gone@x"));
}

#[test]
fn a_limit_throttles_what_is_above_it_and_may_be_changed() {
    let temper = Temper::new(Behaviour { limit_per_second: Some(100.0), ..Behaviour::default() }, 1);
    let begin = Instant::now();
    let taken = |from_ms: u64| {
        let at = |number: u64| begin + Duration::from_millis(from_ms + number);
        (0..1000).filter(|number| temper.decide_at("", at(*number)).verdict == Verdict::Accept).count()
    };
    assert!((100..=111).contains(&taken(0)));
    temper.change(&object(r#"{"limit_per_second": 50}"#)).expect("legal");
    assert!((50..=61).contains(&taken(1000)));
    temper.change(&object(r#"{"limit_per_second": null}"#)).expect("legal");
    assert_eq!(taken(2000), 1000);
}

#[test]
fn an_outage_and_the_end_of_credentials_come_at_their_times() {
    let behaviour = Behaviour {
        outage_after_s: Some(10.0),
        outage_s: Some(30.0),
        unauthorized_after_s: Some(60.0),
        ..Behaviour::default()
    };
    let temper = Temper::new(behaviour, 1);
    let begin = Instant::now();
    let cases = [
        (5, Verdict::Accept),
        (11, Verdict::Fail),
        (39, Verdict::Fail),
        (41, Verdict::Accept),
        (61, Verdict::Unauthorized),
    ];
    for (second, expected) in cases {
        assert_eq!(temper.decide_at("", begin + Duration::from_secs(second)).verdict, expected, "{second}");
    }
}

#[test]
fn a_change_leaves_the_other_keys_alone() {
    let temper = Temper::new(Behaviour { error_rate: 0.1, ..Behaviour::default() }, 0);
    let changed = temper.change(&object(r#"{"latency_ms": 2.5, "hang_rate": 0.5}"#)).expect("a legal change");
    assert_eq!((changed.latency_us, changed.hang_rate, changed.error_rate), (2500, 0.5, 0.1));
}

#[test]
fn an_impossible_change_is_refused_and_changes_nothing() {
    let temper = Temper::new(Behaviour { error_rate: 0.6, ..Behaviour::default() }, 0);
    for json in [r#"{"hang_rate": 0.5}"#, r#"{"hang_rate": -1}"#, r#"{"latency": 1}"#, r#"{"dead_pattern": 1}"#] {
        assert!(temper.change(&object(json)).is_err(), "{json}");
    }
    assert_eq!(temper.current().error_rate, 0.6);
}
