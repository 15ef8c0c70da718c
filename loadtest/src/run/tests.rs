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
struct RunCli {
    #[command(flatten)]
    args: RunArgs,
}

async fn measure(faults: Faults, options: &str) -> Report {
    let mock = MockCli::parse_from("mock --http 127.0.0.1:0 --smtp 127.0.0.1:0 --latency-from-body".split(' '));
    let mock = Mock::start(&mock.args).await.expect("two free ports");
    let engine = fake_engine::start(faults).await;
    let command = format!("run --url http://{} --mock http://{} {options}", engine.authority, mock.listen().http);
    let run = RunCli::parse_from(command.split_whitespace());
    run.args.measure().await.expect("a measured run")
}

#[tokio::test]
async fn what_was_accepted_and_arrived_is_counted_and_timed() {
    let report = measure(Faults::default(), "--rate 500 --duration 200ms --connections 4").await;
    assert_eq!((report.offered, report.accepted), (100, 100));
    let deliveries = report.deliveries.as_ref().expect("it waited");
    assert_eq!((deliveries.delivered, deliveries.lost, deliveries.duplicates), (100, 0, 0));
    assert_eq!(report.delivery_latency["normal"].count, 100.0);
    assert_eq!(report.stamp_to_receipt.map(|latency| latency.count), Some(100));
    assert!(report.holds());
    assert!(report.to_string().contains("lost         0"));
}

#[tokio::test]
async fn a_lost_notification_is_named_even_when_another_arrives_twice() {
    let faults = Faults { lost: vec![7], repeated: vec![3, 4], ..Faults::default() };
    let report = measure(faults, "--rate 400 --duration 100ms --batch 10 --drain-timeout 300ms").await;
    let deliveries = report.deliveries.as_ref().expect("it waited");
    assert_eq!((report.accepted, deliveries.lost, deliveries.duplicates), (40, 1, 2));
    assert_eq!(deliveries.lost_ids, ["ntf_04g00007"]);
    assert!(!report.holds());
}

#[tokio::test]
async fn what_was_refused_is_not_accepted() {
    let faults = Faults { refused: vec![0, 2], ..Faults::default() };
    let report = measure(faults, "--rate 400 --duration 100ms --batch 10").await;
    assert_eq!((report.offered, report.accepted, report.refused["503"]), (40, 20, 20));
    assert!(report.holds());
}

#[tokio::test]
async fn the_stamp_of_a_scheduled_notification_is_its_due_time() {
    // The fake delivers at once, so everything is early.
    let report = measure(Faults::default(), "--rate 100 --duration 100ms --scheduled-in 5s --over 1s").await;
    let latency = report.stamp_to_receipt.expect("the mock keeps it");
    assert_eq!(latency.early, 10);
    assert!(latency.early_max_us > 5_500_000, "{}", latency.early_max_us);
}
