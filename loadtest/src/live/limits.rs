//! How many files may be open: each connection is one, here and in the engine, which inherits it.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections.
const OTHERS: u64 = 512;

/// Lets so many connections be open.
pub(super) fn allow(connections: u32) -> Result<()> {
    let (now, needed) = (getrlimit(Resource::Nofile), u64::from(connections) + OTHERS);
    let hard = now.maximum.unwrap_or(u64::MAX);
    ensure!(
        needed <= hard,
        "{connections} connections need {needed} open files, and {hard} are allowed: raise `ulimit -Hn` or open fewer"
    );
    if now.current.is_some_and(|current| current < hard) {
        setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_machine_allows_is_refused() {
        assert!(allow(1).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some_and(|hard| hard < u64::from(u32::MAX)) {
            let refusal = allow(u32::MAX).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refusal.contains("raise `ulimit -Hn`"), "{refusal}");
        }
    }
}
