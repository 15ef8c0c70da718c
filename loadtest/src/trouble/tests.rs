//! What can be shown without an engine: the phases against mocks in the same runtime, the report, and what is refused.

use clap::Parser;

use super::report::{Limit, Phase, Switch};
use super::series::Counts;
use super::*;
use crate::mock::{Mock, MockArgs};

#[derive(Parser)]
struct MockCli {
    #[command(flatten)]
    args: MockArgs,
}

#[derive(Parser)]
struct TroubleCli {
    #[command(flatten)]
    args: TroubleArgs,
}

fn parsed(options: &str) -> TroubleArgs {
    let command = format!("trouble --engine fanfare {options}");
    TroubleCli::parse_from(command.split_whitespace()).args
}

async fn mock() -> MockHandle {
    let mock = MockCli::parse_from("mock --http 127.0.0.1:0 --smtp 127.0.0.1:0".split(' '));
    let mock = Mock::start(&mock.args).await.expect("two free ports");
    MockHandle::attach(&Url { authority: mock.listen().http.clone(), path: "/".into() }).await.expect("a mock")
}

#[tokio::test]
async fn only_the_first_mock_is_in_trouble_and_well_again_at_the_end() {
    let mocks = [mock().await, mock().await];
    let phase = Duration::from_millis(250);
    let args = parsed("");
    let (begin, end) = (json!({ "latency_us": 7, "error_rate": 1 }), args.behaviour(false));
    let plan = Plan { phases: [phase; 3], begin, end };
    let watched = watch(&[&mocks[0], &mocks[1]], &plan).await.expect("both answer");
    let phases = watched.phases();
    assert!(phases.iter().all(|samples| samples.len() > 1));
    assert_eq!(phases[0].last().map(|sample| sample.at_us), phases[1].first().map(|sample| sample.at_us));
    let behaviours = [mocks[0].stats().await.expect("it answers"), mocks[1].stats().await.expect("it answers")];
    let behaviours = behaviours.map(|stats| (stats.behaviour.latency_us, stats.behaviour.error_rate));
    assert_eq!(behaviours, [(7, 0.0), (0, 0.0)]);
}

#[tokio::test]
async fn a_behaviour_that_cannot_be_is_an_error() {
    assert!(mock().await.behave(&json!({ "error_rate": 2 })).await.is_err());
}

#[test]
fn what_could_show_nothing_is_refused() {
    assert!(parsed("").check().is_ok());
    assert!(parsed("--kind fcm --case hang").check().is_ok());
    for options in ["--kind slack", "--kind web_push", "--trouble 1s", "--rate 10", "--case limit --limit 20"] {
        assert!(parsed(options).check().is_err(), "{options}");
    }
}

#[test]
fn above_a_limit_more_is_sent_than_it_allows() {
    assert_eq!(parsed("").rate(), 500.0);
    assert_eq!(parsed("--case limit --limit 100").rate(), 120.0);
    assert_eq!(parsed("--case limit --rate 70").rate(), 70.0);
    let limits = [false, true].map(|in_trouble| parsed("--case limit").behaviour(in_trouble));
    assert_eq!(limits.map(|limit| limit["limit_per_second"].as_f64()), [Some(200.0), Some(100.0)]);
}

fn report(lost: u64, accepted: u64) -> Report {
    let phase = || {
        let limit = Limit { per_second: 200.0, settled_per_second: 190.0, settled_share: 0.95, refused_share: 0.01 };
        Phase { seconds: 5.0, a: Counts::default(), b: Counts::default(), critical: None, limit: Some(limit) }
    };
    let switch = Switch { left_after_ms: None, back_after_ms: Some(1234.0), moved_share: 0.5, failed_calls: 7 };
    Report {
        case: Case::Fail,
        kind: Kind::Sendgrid,
        rate: 500.0,
        critical_rate: None,
        phases: [phase(), phase(), phase()],
        switch: Some(switch),
        seconds: Vec::new(),
        outcome: Outcome { accepted, refused: 0, unanswered: 0, lost, lost_ids: Vec::new(), duplicates: 3 },
    }
}

#[test]
fn it_holds_when_something_was_accepted_and_nothing_lost() {
    assert!(report(0, 5).holds());
    assert!(!report(1, 5).holds());
    assert!(!report(0, 0).holds());
}

#[test]
fn a_report_says_what_never_happened() {
    let text = report(0, 5).to_string();
    for line in ["left a       never, 7 calls failed", "back at a    after 1234 ms", "settled at 190.0/s (95.0 %)"] {
        assert!(text.contains(line), "{text}");
    }
}
