//! The planner as its users see it: a plan and runs in, lines out.

use serde_json::json;

use super::answer::{Line, Source};
use super::synthetic::{Engine, measured, run};
use super::*;
use crate::measured::{FORMAT, Saturation};

const ONE: &str = include_str!("../../plans/one-million.toml");
const TEN: &str = include_str!("../../plans/ten-million.toml");
const NEXT: &str = include_str!("../../plans/next-year.toml");

fn one() -> Plan {
    Plan::parse(ONE).expect("a legal plan")
}

fn found(plan: &str, witness: &Witness) -> Found {
    Found::of(&Plan::parse(plan).expect("a legal plan"), witness).expect("enough is said")
}

fn nothing() -> Witness {
    Witness::of(&one(), Vec::new(), Vec::new())
}

fn of_runs(rates: &[f64]) -> Witness {
    Witness::of(&one(), rates.iter().map(|rate| run(&Engine::default(), *rate, 0.5)).collect(), Vec::new())
}

fn asked(rate: f64, against: Option<&Run>) -> forecast::Asked<'_> {
    forecast::Asked { rate, against, searched: None, within: 0.1 }
}

/// As a file has it.
fn saturation(rate: f64, limit: serde_json::Value) -> Saturation {
    let file =
        json!({"format": FORMAT, "scenario": "headline", "searches": [], "rate": rate, "spread": 0.02, "limit": limit});
    serde_json::from_value(file).expect("a result as it is written")
}

fn line<'a>(found: &'a Found, section: &str, name: &str) -> &'a Line {
    let section =
        found.answer.sections.iter().find(|known| known.title.starts_with(section)).expect("the section is there");
    section.lines.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("no `{name}` in\n{section}"))
}

fn value(found: &Found, section: &str, name: &str) -> f64 {
    line(found, section, name).figure.value
}

fn error(change: &str, to: &str) -> String {
    assert!(ONE.contains(change), "{change}");
    let plan = match Plan::parse(&ONE.replace(change, to)) {
        Ok(plan) => plan,
        Err(error) => return format!("{error:#}"),
    };
    match Found::of(&plan, &nothing()) {
        Ok(_) => format!("taken: {to}"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn the_published_costs_of_messages_come_out_again_and_its_sum_does_not() {
    let one = found(ONE, &nothing());
    assert_eq!(value(&one, "Costs", "email").round(), 7_500.0);
    assert_eq!(value(&one, "Costs", "sms").round(), 150_000.0);
    assert_eq!(value(&one, "Costs", "push"), 0.0);
    assert_eq!(value(&one, "Beside", "total, its own lines added up"), 160_900.0);
    let ten = found(TEN, &nothing());
    assert_eq!(value(&ten, "Costs", "email").round(), 75_000.0);
    assert_eq!(value(&ten, "Costs", "sms").round(), 1_500_000.0);
    assert_eq!(value(&ten, "Beside", "total, its own lines added up"), 1_585_000.0);
    let text = one.answer.to_string();
    assert!(text.contains("Its total is −$500 beside the sum of its own lines."), "{text}");
}

#[test]
fn limits_of_providers_that_bind_are_named() {
    let ten = found(TEN, &nothing());
    assert!(line(&ten, "Providers", "sms, used at the peak").is_alarm);
    assert!(line(&ten, "Providers", "email, used at the peak").is_alarm);
    assert!(!line(&ten, "Providers", "push, used at the peak").is_alarm);
    assert_eq!(ten.resources[0].name, "sms: its providers");
    let next = found(NEXT, &nothing());
    assert!(
        line(&next, "Providers", "email, used with 1 out").is_alarm,
        "1,000 a second are left of 2,500, and 1,157 come"
    );
    assert!(!line(&next, "Providers", "email, used at the peak").is_alarm);
    assert!(
        found(&ONE.replace("providers = 0", "providers = 1"), &nothing())
            .answer
            .to_string()
            .contains("`sms` has no provider left with 1 out")
    );
}

#[test]
fn nodes_carry_the_peak_with_as_many_gone_as_may_be() {
    for (gone, users) in [(0, 1e6), (1, 1e7), (2, 3e8), (3, 1e9)] {
        let plan = ONE
            .replace("nodes = 1\n", &format!("nodes = {gone}\n"))
            .replace("1_000_000\nnotif", &format!("{users}\nnotif"));
        let found = found(&plan, &of_runs(&[3000.0, 6000.0]));
        if let Some(count) = found.nodes.count {
            assert!(count > gone);
            assert!(found.nodes.scaling.at(f64::from(count - gone)) >= found.demand.peak);
            assert!(count - gone == 1 || found.nodes.scaling.at(f64::from(count - gone - 1)) < found.demand.peak);
        } else {
            assert!(found.answer.to_string().contains("no number of nodes is enough"));
        }
    }
}

#[test]
fn every_number_says_where_it_comes_from() {
    for plan in [ONE, TEN, NEXT] {
        for witness in [nothing(), of_runs(&[3000.0]), of_runs(&[3000.0, 6000.0, 9000.0])] {
            for line in found(plan, &witness).answer.sections.iter().flat_map(|section| &section.lines) {
                let (Source::Measured(of) | Source::Fitted(of) | Source::Assumed(of) | Source::Computed(of)) =
                    &line.figure.source;
                assert!(of.len() > 3, "{line:?}");
            }
        }
    }
}

#[test]
fn measured_costs_take_the_place_of_assumed_ones() {
    let found = found(ONE, &of_runs(&[3000.0, 6000.0]));
    let each = line(&found, "What a notification", "processor, in this mix");
    assert!((each.figure.value - 50.0).abs() < 0.5, "{each:?}");
    assert!(
        matches!(&each.figure.source, Source::Fitted(of) if of.contains("3000.json") && of.contains("6000.json")),
        "{each:?}"
    );
    assert!(each.figure.interval.is_some());
    assert!(matches!(found.nodes.each.source, Source::Fitted(_)));
}

#[test]
fn a_search_that_ended_at_something_else_than_the_processor_bounds_a_node() {
    let searched = |resource: &str, nodes: f64, rate: f64| Searched {
        label: "s.json".into(),
        nodes,
        saturation: saturation(rate, json!({"resource": resource, "share": 1.0, "why": "the disk syncs all the time"})),
    };
    let runs = || vec![run(&Engine::default(), 3000.0, 0.5), run(&Engine::default(), 6000.0, 0.5)];
    let by_disk = found(ONE, &Witness::of(&one(), runs(), vec![searched("disk", 1.0, 5000.0)]));
    assert_eq!((by_disk.nodes.binding.as_str(), by_disk.nodes.each.value), ("disk", 3000.0));
    let by_cores = found(ONE, &Witness::of(&one(), runs(), vec![searched("processor", 1.0, 5000.0)]));
    assert_ne!(by_cores.nodes.binding, "disk");
    let several = vec![
        searched("processor", 1.0, 1000.0),
        searched("processor", 2.0, 1800.0),
        searched("processor", 4.0, 3000.0),
    ];
    let scaled = found(ONE, &Witness::of(&one(), runs(), several));
    assert!(matches!(&line(&scaled, "Nodes", "σ, what one does at a time").figure.source, Source::Fitted(_)));
}

#[test]
fn nonsense_in_a_plan_is_an_error_that_says_what_to_do() {
    for (change, to, says) in [
        ("daily_users = 1_000_000", "daily_users = 0", "demand.daily_users is 0: write a number from 1"),
        ("daily_users = 1_000_000", "daily_users = nan", "demand.daily_users is NaN"),
        ("daily_users = 1_000_000", "daily_user = 1", "daily_user"),
        ("peak_factor = 4.0", "peak_factor = 0.5", "demand.peak_factor"),
        ("share = 0.5", "share = -0.5", "the share of the channel `email` is -0.5"),
        ("share = 0.5", "share = 0.6", "add up to 1.1"),
        ("rate_per_second = 100\n", "rate_per_second = 0\n", "`rate_per_second` of the provider `twilio` is 0"),
        ("channel = \"sms\"", "channel = \"fax\"", "which is none of the plan: it has `email`, `sms`, `push`"),
        ("utilisation = 0.6", "utilisation = 1.0", "node.utilisation"),
        ("cores = 4", "cores = inf", "node.cores"),
        ("replication = 3\nrecords", "replication = 4\nrecords", "as many as there are brokers"),
        ("[redis]", "[fixed.redis]", "invalid type"),
        (
            "processor_us = { email = 92, sms = 89, push = 107 }",
            "",
            "give runs with `--measured`, or state `engine.processor_us.email`",
        ),
        ("memory_mb = 300", "memory_mb = 9000", "carries nothing, by its memory"),
        ("idle_cores = 0.2", "idle_cores = 20", "carries nothing, by its processor"),
        ("partition_rate = 500 ", "#", "state `kafka.partition_rate`"),
        ("writes_each = 3.0 ", "#", "state `store.writes_each`"),
        ("operations_each = 2.0", "", "state `redis.operations_each`"),
        (", bytes = 800", "", "state `retention.notifications.bytes`"),
    ] {
        let error = error(change, to);
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn results_that_show_nothing_are_errors_that_say_what_to_do() {
    let good = measured(&Engine::default(), 1000.0, 0.5);
    type Spoil = fn(&mut crate::measured::Measured);
    let cases: [(&str, Spoil); 8] = [
        ("format 99", |measured| measured.format = 99),
        ("lasted 0 seconds", |measured| measured.seconds = 0.0),
        ("lasted 0.5 seconds", |measured| measured.seconds = 0.5),
        ("lasted NaN seconds", |measured| measured.seconds = f64::NAN),
        ("without cores", |measured| measured.machine.cores = 0),
        ("nothing was accepted", |measured| measured.total.accepted = 0),
        ("no engine", |measured| measured.engines.clear()),
        ("no processor time", |measured| measured.engines[0].cpu_seconds = f64::NAN),
    ];
    for (says, spoil) in cases {
        let mut measured = good.clone();
        spoil(&mut measured);
        let error = Run::of(&measured, "a.json").expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let missing = Run::read(Path::new("/nowhere/a.json")).expect_err("not there");
    assert!(format!("{missing:#}").contains("give the path of a result of `fanfare-load scenario --out`"));
}

#[test]
fn runs_on_the_backends_of_the_plan_are_preferred() {
    let mut runs =
        vec![run(&Engine::default(), 3000.0, 0.5), run(&Engine { push_us: 100.0, ..Engine::default() }, 3000.0, 0.5)];
    runs[1].is_distributed = true;
    let witness = Witness::of(&one(), runs.clone(), Vec::new());
    assert_eq!(witness.runs.len(), 1);
    assert!(witness.runs[0].is_distributed);
    assert!(found(ONE, &witness).answer.to_string().contains("1 of 2 runs were on embedded backends and are left out"));
    runs.truncate(1);
    let text = found(ONE, &Witness::of(&one(), runs, Vec::new())).answer.to_string();
    assert!(text.contains("all runs were on embedded backends"), "{text}");
}

#[test]
fn a_plan_for_one_node_needs_nothing_that_nodes_share() {
    let alone = |text: &str| {
        let (head, rest) = text.split_once("[kafka]").expect("it has Kafka");
        let (_, tail) = rest.split_once("[fixed]").expect("it has fixed prices");
        format!("{head}[fixed]{tail}").replace("nodes = 1\n", "nodes = 0\n")
    };
    let found = found(&alone(ONE), &nothing());
    assert_eq!(found.nodes.count, Some(1));
    assert!(line(&found, "The disk of the node", "room for it").is_alarm, "120 GB of a month do not fit into 60");
    assert_eq!(value(&found, "Costs", "nodes"), 150.0);
}

#[test]
fn odd_runs_make_no_panic() {
    for rates in [vec![1.0], vec![1e9], vec![5000.0; 3], vec![1.0, 1e7], vec![9000.0, 3000.0]] {
        for plan in [ONE, NEXT] {
            let plan = Plan::parse(plan).expect("legal");
            if let Ok(found) = Found::of(&plan, &of_runs(&rates)) {
                assert!(!found.answer.to_string().is_empty());
                let html = report::plan(&plan, &of_runs(&rates), &found);
                assert!(!html.contains("NaN") && !html.contains("<script") && !html.contains("http"), "{html}");
            }
        }
    }
}

#[test]
fn runs_at_30_and_60_percent_forecast_one_at_90_within_a_tenth() {
    let engine = Engine::default();
    let full = (2.0 - engine.idle) / 60e-6;
    let runs = [0.3, 0.6].map(|load| run(&engine, load * full, 0.5));
    let against = run(&engine, 0.9 * full, 0.5);
    let forecast = forecast::Forecast::of(&runs, asked(against.rate, Some(&against))).expect("two runs");
    assert!(forecast.holds(), "{forecast}");
    assert!(forecast.rows.iter().filter(|row| row.error.is_some()).count() >= 9, "{forecast}");
    let late = forecast::Forecast::of(&runs, asked(2.0 * full, None)).expect("two runs");
    assert!(late.to_string().contains("a backlog grows"), "{late}");
}

#[test]
fn a_run_beyond_what_the_machine_can_do_is_a_doubtful_witness() {
    let mut measured = measured(&Engine::default(), 1000.0, 0.5);
    measured.create.p50 = 5000.0;
    measured.total.lost = 3;
    let late = Run::of(&measured, "late.json").expect("it accepted something");
    let forecast =
        forecast::Forecast::of(&[run(&Engine::default(), 500.0, 0.5), late], asked(900.0, None)).expect("two runs");
    assert!(
        forecast.to_string().contains("late.json, synthetic: half of its requests waited 5.0 s and longer"),
        "{forecast}"
    );
    assert!(forecast.to_string().contains("3 were lost in it"), "{forecast}");
}

#[test]
fn a_forecast_takes_runs_of_one_machine_only() {
    let mut runs = [run(&Engine::default(), 1000.0, 0.5), run(&Engine::default(), 2000.0, 0.5)];
    runs[0].cores = 8.0;
    let error = forecast::Forecast::of(&runs, asked(3000.0, None)).expect_err("two machines");
    assert!(error.to_string().contains("of another machine"), "{error}");
}

#[test]
fn no_number_of_a_plan_makes_it_panic() {
    let odd = ["0", "-1", "nan", "inf", "-inf", "1e300", "1e-300", "1", "95", "\"much\""];
    let witnesses = [nothing(), of_runs(&[3000.0, 6000.0])];
    let is_number = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    for (index, line) in NEXT.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|(_, value)| is_number(value)) else { continue };
        for value in odd {
            let lines: Vec<String> = NEXT
                .lines()
                .enumerate()
                .map(|(at, line)| if at == index { format!("{key} = {value}") } else { line.to_owned() })
                .collect();
            let Ok(plan) = Plan::parse(&lines.join("\n")) else { continue };
            for witness in &witnesses {
                if let Ok(found) = Found::of(&plan, witness) {
                    let _ = (found.answer.to_string(), report::plan(&plan, witness, &found));
                    serde_json::to_string(&found.answer).expect("what is not finite is null");
                }
            }
        }
    }
}

#[test]
fn a_search_says_on_how_many_nodes_it_was() {
    let folder = std::env::temp_dir().join(format!("fanfare-plan-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let path = folder.join("s.json");
    let saturation = Saturation {
        format: FORMAT,
        scenario: "headline".into(),
        searches: Vec::new(),
        rate: 9.0,
        spread: 0.0,
        limit: None,
    };
    std::fs::write(&path, serde_json::to_string(&saturation).expect("plain")).expect("room");
    let nodes = |argument: String| {
        Searched::read(&argument).map(|searched| searched.nodes).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(nodes(path.display().to_string()), Ok(1.0));
    assert_eq!(nodes(format!("3:{}", path.display())), Ok(3.0));
    assert!(nodes(format!("0:{}", path.display())).is_err_and(|error| error.contains("cannot read")));
    std::fs::write(&path, serde_json::to_string(&Saturation { rate: 0.0, ..saturation }).expect("plain"))
        .expect("room");
    assert!(
        nodes(path.display().to_string())
            .is_err_and(|error| error.contains("found no rate that holds: search from a lower one"))
    );
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
