//! Many worlds, on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::{Builder, RngSeed};

use super::arguments::Arguments;
use super::drive;
use super::node::Kit;
use super::oracle::Verdict;
use super::variant::Variant;
use super::world::World;

/// A broken variant must be caught within so many seeds.
const CAUGHT_WITHIN: u64 = 1000;
/// One in so many seeds is run twice: both runs must be the same.
const TWICE: u64 = 50;

/// What came of a seed.
pub struct Run {
    pub seed: u64,
    pub verdict: Verdict,
    pub trace_hash: u64,
}

/// Runs what was asked for; whether all is well.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if let Some(seed) = arguments.seed {
        return run_one(arguments, seed);
    }
    let variants = match arguments.variant {
        Some(variant) => vec![variant],
        None => Variant::ALL.to_vec(),
    };
    let (mut passed, mut failed) = (0, 0);
    for variant in variants {
        let is_well = match variant {
            Variant::Sound => run_known()? & run_sound(arguments)?,
            _ => catch(arguments, variant)?,
        };
        *if is_well { &mut passed } else { &mut failed } += 1;
    }
    // As cargo's own tests end, so that they are counted together.
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    Ok(failed == 0)
}

/// Seeds that found a fault once.
const KNOWN: &str = include_str!("seeds.txt");

fn run_known() -> anyhow::Result<bool> {
    let kit = Kit::new()?;
    let mut is_well = true;
    for line in KNOWN.lines().filter(|line| !line.starts_with('#')) {
        let Some(seed) = line.split_whitespace().next() else { continue };
        let seed = seed.parse().with_context(|| format!("seeds.txt: `{line}` does not begin with a seed"))?;
        let run = simulate(seed, Variant::Sound, &kit, false)?;
        if !run.verdict.is_well() {
            println!("known seed {line}: failed again: {:?}", run.verdict);
            is_well = false;
        }
    }
    Ok(is_well)
}

/// The world of a seed.
fn simulate(seed: u64, variant: Variant, kit: &Kit, is_traced: bool) -> anyhow::Result<Run> {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let world = Arc::new(World::new(seed, variant, is_traced));
        let verdict = drive::run(world.clone(), kit).await?;
        Ok(Run { seed, verdict, trace_hash: world.trace_hash() })
    })
}

fn run_one(arguments: &Arguments, seed: u64) -> anyhow::Result<bool> {
    let variant = arguments.variant.unwrap_or(Variant::Sound);
    variant.install();
    let run = simulate(seed, variant, &Kit::new()?, arguments.is_traced)?;
    println!("seed {seed}, {}: {:#?}", variant.name(), run.verdict);
    println!("trace {:016x}", run.trace_hash);
    Ok(run.verdict.is_well() || variant.is_broken())
}

/// Runs seeds on all threads until `stop` says so; `each` is told of every run, in no order.
fn run_many(
    arguments: &Arguments,
    variant: Variant,
    seeds: u64,
    mut each: impl FnMut(Run) -> bool,
) -> anyhow::Result<()> {
    variant.install();
    let next = AtomicU64::new(arguments.first);
    let (end, stop) = (arguments.first + seeds, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (runs, ran) = mpsc::sync_channel(64);
        for _ in 0..arguments.threads {
            let (runs, next, stop) = (runs.clone(), &next, &stop);
            scope.spawn(move || {
                let kit = match Kit::new() {
                    Ok(kit) => kit,
                    Err(error) => return drop(runs.send(Err(error))),
                };
                while !stop.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= end || runs.send(twice(seed, variant, &kit)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(runs);
        let mut outcome = Ok(());
        for run in ran {
            match run {
                Ok(run) => {
                    if outcome.is_ok() && !each(run) {
                        stop.store(true, Ordering::SeqCst);
                    }
                }
                Err(error) => {
                    stop.store(true, Ordering::SeqCst);
                    outcome = Err(error);
                }
            }
        }
        outcome
    })
}

/// Runs some seeds twice, to see that they give the same run.
fn twice(seed: u64, variant: Variant, kit: &Kit) -> anyhow::Result<Run> {
    let mut run = simulate(seed, variant, kit, false)?;
    if seed.is_multiple_of(TWICE) && simulate(seed, variant, kit, false)?.trace_hash != run.trace_hash {
        run.verdict.broken.push("the same seed gave another run".into());
    }
    Ok(run)
}

fn run_sound(arguments: &Arguments) -> anyhow::Result<bool> {
    let (began, mut failed) = (Instant::now(), 0);
    let mut total = Verdict::default();
    let mut runs = 0;
    run_many(arguments, Variant::Sound, arguments.seeds, |run| {
        runs += 1;
        total.records += run.verdict.records;
        total.sends += run.verdict.sends;
        total.explained += run.verdict.explained;
        total.gave_up += run.verdict.gave_up;
        total.seconds += run.verdict.seconds;
        if !run.verdict.is_well() {
            failed += 1;
            if failed <= 20 {
                println!(
                    "seed {} failed: {:?} {:?} {:?}",
                    run.seed, run.verdict.lost, run.verdict.unexplained, run.verdict.broken
                );
                println!("    again, with its trace:  ./dev simulate --seed {} --trace", run.seed);
            }
        }
        true
    })?;
    println!(
        "simulation: {runs} seeds in {:.1} s, {failed} failed; {} records, {} sends, {} of them again for a known reason, \
         {} nodes gave up, {:.0} virtual hours",
        began.elapsed().as_secs_f64(),
        total.records,
        total.sends,
        total.explained,
        total.gave_up,
        total.seconds / 3600.0,
    );
    Ok(failed == 0)
}

fn catch(arguments: &Arguments, variant: Variant) -> anyhow::Result<bool> {
    let (mut runs, mut caught) = (0, None);
    run_many(arguments, variant, CAUGHT_WITHIN, |run| {
        runs += 1;
        if run.verdict.is_caught() {
            caught.get_or_insert((run.seed, runs, run.verdict));
        }
        caught.is_none()
    })?;
    match &caught {
        Some((seed, runs, verdict)) => {
            let what = verdict.lost.first().or(verdict.unexplained.first());
            println!("{}: caught by seed {seed}, the {runs}th: {}", variant.name(), what.map_or("", String::as_str));
        }
        None => println!("{}: NOT caught within {runs} seeds", variant.name()),
    }
    Ok(caught.is_some())
}
