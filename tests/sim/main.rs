//! The simulation: several nodes of the engine over ports that fail, in one thread and in virtual time, from a seed.
//!
//! `./dev simulate` builds and runs it. What goes wrong is drawn from the seed ([`schedule`]), the engine's own code runs over it
//! ([`drive`], [`node`]), and at the end the [`oracle`] judges: nothing lost, nothing sent twice without a reason. The same
//! seed gives the same run, so a failure is found again by its number.

#![expect(unreachable_pub, reason = "a test binary has no outside, and `pub` is what its modules show each other")]

mod arguments;
mod braking;
mod cells;
mod coordination;
mod drive;
mod groups;
mod host;
mod leases;
mod log;
mod merging;
mod node;
mod oracle;
mod provider;
mod rng;
mod runs;
mod schedule;
mod store;
mod tables;
mod variant;
mod world;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = arguments::Arguments::parse(std::env::args().skip(1)).and_then(|arguments| runs::run(&arguments));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulation: {error:#}");
            ExitCode::FAILURE
        }
    }
}
