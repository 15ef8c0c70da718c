//! Reads, and changes that are announced first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::changes::{ChangeKey, Changes, DISTRUST};
use super::consents::{consent_part, consent_row, consents_of, read_consent};
use super::copies::Copies;
use super::index::{self, DayAttributes, IndexRows, KnownChange};
use crate::clock::Clock;
use crate::codec;
use crate::domain::{Consent, SuppressedAddress, Suppression, User, UserEntry, UserKey};
use crate::log::LogError;
use crate::store::{
    KeyedRow, ListedSuppression, SharedStore, StoreError, SuppressionChange, SuppressionPlace, UserChange,
};

/// The longest that a change may take once it is announced. What is left of [`DISTRUST`] is for a write that the store still
/// carries out when nobody waits for it any more.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(8);

/// Users that are written into the indexes together.
const USERS_AT_ONCE: usize = 500;

/// Consents that are looked at again at once.
const CONSENTS_ABREAST: usize = 16;

/// Before the walk through all users goes on after an error.
const WALK_PAUSE: Duration = Duration::from_secs(10);

const _: () = assert!(WRITE_WAIT_MAX.as_secs() < DISTRUST.as_secs(), "a write ends before copies are kept again");

/// Why the directory did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was written.
    #[error("the change could not be announced to the other nodes")]
    Announcement(#[source] LogError),
    /// It may be written or not; the same change may be made again.
    #[error("the store did not write the change in time")]
    TooLate,
}

/// What is known of users and of addresses. See the module's head for what it promises.
pub struct Directory {
    store: SharedStore,
    changes: Arc<dyn Changes>,
    days: DayAttributes,
    copies: Option<Arc<Copies>>,
}

/// How far the walk through all users is.
#[derive(Default)]
struct Walk {
    after: Option<UserKey>,
    count: u64,
}

impl Directory {
    pub fn new(store: SharedStore, changes: Arc<dyn Changes>) -> Self {
        Self { store, changes, days: DayAttributes::default(), copies: None }
    }

    /// Remembers users here; whoever else reads them may share it.
    pub fn with_copies(self, copies: Arc<Copies>) -> Self {
        Self { copies: Some(copies), ..self }
    }

    /// With an index of days of these attributes.
    pub fn with_days(self, days: DayAttributes) -> Self {
        Self { days, ..self }
    }

    /// Where changes are heard of.
    pub fn changes(&self) -> &Arc<dyn Changes> {
        &self.changes
    }

    pub async fn user(&self, key: &UserKey) -> Result<Option<User>, StoreError> {
        Ok(self.users(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// As the store has them now, in the order asked for. Of whom nothing is known but that they were erased is nobody.
    pub async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let users = self.store.users(keys).await?;
        Ok(users.into_iter().map(|user| user.filter(User::is_somebody)).collect())
    }

    /// As they were [`STALE_MAX`](super::STALE_MAX) ago at the most, in the order asked for, each asked for once; of who was erased, that
    /// they were. From memory where they are remembered.
    pub async fn users_lately(&self, keys: &[UserKey]) -> Result<Vec<Option<Arc<User>>>, StoreError> {
        match &self.copies {
            Some(copies) => copies.users(&*self.store, keys).await,
            None => Ok(self.store.users(keys).await?.into_iter().map(|user| user.map(Arc::new)).collect()),
        }
    }

    /// Durable on return. May be called again with the same changes after an error.
    pub async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), DirectoryError> {
        self.write_known(changes.into_iter().map(|change| KnownChange::blind(change.key, change.entries)).collect())
            .await
    }

    /// The same of users of whom it is known what there was before: their places in the index of days move as well.
    pub async fn write_known(&self, changes: Vec<KnownChange>) -> Result<(), DirectoryError> {
        let IndexRows { put, of_erased, taken_away } = IndexRows::of(&self.days, &changes);
        self.write_index(put).await?;
        self.write_index(of_erased.clone()).await?;
        // Before what counts: of that there is a record.
        self.write_index(changes.iter().flat_map(records).collect()).await?;
        let said: Vec<(UserKey, UserEntry)> = changes.iter().flat_map(said).collect();
        let changes = changes.into_iter().filter(|change| !change.entries.is_empty());
        let changes: Vec<UserChange> =
            changes.map(|KnownChange { key, entries, .. }| UserChange { key, entries }).collect();
        let keys: Vec<ChangeKey> = changes.iter().map(|change| ChangeKey::of_user(&change.key)).collect();
        self.announced(&keys, self.store.write_users(changes)).await?;
        self.settle_consents(&said).await?;
        // Again those of who is erased: somebody may have put them there meanwhile.
        self.write_index(taken_away.into_iter().chain(of_erased).collect()).await
    }

    /// Two who write of one purpose at the same moment have both read what was before them, and of their entries either may stay. Their
    /// records are there before: whoever wrote looks again whether another one is of a later time, and lets that count.
    async fn settle_consents(&self, said: &[(UserKey, UserEntry)]) -> Result<(), DirectoryError> {
        let mut later = Vec::new();
        for together in said.chunks(CONSENTS_ABREAST) {
            let mut looks = Vec::with_capacity(together.len());
            for (key, entry) in together {
                looks.push(self.said_later(key, entry));
            }
            later.extend(try_join_all(looks).await?.into_iter().flatten());
        }
        let keys: Vec<ChangeKey> = later.iter().map(|change| ChangeKey::of_user(&change.key)).collect();
        self.announced(&keys, self.store.write_users(later)).await
    }

    /// The record that counts in the place of one that was written.
    async fn said_later(&self, key: &UserKey, entry: &UserEntry) -> Result<Option<UserChange>, StoreError> {
        let UserEntry::Consent { purpose, consent: Some(written) } = entry else { return Ok(None) };
        let (after, before) = consents_of(purpose);
        let latest = self.store.keyed_between(&consent_part(key), Some(&after), Some(&before), 1).await?;
        let latest = latest.first().map(read_consent).transpose()?;
        Ok(latest.filter(|(_, latest)| latest.at > written.at).map(|(_, latest)| {
            let entry = UserEntry::Consent { purpose: purpose.clone(), consent: Some(latest) };
            UserChange { key: key.clone(), entries: vec![entry] }
        }))
    }

    /// Writes down what a user said of consent that does not count, because something later was said. Durable on return.
    pub async fn record_consent(&self, key: &UserKey, purpose: &str, consent: &Consent) -> Result<(), DirectoryError> {
        self.write_index(vec![consent_row(key, purpose, consent)]).await
    }

    /// Writes all users there are into the indexes, where the store can walk through them and it was not done for these attributes: they
    /// may come from before there were indexes. How many there are; `None`: there was nothing to do, or it cannot be done. After an error
    /// it pauses and goes on where it was.
    pub async fn build_index(&self, clock: &dyn Clock) -> Option<u64> {
        let mut walk = Walk::default();
        loop {
            match self.walk_on(&mut walk).await {
                Ok(built) => return built,
                Err(error) => tracing::warn!(%error, "users could not be written into the indexes: trying again"),
            }
            clock.sleep(WALK_PAUSE).await;
        }
    }

    async fn walk_on(&self, walk: &mut Walk) -> Result<Option<u64>, DirectoryError> {
        let place = index::mark_place();
        let mark = codec::encode_mark(self.days.mark());
        let built = self.store.keyed(std::slice::from_ref(&place)).await?.pop().flatten();
        if built.is_some_and(|built| *built == *mark) {
            return Ok(None);
        }
        while let Some(keys) = self.store.all_users(walk.after.clone(), USERS_AT_ONCE).await? {
            self.index_again(&keys).await?;
            walk.count += keys.len() as u64;
            if keys.len() < USERS_AT_ONCE {
                let (part, name) = place;
                self.write_index(vec![KeyedRow { part, name, body: Some(mark.into()) }]).await?;
                return Ok(Some(walk.count));
            }
            walk.after = keys.into_iter().next_back();
        }
        Ok(None)
    }

    /// Writes some users into the indexes as they are. Who is erased meanwhile is taken out again.
    async fn index_again(&self, keys: &[UserKey]) -> Result<(), DirectoryError> {
        let users = self.users(keys).await?;
        let read: Vec<(&UserKey, User)> = keys.iter().zip(users).filter_map(|(key, user)| Some((key, user?))).collect();
        let known = read.iter().map(|(key, user)| KnownChange::of((*key).clone(), Vec::new(), user));
        self.write_known(known.collect()).await?;
        let still: Vec<UserKey> = read.iter().map(|(key, _)| (*key).clone()).collect();
        let still = self.users(&still).await?;
        let gone = read.iter().zip(still).filter(|(_, still)| still.is_none());
        self.write_index(gone.flat_map(|((key, user), _)| index::rows_of_nobody(&self.days, key, user)).collect()).await
    }

    async fn write_index(&self, rows: Vec<KeyedRow>) -> Result<(), DirectoryError> {
        if rows.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_WAIT_MAX, self.store.put_keyed(rows)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(DirectoryError::TooLate),
        }
    }

    /// As the store has them now, in the order asked for.
    pub async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        self.store.suppressions(addresses).await
    }

    /// A page of a tenant's: see [`crate::store::Suppressions::all_suppressions`].
    pub async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        self.store.all_suppressions(tenant, after, limit).await
    }

    /// Durable on return. May be called again with the same changes after an error.
    pub async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), DirectoryError> {
        let keys: Vec<ChangeKey> = changes.iter().map(|(address, _)| ChangeKey::of_address(address)).collect();
        self.announced(&keys, self.store.write_suppressions(changes)).await
    }

    async fn announced(
        &self,
        keys: &[ChangeKey],
        write: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), DirectoryError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.changes.announce(keys).await.map_err(DirectoryError::Announcement)?;
        match tokio::time::timeout(WRITE_WAIT_MAX, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(DirectoryError::TooLate),
        }
    }
}

/// The records of what a change says of consent.
fn records(change: &KnownChange) -> Vec<KeyedRow> {
    let record = |entry: &UserEntry| match entry {
        UserEntry::Consent { purpose, consent: Some(consent) } => Some(consent_row(&change.key, purpose, consent)),
        _ => None,
    };
    change.entries.iter().filter_map(record).collect()
}

/// The same as entries, by their users.
fn said(change: &KnownChange) -> impl Iterator<Item = (UserKey, UserEntry)> {
    let said = change.entries.iter().filter(|entry| matches!(entry, UserEntry::Consent { consent: Some(_), .. }));
    said.map(|entry| (change.key.clone(), entry.clone()))
}
