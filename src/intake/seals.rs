//! Records of the log under the secrets of whose they are: sealed at the door, opened where they are planned.

use std::sync::Arc;

use bytes::Bytes;

use super::accept::partition_key;
use super::metrics::UNSEALED_RECORDS;
use super::patience::Patience;
use crate::clock::SharedClock;
use crate::codec;
use crate::domain::{NotificationRequest, RequestHead, UserKey};
use crate::log::{NewRecord, Record};
use crate::sealing::{self, AddressKey, Keyring, MISSING, OVERHEAD, Opener, ROOM, SealError};
use crate::store::{StoreError, UserSecret};
use crate::telemetry::Counter;

/// Records made before others have their turn: about 0.5 ms.
const RECORDS_PER_TURN: usize = 512;

/// How records are sealed and opened. The default seals nothing, and opens nothing that is sealed.
#[derive(Clone, Default)]
pub struct Seals {
    keyring: Option<Arc<Keyring>>,
    /// Where the log goes on without the store.
    without_store: Option<Arc<WithoutStore>>,
}

/// How requests are taken while the store does not tell secrets: in clear, since what a user sent must not be lost for it.
struct WithoutStore {
    patience: Patience,
    unsealed: Counter,
}

impl Seals {
    /// Opens what is sealed, and seals what is new where it is somebody's.
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring: Some(keyring), without_store: None }
    }

    /// Where the log is another service than the store: while the store does not answer, records of those whose secrets are not
    /// remembered are written in clear.
    pub fn or_unsealed(self, clock: SharedClock) -> Self {
        let patience = Patience::new(clock, "requests are taken unsealed");
        let without_store = WithoutStore { patience, unsealed: UNSEALED_RECORDS.with([]) };
        Self { without_store: Some(Arc::new(without_store)), ..self }
    }

    /// The records of requests, in their order. The secrets are durable on return, before any record can be.
    pub async fn records(&self, requests: &[&NotificationRequest]) -> Result<Vec<NewRecord>, StoreError> {
        let mut owners = Vec::new();
        // Of each request the place of its owner among them.
        let mut places = vec![None; requests.len()];
        let mut secrets = Vec::new();
        if let Some(keyring) = &self.keyring {
            let key = self.address_key(keyring, requests).await?;
            for (request, place) in requests.iter().zip(&mut places) {
                if let Some(owner) = owner(key, request) {
                    *place = Some(owners.len());
                    owners.push(owner);
                }
            }
            if !owners.is_empty() {
                secrets = self.secrets_of(keyring, &owners).await?;
            }
        }
        let mut records = Vec::with_capacity(requests.len());
        for (request, place) in requests.iter().zip(places) {
            let seal = place.and_then(|place: usize| Some((&owners[place], secrets[place].as_ref()?)));
            records.push(record(request, seal)?);
            if records.len().is_multiple_of(RECORDS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
        Ok(records)
    }

    /// What owners are found by. `None`: only users are met, or it is not to be had now, and what names none is written in clear.
    async fn address_key<'a>(
        &self,
        keyring: &'a Keyring,
        requests: &[&NotificationRequest],
    ) -> Result<Option<&'a AddressKey>, StoreError> {
        let nameless = requests.iter().filter(|request| request.user_id.is_none()).count();
        if nameless == 0 {
            return Ok(None);
        }
        let Some(WithoutStore { patience, unsealed }) = self.without_store.as_deref() else {
            return keyring.address_key().await.map(Some);
        };
        let key = patience.answer(1, keyring.address_key()).await;
        if key.is_none() {
            unsealed.increment(nameless as u64);
        }
        Ok(key)
    }

    /// `None`: it is not to be had now, and nobody is to wait for it.
    async fn secrets_of(&self, keyring: &Keyring, owners: &[UserKey]) -> Result<Vec<Option<UserSecret>>, StoreError> {
        let Some(WithoutStore { patience, unsealed }) = self.without_store.as_deref() else {
            return Ok(keyring.to_seal(owners).await?.into_iter().map(Some).collect());
        };
        let mut known = keyring.known(owners);
        let missing: Vec<usize> = (0..owners.len()).filter(|index| known[*index].is_none()).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let wanted: Vec<UserKey> = missing.iter().map(|index| owners[*index].clone()).collect();
        match patience.answer(wanted.len(), keyring.to_seal(&wanted)).await {
            Some(secrets) => {
                missing.into_iter().zip(secrets).for_each(|(index, secret)| known[index] = Some(secret));
            }
            None => unsealed.increment(missing.len() as u64),
        }
        Ok(known)
    }

    /// What our own records of a batch are opened by, asked for together. An error says nothing of any of them.
    pub(super) async fn openings(&self, records: &[Record]) -> Result<Openings, StoreError> {
        let (mut found, mut wanted) = (Vec::new(), Vec::new());
        for record in records.iter().filter(|record| record.foreign.is_none()) {
            // What is damaged is told when it is read.
            let Ok(Some((head, place))) = codec::decode_request_head(&record.body) else { continue };
            let Ok(id) = sealing::secret_of(&record.body[place..]) else { continue };
            wanted.push((head.owner.clone(), id));
            found.push((record.position.offset, Opening { head, place, opener: Opener::Missing }));
        }
        if found.is_empty() {
            return Ok(Openings::default());
        }
        let without = || {
            StoreError::Failed("records of the log are sealed, and this node has no secrets to open them by".to_owned())
        };
        let openers = self.keyring.as_ref().ok_or_else(without)?.openers(&wanted).await?;
        for ((_, opening), opener) in found.iter_mut().zip(openers) {
            opening.opener = opener;
        }
        Ok(Openings(found))
    }

    /// One of our own records as a request; without its contents where those cannot be read any more. `None`: it is damaged.
    pub async fn read(&self, record: &Record) -> Result<Option<NotificationRequest>, StoreError> {
        let openings = self.openings(std::slice::from_ref(record)).await?;
        Ok(openings.read(record).ok().map(|read| match read {
            Read::Whole(request) | Read::Erased(request) => request,
        }))
    }
}

/// Whose a request is.
fn owner(key: Option<&AddressKey>, request: &NotificationRequest) -> Option<UserKey> {
    match &request.user_id {
        Some(user_id) => Some(UserKey { tenant: request.tenant.clone(), user_id: user_id.clone() }),
        None => key?.of_message(&request.tenant, None, &request.to),
    }
}

/// What the sealed records of a batch are opened by, in the order of their offsets.
#[derive(Debug, Default)]
pub(super) struct Openings(Vec<(u64, Opening)>);

#[derive(Debug)]
struct Opening {
    head: RequestHead,
    /// Where the sealed bytes begin.
    place: usize,
    opener: Opener,
}

/// What a record says.
pub(super) enum Read {
    Whole(NotificationRequest),
    /// Whose it was is erased: what is known of it without its contents.
    Erased(NotificationRequest),
}

impl Openings {
    /// One of our own records; why it cannot be read, for people.
    pub(super) fn read(&self, record: &Record) -> Result<Read, String> {
        let Record { position, body, .. } = record;
        let Some(opening) = self.of(position.offset) else { return whole(body) };
        let Opening { head, place, opener } = opening;
        let secret = match opener {
            Opener::There(secret) => secret,
            Opener::Destroyed => return Ok(Read::Erased(head.clone().without_rest(position.shard.lane))),
            // It is kept as a dead letter, from where it can be sent again when the secret is there.
            Opener::Missing => return Err(format!("cannot be opened by its secret: {MISSING}")),
        };
        let opened = sealing::open(secret, &body[..*place], &body[*place..]);
        whole(&opened.map_err(|error| format!("cannot be opened: {error}"))?)
    }

    fn of(&self, offset: u64) -> Option<&Opening> {
        let found = self.0.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        Some(&self.0[found].1)
    }
}

fn whole(bytes: &[u8]) -> Result<Read, String> {
    codec::decode_request(bytes).map(Read::Whole).map_err(|error| format!("cannot be decoded: {error}"))
}

fn record(request: &NotificationRequest, seal: Option<(&UserKey, &UserSecret)>) -> Result<NewRecord, StoreError> {
    let body = match seal {
        None => codec::encode_request(request),
        Some((owner, secret)) => {
            sealed(request, owner, secret).map_err(|error| StoreError::Failed(error.to_string()))?
        }
    };
    Ok(NewRecord { lane: request.priority, key: partition_key(request), body: Bytes::from(body) })
}

/// Encoded behind its head, and sealed where it stands.
fn sealed(request: &NotificationRequest, owner: &UserKey, secret: &UserSecret) -> Result<Vec<u8>, SealError> {
    let length = 384 + OVERHEAD + owner.user_id.len() + request.data.len() + request.metadata.len();
    let mut bytes = Vec::with_capacity(length);
    codec::encode_request_head(owner, request, &mut bytes);
    let place = bytes.len();
    bytes.resize(place + ROOM, 0);
    codec::append_request(request, &mut bytes);
    sealing::seal_in_place(secret, place, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
