//! What is known of the people of a batch: the users, and whether their addresses are suppressed. The store is asked once for all
//! users and once for all addresses that are not remembered; a batch whose people are known asks for nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::CandidateFacts;
use crate::clock::Moment;
use crate::domain::{NotificationRequest, SuppressedAddress, Timestamp, UserKey};
use crate::planning::gates::Case;
use crate::planning::{Policy, routing};
use crate::store::{StoreError, Suppressions, Users};
use crate::users::{ChangeKey, Copies, Known};

/// Where planning learns of people.
pub struct People {
    users: Arc<dyn Users>,
    suppressions: Arc<dyn Suppressions>,
    copies: Arc<Copies>,
}

impl People {
    pub fn new(users: Arc<dyn Users>, suppressions: Arc<dyn Suppressions>, copies: Arc<Copies>) -> Self {
        Self { users, suppressions, copies }
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
    read_users(people, requests, facts).await?;
    read_suppressions(people, requests, policy, now, facts).await
}

async fn read_users(
    people: &People,
    requests: &[&NotificationRequest],
    facts: &mut [CandidateFacts],
) -> Result<(), StoreError> {
    let mut asked = Asked::default();
    for (index, request) in requests.iter().enumerate() {
        if let Some(user_id) = &request.user_id {
            let user = UserKey { tenant: request.tenant.clone(), user_id: user_id.clone() };
            asked.add(ChangeKey::of_user(&user), user, index);
        }
    }
    let asked_at = people.copies.moment();
    asked.look_up(&people.copies);
    let missing = asked.missing();
    if !missing.is_empty() {
        let read = people.users.users(&missing).await?;
        asked.keep(&people.copies, read.into_iter().map(|user| Known::User(user.map(Arc::new))), asked_at)?;
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
            asked.add(ChangeKey::of_address(&address), address, (index, kind));
        }
    }
    let asked_at = people.copies.moment();
    asked.look_up(&people.copies);
    let missing = asked.missing();
    if !missing.is_empty() {
        let read = people.suppressions.suppressions(&missing).await?;
        asked.keep(&people.copies, read.into_iter().map(Known::Address), asked_at)?;
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
    places: HashMap<ChangeKey, usize>,
    keys: Vec<ChangeKey>,
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
    fn add(&mut self, key: ChangeKey, thing: T, who: A) {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.things.push(thing);
            self.keys.len() - 1
        });
        self.asking.push((who, place));
    }

    fn look_up(&mut self, copies: &Copies) {
        self.known = copies.look_up(&self.keys);
    }

    fn missing(&self) -> Vec<T> {
        let missing = self.things.iter().zip(&self.known).filter(|(_, known)| known.is_none());
        missing.map(|(thing, _)| thing.clone()).collect()
    }

    /// Takes in what was read of the missing ones, in their order.
    fn keep(
        &mut self,
        copies: &Copies,
        read: impl ExactSizeIterator<Item = Known>,
        asked_at: Moment,
    ) -> Result<(), StoreError> {
        let missing: Vec<usize> = (0..self.keys.len()).filter(|place| self.known[*place].is_none()).collect();
        if read.len() != missing.len() {
            return Err(StoreError::Failed("it answered another number of people than were asked for".to_owned()));
        }
        for (place, read) in missing.iter().zip(read) {
            self.known[*place] = Some(read);
        }
        let kept = missing.into_iter().filter_map(|place| Some((self.keys[place], self.known[place].clone()?)));
        copies.keep(kept, asked_at);
        Ok(())
    }

    fn answers(&self) -> impl Iterator<Item = (A, &Known)> {
        self.asking.iter().filter_map(|(who, place)| Some((*who, self.known[*place].as_ref()?)))
    }
}
