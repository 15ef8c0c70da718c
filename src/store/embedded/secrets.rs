//! Secrets of users: slots of a file that are written over.
//!
//! Rows of the database cannot be destroyed: what is taken away stays in its files until they are merged. So a secret is a slot of a
//! file of its own, `secrets`, that was filled with random bytes before anybody needed it, and a row of the database says which slots are
//! whose. Destroying writes zeros over the slot, and the row stays: so what was destroyed is told from what is lost. A slot is used once:
//! its number is the id of the secret.
//!
//! The first slot has the number of the file. The database says which number it belongs to, and how many slots were given out: beside a file
//! of another number, or a shorter one, it does not open, since a slot that is given out twice is two people's.

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
use crate::store::{KeyedKind, KeyedPart, SecretsOf, StoreError, UserSecret, UserSecrets};

const FILE: &str = "secrets";
/// Laid beside a database whose file of secrets is gone for good, it lets the database go on without.
const LOST: &str = "secrets.lost";
/// What a file that belongs to another database is called from then on.
const OTHER: &str = "secrets.other";
/// The name of the one row of a user.
const NAME: &[u8] = b"slots";
/// Whose slot the key is that addresses are hashed under; no user's id begins so.
const ADDRESS_KEY: &str = "\u{2}addresses";
/// Slots that are filled together: 128 KiB, and one fsync for so many new users.
const FILLED_TOGETHER: u64 = 4096;
const SLOT: u64 = UserSecret::BYTES as u64;

/// The file.
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    number: u64,
    state: Mutex<State>,
}

/// Slots from `next` to `end` are filled and nobody's.
struct State {
    next: u64,
    end: u64,
}

impl Slots {
    /// Opens the file that belongs to a database, or begins one where the database has none. What was filled before and given to nobody is
    /// not used any more.
    pub(super) fn open(disk: &Disk) -> Result<Arc<Self>, StoreError> {
        let row = disk.keyspaces.keyed.get(file_row()).map_err(|cause| disk.read_error(&cause))?;
        let mark = row.map(|body| codec::decode_secret_file(&body)).transpose()?;
        let path = disk.dir().join(FILE);
        let opened = open_file(disk.dir(), &path, mark);
        let found = opened.map_err(|cause| StoreError::Failed(told("opening", &path, &cause)))?;
        let Some((file, number, end)) = found else { return Err(not_its(&path)) };
        Ok(Arc::new(Self { file, path, number, state: Mutex::new(State { next: end, end }) }))
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

    fn read_all(&self, slots: &[u64]) -> Result<SecretsOf, StoreError> {
        let mut held = SecretsOf::default();
        for slot in slots {
            match self.read(*slot)? {
                Some(secret) => held.there.push(secret),
                None => held.destroyed.push(*slot),
            }
        }
        Ok(held)
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

/// The file, its number, and how many slots it has; `None`: it is not the database's.
fn open_file(dir: &Path, path: &Path, mark: Option<(u64, u64)>) -> std::io::Result<Option<(File, u64, u64)>> {
    let is_lost = || dir.join(LOST).try_exists();
    let mut file = open_or_create(path)?;
    let mut number = read_number(&file)?;
    if let (Some((wanted, _)), true) = (mark, is_lost()?)
        && number.is_some_and(|number| number != wanted)
    {
        std::fs::rename(path, dir.join(OTHER))?;
        file = open_or_create(path)?;
        number = None;
    }
    let length = file.metadata()?.len();
    match mark {
        // Slots that are not there are empty ones, as those that were destroyed.
        Some((_, given)) if is_lost()? => file.set_len(length.max(given * SLOT))?,
        Some((wanted, given)) if number != Some(wanted) || length < given * SLOT => return Ok(None),
        _ => {}
    }
    let number = match number {
        Some(number) => number,
        None => begin(&file)?,
    };
    // A file that is not on the disk by its name after a crash would take all secrets along.
    File::open(dir)?.sync_all()?;
    Ok(Some((file, number, file_slots(path)?)))
}

fn open_or_create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn file_slots(path: &Path) -> std::io::Result<u64> {
    Ok(std::fs::metadata(path)?.len().div_ceil(SLOT))
}

/// `None`: the file is new, or was not begun whole.
fn read_number(file: &File) -> std::io::Result<Option<u64>> {
    if file.metadata()?.len() < SLOT {
        return Ok(None);
    }
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(u64::from_be_bytes(bytes)).filter(|number| *number != 0))
}

/// Gives a file its number.
fn begin(file: &File) -> std::io::Result<u64> {
    let mut bytes = [0; SLOT as usize];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    // 0 is no number.
    bytes[7] |= 1;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    let (number, _) = bytes.split_first_chunk().expect("a slot is longer than a number");
    Ok(u64::from_be_bytes(*number))
}

fn not_its(path: &Path) -> StoreError {
    let path = path.display();
    StoreError::Unusable(format!(
        "`{path}` is missing, or not the one that this database was written with: put the right one there, from the newest backup of it. If there \
         is none, create an empty file `{LOST}` beside it: everything sealed under what is lost stays unreadable then, as if its users had been \
         erased"
    ))
}

#[async_trait]
impl UserSecrets for EmbeddedStore {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        let (users, slots) = (users.to_vec(), self.slots.clone());
        self.beside(move |disk| users.iter().map(|user| slots.read_all(&slots_of(disk, user)?)).collect()).await
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
        // In the same batch: no row says a slot that the database does not know to be given.
        let given = made.iter().map(|secret| secret.id + 1).max();
        let mark = given.map(|given| (file_row(), Some(codec::encode_secret_file(self.slots.number, given))));
        self.put(&self.disk.keyspaces.keyed, rows.chain(mark).collect()).await?;
        Ok(made)
    }

    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError> {
        let _alone = self.giving_slots.lock().await;
        let (key, slots) = (user.clone(), self.slots.clone());
        self.beside(move |disk| slots.destroy(&slots_of(disk, &key)?)).await
    }

    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        let owner = [UserKey { tenant: "".into(), user_id: ADDRESS_KEY.into() }];
        let mut held = self.user_secrets(&owner).await?;
        if held.iter().all(|secrets| secrets.there.is_empty()) {
            self.create_user_secrets(&owner).await?;
            // Of several that were made at once the first counts.
            held = self.user_secrets(&owner).await?;
        }
        let key = held.first().and_then(|secrets| secrets.there.first()).map(|secret| secret.bytes);
        key.ok_or_else(|| StoreError::Failed("the key of addresses was made, and is not there".to_owned()))
    }
}

fn row_of(user: &UserKey) -> Vec<u8> {
    keys::keyed(&KeyedPart::of(KeyedKind::Secrets, &[user.tenant.as_bytes(), user.user_id.as_bytes()]), NAME)
}

/// Which file the database belongs to.
fn file_row() -> Vec<u8> {
    keys::keyed(&KeyedPart::of(KeyedKind::Secrets, &[]), FILE.as_bytes())
}

fn slots_of(disk: &Disk, user: &UserKey) -> Result<Vec<u64>, StoreError> {
    let row = disk.keyspaces.keyed.get(row_of(user)).map_err(|cause| disk.read_error(&cause))?;
    Ok(row.map(|body| codec::decode_secret_slots(&body)).transpose()?.unwrap_or_default())
}
