//! Secrets of users: slots of a file that are written over.
//!
//! Rows of the database cannot be destroyed: what is taken away stays in its files until they are merged. So a secret is a slot of a
//! file of its own, `secrets`, that was filled with random bytes before anybody needed it, and a row of the database says which slots are
//! whose. Destroying writes zeros over the slot. A slot is used once: its number is the id of the secret.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ring::rand::{SecureRandom, SystemRandom};

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::Disk;
use crate::domain::UserKey;
use crate::store::{KeyedKind, KeyedPart, StoreError, UserSecret, UserSecrets};

const FILE: &str = "secrets";
/// The name of the one row of a user.
const NAME: &[u8] = b"slots";
/// Slots that are filled together: 128 KiB, and one fsync for so many new users.
const FILLED_TOGETHER: u64 = 4096;
const SLOT: u64 = UserSecret::BYTES as u64;

/// The file.
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
}

/// Slots from `next` to `end` are filled and nobody's.
struct State {
    next: u64,
    end: u64,
}

impl Slots {
    /// Opens the file, creating it if there is none. What was filled before and given to nobody is not used any more.
    pub(super) fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = dir.join(FILE);
        let open = || {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            let end = file.metadata()?.len().div_ceil(SLOT);
            // A file that is not on the disk by its name after a crash would take all secrets along.
            File::open(dir)?.sync_all()?;
            Ok((file, end))
        };
        let opened = open();
        let (file, end) = opened.map_err(|cause: std::io::Error| StoreError::Failed(told("opening", &path, &cause)))?;
        Ok(Arc::new(Self { file, path, state: Mutex::new(State { next: end, end }) }))
    }

    /// So many slots that nobody had before, filled and durable.
    fn take(&self, count: usize) -> Result<Vec<UserSecret>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count as u64;
        if state.end - state.next < count {
            let more = count.max(FILLED_TOGETHER);
            self.fill(state.end, more)?;
            state.end += more;
        }
        let first = state.next;
        state.next += count;
        drop(state);
        let mut bytes = vec![0; (count * SLOT) as usize];
        self.file.read_exact_at(&mut bytes, first * SLOT).map_err(|cause| self.failed("reading", &cause))?;
        let secrets = (first..).zip(bytes.as_chunks().0);
        secrets.map(|(slot, bytes)| secret(slot, *bytes).ok_or_else(|| self.lost(slot))).collect()
    }

    fn fill(&self, first: u64, count: u64) -> Result<(), StoreError> {
        let mut bytes = vec![0; (count * SLOT) as usize];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| StoreError::Failed("the system gives no random bytes".to_owned()))?;
        let written = self.file.write_all_at(&bytes, first * SLOT).and_then(|()| self.file.sync_data());
        written.map_err(|cause| self.failed("writing", &cause))
    }

    /// `None`: it was destroyed.
    fn read(&self, slot: u64) -> Result<Option<UserSecret>, StoreError> {
        let mut bytes = [0; UserSecret::BYTES];
        self.file.read_exact_at(&mut bytes, slot * SLOT).map_err(|cause| self.failed("reading", &cause))?;
        Ok(secret(slot, bytes))
    }

    /// Writes zeros over slots; how many of them had something.
    fn destroy(&self, slots: &[u64]) -> Result<usize, StoreError> {
        let mut count = 0;
        for slot in slots {
            count += usize::from(self.read(*slot)?.is_some());
            let written = self.file.write_all_at(&[0; UserSecret::BYTES], slot * SLOT);
            written.map_err(|cause| self.failed("writing", &cause))?;
        }
        self.file.sync_data().map_err(|cause| self.failed("writing", &cause))?;
        Ok(count)
    }

    fn failed(&self, doing: &str, cause: &std::io::Error) -> StoreError {
        match cause.kind() {
            std::io::ErrorKind::StorageFull => StoreError::Full { path: self.path.display().to_string() },
            _ => StoreError::Failed(told(doing, &self.path, cause)),
        }
    }

    fn lost(&self, slot: u64) -> StoreError {
        let path = self.path.display();
        StoreError::Unreadable(format!("slot {slot} of `{path}` is empty, and was filled a moment ago"))
    }
}

fn secret(slot: u64, bytes: [u8; UserSecret::BYTES]) -> Option<UserSecret> {
    (bytes != [0; UserSecret::BYTES]).then_some(UserSecret { id: slot, bytes })
}

fn told(doing: &str, path: &Path, cause: &std::io::Error) -> String {
    format!("{doing} the secrets of users in `{}` failed: {cause}", path.display())
}

#[async_trait]
impl UserSecrets for EmbeddedStore {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<Vec<UserSecret>>, StoreError> {
        let (users, slots) = (users.to_vec(), self.slots.clone());
        self.beside(move |disk| {
            let secrets =
                |slots_of: Vec<u64>| slots_of.into_iter().filter_map(|slot| slots.read(slot).transpose()).collect();
            users.iter().map(|user| secrets(slots_of(disk, user)?)).collect()
        })
        .await
    }

    async fn create_user_secrets(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        // One at a time: the slots that a user has are read, and written with one more.
        let _alone = self.giving_slots.lock().await;
        let (all, slots) = (users.to_vec(), self.slots.clone());
        let read = self.beside(move |disk| {
            let held: Vec<Vec<u64>> = all.iter().map(|user| slots_of(disk, user)).collect::<Result<_, _>>()?;
            Ok((held, slots.take(all.len())?))
        });
        let (held, made) = read.await?;
        let rows = users.iter().zip(held).zip(&made).map(|((user, mut slots), secret)| {
            slots.push(secret.id);
            (row_of(user), Some(codec::encode_secret_slots(&slots)))
        });
        self.put(&self.disk.keyspaces.keyed, rows.collect()).await?;
        Ok(made)
    }

    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError> {
        let _alone = self.giving_slots.lock().await;
        let (key, slots) = (user.clone(), self.slots.clone());
        // The slots first: a row whose slots are empty leads to nothing.
        let destroyed = self.beside(move |disk| slots.destroy(&slots_of(disk, &key)?)).await?;
        self.put(&self.disk.keyspaces.keyed, vec![(row_of(user), None)]).await?;
        Ok(destroyed)
    }
}

fn row_of(user: &UserKey) -> Vec<u8> {
    keys::keyed(&KeyedPart::of(KeyedKind::Secrets, &[user.tenant.as_bytes(), user.user_id.as_bytes()]), NAME)
}

fn slots_of(disk: &Disk, user: &UserKey) -> Result<Vec<u64>, StoreError> {
    let row = disk.keyspaces.keyed.get(row_of(user)).map_err(|cause| disk.read_error(&cause))?;
    Ok(row.map(|body| codec::decode_secret_slots(&body)).transpose()?.unwrap_or_default())
}
