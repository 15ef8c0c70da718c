//! `fanfare-load`: shows what a Fanfare engine can do, and what it loses when it is maltreated. Mock providers take
//! what the engine delivers; the other commands put load on it and compare what was accepted with what arrived.

mod run;
mod scenario;
mod saturate;
mod compare;
mod crash;
mod cluster;
mod trouble;
mod analytics;
mod crowd;
mod live;
mod track;
mod plan;
mod relay;
mod certain;
mod drain_check;
mod bare_command;
mod mock;
mod bare;
mod engine;
mod mock_process;
mod ledger;
mod settle;
mod measured;
mod merged;
mod plot;
mod progress;
mod text;
mod http_client;
mod channel;
mod ids;
mod args;
mod clock;
mod random;
#[cfg(test)]
mod fake_engine;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use analytics::AnalyticsArgs;
use bare_command::BareArgs;
use cluster::ClusterArgs;
use compare::CompareArgs;
use crash::CrashArgs;
use crowd::CrowdArgs;
use drain_check::DrainCheckArgs;
use live::LiveArgs;
use mock::MockArgs;
use plan::{ForecastArgs, PlanArgs};
use relay::RelayArgs;
use run::RunArgs;
use saturate::SaturateArgs;
use scenario::ScenarioArgs;
use track::TrackArgs;
use trouble::TroubleArgs;

// Both ends of a bare loop allocate per request; the engine is measured with the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The load-test harness of Fanfare.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mock(Box<MockArgs>),
    Bare(BareArgs),
    Run(Box<RunArgs>),
    Scenario(Box<ScenarioArgs>),
    Saturate(Box<SaturateArgs>),
    Compare(Box<CompareArgs>),
    Crash(Box<CrashArgs>),
    Cluster(Box<ClusterArgs>),
    Trouble(Box<TroubleArgs>),
    Crowd(Box<CrowdArgs>),
    Live(Box<LiveArgs>),
    Analytics(Box<AnalyticsArgs>),
    Track(Box<TrackArgs>),
    Plan(PlanArgs),
    Forecast(ForecastArgs),
    Relay(Box<RelayArgs>),
    DrainCheck(DrainCheckArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fanfare-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The exit code of a command: 1 when what was to be shown did not hold. An error, exit code 2, says that nothing was
/// shown at all.
fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Mock(args) => runtime(args.threads)?.block_on(args.run()).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Scenario(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Saturate(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Compare(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Crash(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Cluster(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Trouble(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Crowd(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Live(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Analytics(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Track(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Plan(args) => args.run().map(|()| ExitCode::SUCCESS),
        Command::Forecast(args) => args.run().map(shown),
        Command::Relay(args) => runtime(1)?.block_on(args.run()).map(|()| ExitCode::SUCCESS),
        Command::DrainCheck(args) => runtime(1)?.block_on(args.run()).map(shown),
        Command::Bare(args) => runtime(1)?.block_on(args.run()).map(|()| ExitCode::SUCCESS),
    }
}

fn shown(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One thread is the most economical: no request ever crosses from one core to another.
fn runtime(threads: u16) -> Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(usize::from(threads)).enable_all().build().context("cannot start the runtime")
}
