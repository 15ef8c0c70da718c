//! The journal: an id is in a synced file before its delivery is answered, so that what a provider has taken can be
//! proven even when the mock itself is killed. Deliveries that wait at the same time share one fsync.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::watch;

/// An append-only file of `http ID` and `smtp ID` lines.
pub(super) struct Journal {
    shared: Arc<Shared>,
    /// The last group that is on the disk.
    synced: watch::Receiver<u64>,
}

struct Shared {
    /// Appended to by deliveries, emptied by the writing thread.
    open: Mutex<Group>,
    filled: Condvar,
}

struct Group {
    lines: Vec<u8>,
    number: u64,
}

impl Journal {
    /// Opens or creates the file and gives the ids already in it to `known`, as kind and id.
    pub(super) fn open(path: &Path, mut known: impl FnMut(&[u8], &[u8])) -> Result<Self> {
        let context = || format!("cannot open the journal `{}`", path.display());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).with_context(context)?;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut whole_bytes = 0;
        while reader.read_until(b'\n', &mut line).with_context(context)? > 0 && line.ends_with(b"\n") {
            whole_bytes += line.len() as u64;
            if let Some((kind, id)) = line.split_first_chunk::<5>()
                && matches!(kind, b"http " | b"smtp ")
            {
                known(&kind[..4], id.trim_ascii_end());
            }
            line.clear();
        }
        // A last line cut off by a kill was not answered, and the next must not be glued to it.
        file.set_len(whole_bytes).with_context(context)?;
        let shared =
            Arc::new(Shared { open: Mutex::new(Group { lines: Vec::new(), number: 1 }), filled: Condvar::new() });
        let (publish, synced) = watch::channel(0);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                if let Err(error) = write_groups(&writer, &mut file, &publish) {
                    // Answering without the promised proof would falsify every figure that follows.
                    eprintln!("cannot write the journal: {error}");
                    std::process::exit(1);
                }
            })
            .context("cannot start the journal's thread")?;
        Ok(Self { shared, synced })
    }

    /// Returns when the id is on the disk.
    pub(super) async fn append(&self, kind: &str, id: &[u8]) {
        let number = {
            let mut group = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            for part in [kind.as_bytes(), b" ", id, b"\n"] {
                group.lines.extend_from_slice(part);
            }
            group.number
        };
        self.shared.filled.notify_one();
        // The writer ends only with the process, so the channel cannot close before.
        let _ = self.synced.clone().wait_for(|synced| *synced >= number).await;
    }
}

/// Writes group after group; returns only on an error.
fn write_groups(shared: &Shared, file: &mut File, publish: &watch::Sender<u64>) -> std::io::Result<()> {
    let mut lines = Vec::new();
    loop {
        let number = {
            let group = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            let mut group =
                shared.filled.wait_while(group, |group| group.lines.is_empty()).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut lines, &mut group.lines);
            group.number += 1;
            group.number - 1
        };
        file.write_all(&lines)?;
        file.sync_data()?;
        lines.clear();
        publish.send_replace(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_appended_is_known_after_reopening() {
        let path = std::env::temp_dir().join(format!("fanfare-load-journal-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let journal = Journal::open(&path, |_, _| panic!("a new journal is empty")).expect("a writable folder");
        journal.append("http", b"tsk_a").await;
        journal.append("smtp", b"tsk b").await;
        let mut torn = OpenOptions::new().append(true).open(&path).expect("it exists");
        torn.write_all(b"http tsk_t").expect("a writable file");

        let mut known = Vec::new();
        let reopened = Journal::open(&path, |kind, id| known.push([kind, b"=", id].concat())).expect("readable");
        assert_eq!(known, [b"http=tsk_a".to_vec(), b"smtp=tsk b".to_vec()]);
        reopened.append("http", b"tsk_c").await;
        known.clear();
        Journal::open(&path, |kind, id| known.push([kind, b"=", id].concat())).expect("readable");
        assert_eq!(known.last(), Some(&b"http=tsk_c".to_vec()));
        let _ = std::fs::remove_file(&path);
    }
}
