//! What tests share.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// Passes bytes on to a service, until it is cut.
pub(crate) struct Wire {
    pub(crate) address: String,
    pub(crate) cut: CancellationToken,
}

impl Wire {
    pub(crate) async fn lay(to: &str, at: &str) -> Self {
        let listener = TcpListener::bind(at).await.expect("bound");
        let address = listener.local_addr().expect("bound").to_string();
        let (cut, to) = (CancellationToken::new(), to.to_owned());
        let ended = cut.clone();
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            // They end with the set.
            let mut pairs = JoinSet::new();
            while let Ok((mut here, _)) = listener.accept().await {
                let mut there = TcpStream::connect(&to).await.expect("connected");
                pairs.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        }));
        Self { address, cut }
    }
}
