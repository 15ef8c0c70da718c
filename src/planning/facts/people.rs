//! What is known of the people of a batch: the users, and whether their addresses are suppressed. The store is asked once for all
//! users and once for all addresses that are not remembered; a batch whose people are known asks for nothing.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::CandidateFacts;
use crate::domain::{NotificationRequest, SuppressedAddress, Suppression, Timestamp, User, UserKey};
use crate::planning::directory::{Directory, EntryKey, Known};
use crate::planning::gates::Case;
use crate::planning::{Policy, routing};
use crate::store::{StoreError, SuppressionChange, Suppressions, UserChange, Users};

/// Where planning learns of people.
pub struct People {
    users: Arc<dyn Users>,
    suppressions: Arc<dyn Suppressions>,
    directory: Arc<Directory>,
}

impl People {
    pub fn new(users: Arc<dyn Users>, suppressions: Arc<dyn Suppressions>, directory: Arc<Directory>) -> Self {
        Self { users, suppressions, directory }
    }

    /// Of whom nothing is known: all that planning has then is the request.
    pub fn unknown() -> Self {
        let directory = Directory::new(0, std::time::Duration::ZERO);
        Self::new(Arc::new(Nobody), Arc::new(Nobody), Arc::new(directory))
    }

    /// What is remembered, for whoever hears of changes.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }
}

/// Puts to each request what is known of its user, and of the addresses that may be used.
pub(super) async fn read(
    people: &People,
    requests: &[&NotificationRequest],
    policy: &Policy,
    now: Timestamp,
    facts: &mut [CandidateFacts],
) -> Result<(), StoreError> {
    read_users(people, requests, now, facts).await?;
    read_suppressions(people, requests, policy, now, facts).await
}

async fn read_users(
    people: &People,
    requests: &[&NotificationRequest],
    now: Timestamp,
    facts: &mut [CandidateFacts],
) -> Result<(), StoreError> {
    let mut asked = Asked::default();
    for (index, request) in requests.iter().enumerate() {
        if let Some(user_id) = &request.user_id {
            let user = UserKey { tenant: request.tenant.clone(), user_id: user_id.clone() };
            asked.add(EntryKey::of_user(&user), user, index);
        }
    }
    asked.look_up(&people.directory, now);
    let missing = asked.missing();
    if !missing.is_empty() {
        let read = people.users.users(&missing).await?;
        asked.keep(&people.directory, read.into_iter().map(|user| Known::User(user.map(Arc::new))), now)?;
    }
    for (index, known) in asked.answers() {
        if let Known::User(user) = known {
            facts[index].user = user.clone();
        }
    }
    Ok(())
}

async fn read_suppressions(
    people: &People,
    requests: &[&NotificationRequest],
    policy: &Policy,
    now: Timestamp,
    facts: &mut [CandidateFacts],
) -> Result<(), StoreError> {
    let mut asked = Asked::default();
    for (index, (request, facts)) in requests.iter().zip(&*facts).enumerate() {
        for (kind, text) in routing::suppressible(&Case::new(request, facts, policy, now)) {
            let address = SuppressedAddress::new(&request.tenant, kind, text);
            asked.add(EntryKey::of_address(&address), address, (index, kind));
        }
    }
    asked.look_up(&people.directory, now);
    let missing = asked.missing();
    if !missing.is_empty() {
        let read = people.suppressions.suppressions(&missing).await?;
        asked.keep(&people.directory, read.into_iter().map(Known::Address), now)?;
    }
    for ((index, kind), known) in asked.answers() {
        if let Known::Address(Some(suppression)) = known {
            facts[index].suppressed[kind as usize] = suppression.holds(now);
        }
    }
    Ok(())
}

/// What a batch asks for, each thing once, and who asks for it.
struct Asked<T, A> {
    places: HashMap<EntryKey, usize>,
    keys: Vec<EntryKey>,
    things: Vec<T>,
    known: Vec<Option<Known>>,
    /// Who asks for the thing at which place.
    asking: Vec<(A, usize)>,
}

impl<T, A> Default for Asked<T, A> {
    fn default() -> Self {
        Self { places: HashMap::new(), keys: Vec::new(), things: Vec::new(), known: Vec::new(), asking: Vec::new() }
    }
}

impl<T: Clone, A: Copy> Asked<T, A> {
    fn add(&mut self, key: EntryKey, thing: T, who: A) {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.things.push(thing);
            self.keys.len() - 1
        });
        self.asking.push((who, place));
    }

    fn look_up(&mut self, directory: &Directory, now: Timestamp) {
        self.known = directory.look_up(&self.keys, now);
    }

    fn missing(&self) -> Vec<T> {
        let missing = self.things.iter().zip(&self.known).filter(|(_, known)| known.is_none());
        missing.map(|(thing, _)| thing.clone()).collect()
    }

    /// Takes in what was read of the missing ones, in their order.
    fn keep(
        &mut self,
        directory: &Directory,
        read: impl ExactSizeIterator<Item = Known>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let missing: Vec<usize> = (0..self.keys.len()).filter(|place| self.known[*place].is_none()).collect();
        if read.len() != missing.len() {
            return Err(StoreError::Failed("it answered another number of people than were asked for".to_owned()));
        }
        for (place, read) in missing.iter().zip(read) {
            self.known[*place] = Some(read);
        }
        let kept = missing.into_iter().filter_map(|place| Some((self.keys[place], self.known[place].clone()?)));
        directory.keep(kept, now);
        Ok(())
    }

    fn answers(&self) -> impl Iterator<Item = (A, &Known)> {
        self.asking.iter().filter_map(|(who, place)| Some((*who, self.known[*place].as_ref()?)))
    }
}

/// A store that knows nobody.
struct Nobody;

#[async_trait]
impl Users for Nobody {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        Ok(vec![None; keys.len()])
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("nothing is kept of users here".to_owned()))
    }
}

#[async_trait]
impl Suppressions for Nobody {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        Ok(vec![None; addresses.len()])
    }

    async fn write_suppressions(&self, _: Vec<SuppressionChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("nothing is kept of addresses here".to_owned()))
    }

    async fn all_suppressions(
        &self,
        _: &str,
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<(Vec<u8>, Suppression)>, StoreError> {
        Ok(Vec::new())
    }
}
