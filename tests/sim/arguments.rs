//! What the simulation is asked to do.

use anyhow::{Context, bail};

use super::variant::Variant;

/// The command line.
#[derive(Debug)]
pub struct Arguments {
    /// Seeds to run, from `first` on.
    pub seeds: u64,
    pub first: u64,
    /// One seed alone, with its trace.
    pub seed: Option<u64>,
    pub is_traced: bool,
    /// `None`: the sound engine, and then each broken one until it is caught.
    pub variant: Option<Variant>,
    pub threads: usize,
}

const HELP: &str = "usage: simulate [--seeds N] [--first S] [--threads N] [--variant V] [--seed S [--trace]]";

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = Self { seeds: 10_000, first: 0, seed: None, is_traced: false, variant: None, threads };
        while let Some(word) = words.next() {
            if word == "--trace" {
                arguments.is_traced = true;
                continue;
            }
            let value = words.next().with_context(|| format!("`{word}` needs a value; {HELP}"))?;
            let number = || value.parse().with_context(|| format!("`{word} {value}`: not a number"));
            match word.as_str() {
                "--seeds" => arguments.seeds = number()?,
                "--first" => arguments.first = number()?,
                "--seed" => arguments.seed = Some(number()?),
                "--threads" => arguments.threads = number()?.max(1) as usize,
                "--variant" => {
                    let names = Variant::ALL.map(Variant::name).join(", ");
                    let variant = Variant::parse(&value);
                    arguments.variant = Some(variant.with_context(|| format!("`{value}` is none of {names}"))?);
                }
                _ => bail!("unknown option `{word}`; {HELP}"),
            }
        }
        Ok(arguments)
    }
}
