//! The secrets of users, as they are needed: from memory, else from the store, and new ones for who has none.
//!
//! What single calls ask for at once is read from the store together, and written together: users that are met for the first time cost a
//! call for each batch and not for each user.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{AddressKey, LazyAddressKey};
use crate::clock::SharedClock;
use crate::domain::UserKey;
use crate::store::{SecretsOf, StoreError, UserSecret, UserSecrets};
use crate::users::{ChangeKey, Changes, Copies, Known};

/// A secret by its user and its id.
pub type SecretId = (UserKey, u64);

/// What sealed data is opened by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    There(UserSecret),
    /// The data cannot be read any more, and is not to be.
    Destroyed,
    /// The secret is not there, and was not destroyed.
    Missing,
}

/// What that means, for people.
pub const MISSING: &str = "it is not there, and was not destroyed: a replica lacks it, or the secrets are an older backup's than the rest \
                           (docs/privacy.md says what to do)";

/// Secrets kept in memory, and those that were asked for and are not there.
const COPIES_BYTES: usize = 32 << 20;

/// The oldest that a secret in memory may be: how long one that was destroyed may still be used by a node that heard of nothing, and
/// nobody noticed. Far below the minute in which what was erased must be unreadable everywhere.
const AGE_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// Users that are asked for together.
const TOGETHER_MAX: usize = 1_000;
/// Callers that wait for the store; more wait to ask.
const WAITING_MAX: usize = 10_000;

/// Who asks, and where the answer goes.
struct Asking {
    users: Vec<Sought>,
    /// Whether who has no secret gets one.
    is_to_seal: bool,
    answer: Caller,
}

type Caller = oneshot::Sender<Result<Answers, Arc<StoreError>>>;

type Answers = Vec<Arc<SecretsOf>>;

/// A user, and by what it is remembered.
type Sought = (ChangeKey, UserKey);

/// The secrets of users. One for each node.
pub struct Keyring {
    copies: Arc<Copies>,
    asking: mpsc::Sender<Asking>,
    /// Holds the secrets: whoever answers holds them only while it answers, so that the store behind them may be opened again once the
    /// last keyring is gone.
    address_key: LazyAddressKey,
}

impl Keyring {
    /// Over the secrets of a store; it forgets what `changes` tell of. Within a runtime: who asks is answered by a task of its own, which
    /// ends with the keyring.
    pub fn new(secrets: Arc<dyn UserSecrets>, clock: SharedClock, changes: Arc<dyn Changes>) -> Arc<Self> {
        let copies = Copies::new(COPIES_BYTES, AGE_MAX, clock, changes);
        let (asking, asked) = mpsc::channel(WAITING_MAX);
        tokio::spawn(answer_all(Arc::downgrade(&secrets), copies.clone(), asked));
        Arc::new(Self { copies, asking, address_key: LazyAddressKey::new(secrets) })
    }

    /// What the hashes of addresses are made under.
    pub async fn address_key(&self) -> Result<&AddressKey, StoreError> {
        self.address_key.get().await
    }

    /// The secret of each user that new data is sealed under, in the order asked for. Who has none gets one, durable on return.
    pub async fn to_seal(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        let found = self.find(users, true).await?;
        let first = |secrets: Arc<SecretsOf>| secrets.there.first().copied();
        let missing = || StoreError::Failed("a secret that was made is not there".to_owned());
        found.into_iter().map(|secrets| first(secrets).ok_or_else(missing)).collect()
    }

    /// The same as far as they are remembered; `None`: the store would have to be asked.
    pub fn known(&self, users: &[UserKey]) -> Vec<Option<UserSecret>> {
        let keys: Vec<ChangeKey> = users.iter().map(ChangeKey::of_user).collect();
        let first = |known| match known {
            Some(Known::Secrets(secrets)) => secrets.there.first().copied(),
            _ => None,
        };
        self.copies.look_up(&keys).into_iter().map(first).collect()
    }

    /// The secrets that data was sealed under, in the order asked for; `None`: it was destroyed, and the data cannot be read any more. One
    /// that is missing is an error: it may come, and what is skipped for it would be lost.
    pub async fn to_open(&self, wanted: &[SecretId]) -> Result<Vec<Option<UserSecret>>, StoreError> {
        let openers = self.openers(wanted).await?.into_iter().zip(wanted);
        openers
            .map(|(opener, (_, id))| match opener {
                Opener::There(secret) => Ok(Some(secret)),
                Opener::Destroyed => Ok(None),
                Opener::Missing => Err(StoreError::Failed(format!("secret {id}: {MISSING}"))),
            })
            .collect()
    }

    /// The same, each for itself.
    pub async fn openers(&self, wanted: &[SecretId]) -> Result<Vec<Opener>, StoreError> {
        let users: Vec<UserKey> = wanted.iter().map(|(user, _)| user.clone()).collect();
        let mut found = self.find(&users, false).await?;
        let opener = |secrets: &SecretsOf, id: u64| match secrets.there.iter().find(|one| one.id == id) {
            Some(secret) => Opener::There(*secret),
            None if secrets.destroyed.contains(&id) => Opener::Destroyed,
            None => Opener::Missing,
        };
        // Another node may have made it after this one looked.
        let is_missing = |index: &usize| opener(&found[*index], wanted[*index].1) == Opener::Missing;
        let missing: Vec<usize> = (0..wanted.len()).filter(is_missing).collect();
        let sought = |index: &usize| (ChangeKey::of_user(&wanted[*index].0), wanted[*index].0.clone());
        let answers = self.ask(missing.iter().map(sought).collect(), false).await?;
        missing.into_iter().zip(answers).for_each(|(index, answer)| found[index] = answer);
        Ok(found.iter().zip(wanted).map(|(secrets, (_, id))| opener(secrets, *id)).collect())
    }

    async fn find(&self, users: &[UserKey], is_to_seal: bool) -> Result<Answers, StoreError> {
        let keys: Vec<ChangeKey> = users.iter().map(ChangeKey::of_user).collect();
        let mut found: Vec<Option<Arc<SecretsOf>>> = self
            .copies
            .look_up(&keys)
            .into_iter()
            .map(|known| match known {
                Some(Known::Secrets(secrets)) if !(is_to_seal && secrets.there.is_empty()) => Some(secrets),
                _ => None,
            })
            .collect();
        let lacking: Vec<usize> = (0..users.len()).filter(|index| found[*index].is_none()).collect();
        let missing = lacking.iter().map(|index| (keys[*index], users[*index].clone()));
        let answers = self.ask(missing.collect(), is_to_seal).await?;
        for (index, answer) in lacking.into_iter().zip(answers) {
            found[index] = Some(answer);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Asks the store, along with whoever else asks now.
    async fn ask(&self, mut users: Vec<Sought>, is_to_seal: bool) -> Result<Answers, StoreError> {
        let mut answers = Vec::with_capacity(users.len());
        let mut parts = Vec::with_capacity(users.len().div_ceil(TOGETHER_MAX));
        while !users.is_empty() {
            let rest = users.split_off(users.len().min(TOGETHER_MAX));
            parts.push(std::mem::replace(&mut users, rest));
        }
        let parts = parts.into_iter().map(async |users| {
            let (answer, answered) = oneshot::channel();
            let asking = Asking { users, is_to_seal, answer };
            let gone = || {
                StoreError::Failed("nobody answers for the secrets of users any more: the node is ending".to_owned())
            };
            self.asking.send(asking).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(|error| (*error).clone())
        });
        for part in join_all(parts).await {
            answers.extend(part?);
        }
        Ok(answers)
    }
}

/// Answers callers until the last keyring is gone, as many together as wait.
async fn answer_all(secrets: Weak<dyn UserSecrets>, copies: Arc<Copies>, mut asked: mpsc::Receiver<Asking>) {
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, TOGETHER_MAX).await > 0 {
        while !waiting.is_empty() {
            let mut users = 0;
            let some = waiting.iter().take_while(|one: &&Asking| {
                users += one.users.len();
                users <= TOGETHER_MAX
            });
            let some = some.count().max(1);
            // Who went away needs none.
            let together: Vec<Asking> = waiting.drain(..some).filter(|one| !one.answer.is_closed()).collect();
            let Some(secrets) = secrets.upgrade() else { return };
            answer(&*secrets, &copies, together).await;
        }
    }
}

/// Reads and makes what some callers ask for, each user once.
async fn answer(secrets: &dyn UserSecrets, copies: &Copies, together: Vec<Asking>) {
    let asked_at = copies.moment();
    let sought: usize = together.iter().map(|asking| asking.users.len()).sum();
    let mut places: HashMap<ChangeKey, usize> = HashMap::with_capacity(sought);
    let (mut users, mut is_to_seal) = (Vec::with_capacity(sought), Vec::with_capacity(sought));
    let mut answers: Vec<(Caller, Vec<usize>)> = Vec::with_capacity(together.len());
    for Asking { users: wanted, is_to_seal: seals, answer } in together {
        let place = |(key, user)| {
            let place = *places.entry(key).or_insert_with(|| {
                users.push(user);
                is_to_seal.push(false);
                users.len() - 1
            });
            // Whether somebody wants to seal.
            is_to_seal[place] |= seals;
            place
        };
        answers.push((answer, wanted.into_iter().map(place).collect()));
    }
    match read_or_make(secrets, &users, &is_to_seal).await {
        Ok(found) => {
            copies.keep(places.into_iter().map(|(key, place)| (key, Known::Secrets(found[place].clone()))), asked_at);
            for (caller, places) in answers {
                let _ = caller.send(Ok(places.into_iter().map(|place| found[place].clone()).collect()));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for (caller, _) in answers {
                let _ = caller.send(Err(error.clone()));
            }
        }
    }
}

async fn read_or_make(
    secrets: &dyn UserSecrets,
    users: &[UserKey],
    is_to_seal: &[bool],
) -> Result<Answers, StoreError> {
    let mut found = secrets.user_secrets(users).await?;
    let lacks = |index: &usize| is_to_seal[*index] && found[*index].there.is_empty();
    let lacking: Vec<usize> = (0..users.len()).filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(found.into_iter().map(Arc::new).collect());
    }
    let new: Vec<UserKey> = lacking.iter().map(|index| users[*index].clone()).collect();
    let made = secrets.create_user_secrets(&new).await?;
    for (index, secret) in lacking.into_iter().zip(made) {
        found[index].there.push(secret);
    }
    Ok(found.into_iter().map(Arc::new).collect())
}

#[cfg(test)]
mod tests;
