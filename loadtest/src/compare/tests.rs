//! The whole command against a mock and a fake engine in one runtime.

use clap::Parser;

use super::*;
use crate::fake_engine::{self, Faults};
use crate::mock::{Mock, MockArgs};

#[derive(Parser)]
struct MockCli {
    #[command(flatten)]
    args: MockArgs,
}

#[derive(Parser)]
struct CompareCli {
    #[command(flatten)]
    args: CompareArgs,
}

async fn measure(faults: Faults, options: &str) -> Report {
    let mock = MockCli::parse_from("mock --http 127.0.0.1:0 --smtp 127.0.0.1:0".split(' '));
    let mock = Mock::start(&mock.args).await.expect("two free ports");
    let engine = fake_engine::start(faults).await;
    let command = format!("compare --url http://{} --mock http://{} {options}", engine.authority, mock.listen().http);
    let compare = CompareCli::parse_from(command.split_whitespace());
    compare.args.measure().await.expect("a measured comparison")
}

#[tokio::test]
async fn what_is_pushed_back_is_posted_again() {
    let faults = Faults { refused: vec![1, 2], ..Faults::default() };
    let report = measure(faults, "--count 95 --batch 10 --posters 2 --connections 3").await;
    let engine = &report.engine;
    assert_eq!((engine.accepted, engine.pushed_back, engine.lost, engine.duplicates), (95, 2, 0, 0));
    assert!(report.bare_before > 0.0 && report.bare_after > 0.0 && report.ratio > 0.0);
    assert!(report.to_string().contains("ratio"));
}

#[tokio::test]
async fn what_does_not_arrive_is_lost() {
    let faults = Faults { lost: vec![3], ..Faults::default() };
    let report = measure(faults, "--count 20 --batch 10 --drain-timeout 200ms").await;
    assert_eq!((report.engine.lost, report.engine.lost_ids.len()), (1, 1));
}
