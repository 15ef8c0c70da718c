//! What tests share.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Where tests that could not run are noted down, one line each, for `./dev test` to count: cargo shows nothing of what a
/// test that passed has printed.
const SKIPS: &str = "FANFARE_TEST_SKIPS";

/// The address (`host:port`) of a real service, from the environment variable `name`; `./dev services env` prints them.
/// `None` where it is not set: the test says so here, and returns.
pub(crate) fn service(name: &str) -> Option<String> {
    if let Some(address) = std::env::var(name).ok().filter(|address| !address.is_empty()) {
        return Some(address);
    }
    let thread = std::thread::current();
    let line = format!("{}::{} needs {name}\n", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("a test"));
    eprint!("test-skipped: {line}");
    if let Some(path) = std::env::var_os(SKIPS) {
        // Tests run side by side, and a line must stay whole.
        static WRITING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a skipped test must be counted");
    }
    None
}
