//! Writes entries into tables, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::super::keys;
use super::{BUILD_ENTRIES, Pending, Shared};
use crate::disk::{DiskError, Keyspaces};

pub(super) fn start(shared: Arc<Shared>, dir: PathBuf) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("fanfare-index".into()).spawn(move || {
        while let Some(pending) = next(&shared) {
            // A builder that panicked must say so: the writing thread may be waiting for it.
            let result = catch_unwind(AssertUnwindSafe(|| build(&shared.keyspaces, &pending)));
            let mut state = shared.state();
            match result.map(|result| result.map_err(|cause| cause.to_string())) {
                Ok(Ok(())) => {
                    state.building = None;
                    state.built = pending.last_group;
                    // Taken here and not by the next write: that one may be waiting for just this.
                    state.build(BUILD_ENTRIES);
                }
                failed => {
                    let reason =
                        failed.ok().and_then(Result::err).unwrap_or_else(|| "building the index panicked".into());
                    let error = DiskError::Write { dir: dir.clone(), reason };
                    tracing::error!(%error, "cannot write the index any more");
                    state.failed = Some(error);
                }
            }
            drop(state);
            shared.changed.notify_all();
        }
    })
}

/// Waits for something to build; `None` when all ends.
fn next(shared: &Shared) -> Option<Arc<Pending>> {
    let mut state = shared.state();
    loop {
        if state.is_closing || state.failed.is_some() {
            return None;
        }
        if let Some(pending) = &state.building {
            return Some(pending.clone());
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Durable on return. Done again after a crash it does no harm: the rows say the same.
fn build(keyspaces: &Keyspaces, pending: &Pending) -> fjall::Result<()> {
    let mut claims = keyspaces.claims.start_ingestion()?;
    for row in pending.sorted_claims() {
        claims.write(keys::claim(row.key), keys::claim_value(&row))?;
    }
    claims.finish()?;
    let mut history = keyspaces.history.start_ingestion()?;
    for key in pending.sorted_history() {
        history.write(key, [])?;
    }
    history.finish()
}
