//! The one door: whatever is to be sent ends here, and is answered once the log has it (invariant: nothing is
//! acknowledged before it is durable).
//!
//! A call appends all of its requests at once. Requests with a retry key are looked up before they are even checked
//! ([`Acceptor::find`]), and again while their keys are held for the append: first among those that are
//! in the log and not planned yet ([`AcceptedKeys`]), then among the store's claims. The append of such a call runs to
//! its end even if the caller goes away, because a retry waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::watch;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::accepted_keys::{AcceptedKeys, Holders, Reservation, Reserved};
use super::cluster_keys::{APPEND_HOLD, ClusterHold, ClusterKeys};
use super::key_hold::{HeldKeys, KeyHold};
use super::metrics::REQUESTS;
use super::seals::Seals;
use crate::clock::SharedClock;
use crate::domain::{
    ClaimKey, Idempotency, NotificationId, NotificationRequest, Position, Priority, Source, Timestamp,
};
use crate::log::{LogError, Record, SharedLog};
use crate::store::{ClaimRow, SharedStore, StoreError};
use crate::telemetry::Counter;

/// How long a retry waits for the call with the same key that is being appended.
const KEY_WAIT: Duration = Duration::from_secs(10);

/// A request that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub id: NotificationId,
    /// It had been accepted before, under the same retry key.
    pub repeated: bool,
}

/// Why a call was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The retry key of the request at `index` was used with another body. Nothing of the call was accepted.
    #[error("the retry key of request {index} was used before with another body")]
    Conflict { index: usize },
    /// Try again later. Some of the call may have become durable; with a retry key it is still sent only once.
    #[error("nothing can be accepted now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
}

/// Takes requests in. Cheap to share behind an [`Arc`].
pub struct Acceptor {
    log: SharedLog,
    store: SharedStore,
    clock: SharedClock,
    keys: Arc<AcceptedKeys>,
    /// `None`: nobody else takes requests.
    cluster: Option<Arc<ClusterKeys>>,
    held: Arc<HeldKeys>,
    seals: Seals,
}

/// What becomes of one request of a call.
enum Fate {
    Append,
    Known(Position),
    /// The same key occurs before it in the same call.
    SameAs(usize),
}

impl Acceptor {
    /// `keys` are shared with the partition actors, which forget those that were planned, and with recovery. It seals nothing:
    /// [`Acceptor::sealing`].
    pub fn new(log: SharedLog, store: SharedStore, clock: SharedClock, keys: Arc<AcceptedKeys>) -> Self {
        Self { log, store, clock, keys, cluster: None, held: Arc::default(), seals: Seals::default() }
    }

    /// The same, with records sealed and opened by `seals`.
    pub fn sealing(self, seals: Seals) -> Self {
        Self { seals, ..self }
    }

    /// A record of the log that was taken in at a door, as a request; without its contents where those cannot be read any more.
    /// `None`: it is damaged.
    pub async fn read(&self, record: &Record) -> Result<Option<NotificationRequest>, StoreError> {
        self.seals.read(record).await
    }

    /// The same where other processes take requests as well.
    pub fn among(self, cluster: Arc<ClusterKeys>) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Holds the retry key of a call that writes something else than requests, waiting for another call that has it. `None`: that one
    /// still had it some seconds later.
    pub async fn hold(&self, key: ClaimKey) -> Option<KeyHold> {
        self.held.hold(key, &self.clock, self.cluster.as_ref()).await
    }

    /// Accepts all requests or none of them; the answers stand in their order, and are given once all is durable.
    pub async fn accept(&self, requests: Vec<NotificationRequest>) -> Result<Vec<Accepted>, AcceptError> {
        self.accept_batch(requests, None).await
    }

    /// The same for a batch under a retry key of its own, besides those of its items: the first item that is new carries it.
    pub async fn accept_batch(
        &self,
        mut requests: Vec<NotificationRequest>,
        batch: Option<Idempotency>,
    ) -> Result<Vec<Accepted>, AcceptError> {
        let outcome = if requests.iter().all(|request| request.idempotency.is_none()) {
            self.append_all(&requests).await
        } else {
            self.accept_keyed(&mut requests, batch).await
        };
        count(&requests, &outcome);
        outcome
    }

    /// What was accepted before under these keys, in their order; a key that was used with another body is a conflict.
    /// Asked before a request is checked: what was accepted once is answered the same, whatever would be said of it now. A
    /// key that is just being appended is not known here: that wait belongs to [`Acceptor::accept`].
    pub async fn find(&self, wanted: &[Idempotency], source: Source) -> Result<Vec<Option<Accepted>>, AcceptError> {
        let keys: Vec<ClaimKey> = wanted.iter().map(|one| one.key).collect();
        let mut known = self.keys.look(&keys);
        self.ask_store(wanted, &mut known).await?;
        let mut found = Vec::with_capacity(known.len());
        for (index, (known, own)) in known.into_iter().zip(wanted).enumerate() {
            if known.is_some_and(|(_, body_hash)| body_hash != own.body_hash) {
                REQUESTS.with([source.name(), "none", "conflict"]).increment(1);
                return Err(AcceptError::Conflict { index });
            }
            found.push(known.map(|(position, _)| Accepted { id: NotificationId(position), repeated: true }));
        }
        Ok(found)
    }

    async fn append_all(&self, requests: &[NotificationRequest]) -> Result<Vec<Accepted>, AcceptError> {
        let records = self.seals.records(&requests.iter().collect::<Vec<_>>()).await?;
        let positions = self.log.append(records).await?;
        Ok(positions.into_iter().map(|position| Accepted { id: NotificationId(position), repeated: false }).collect())
    }

    async fn accept_keyed(
        &self,
        requests: &mut [NotificationRequest],
        batch: Option<Idempotency>,
    ) -> Result<Vec<Accepted>, AcceptError> {
        let mut fates = within_call(requests)?;
        let new = requests.iter().zip(&fates).filter(|(_, fate)| matches!(fate, Fate::Append));
        let wanted: Vec<Idempotency> =
            batch.into_iter().chain(new.filter_map(|(request, _)| request.idempotency)).collect();
        let (held, mut known) = self.reserve(&wanted).await?;
        let among_processes = self.reserve_among_processes(&wanted, &known).await?;
        self.ask_store(&wanted, &mut known).await?;
        let mut known = known.into_iter();
        let mut to_carry = None;
        if let Some(own) = batch {
            match known.next().flatten() {
                Some((_, body_hash)) if body_hash != own.body_hash => return Err(AcceptError::Conflict { index: 0 }),
                Some(_) => {}
                None => to_carry = Some(own.key),
            }
        }
        for (index, request) in requests.iter().enumerate() {
            let (Some(own), Fate::Append) = (request.idempotency, &fates[index]) else { continue };
            match known.next().flatten() {
                Some((_, body_hash)) if body_hash != own.body_hash => return Err(AcceptError::Conflict { index }),
                Some((position, _)) => fates[index] = Fate::Known(position),
                None => {}
            }
        }
        if let Some(carrier) = fates.iter().position(|fate| matches!(fate, Fate::Append))
            && let Some(retry) = &mut requests[carrier].idempotency
        {
            retry.batch = to_carry;
        }
        let appended = self.append_held(requests, &fates, held, among_processes).await?;
        Ok(answers(&fates, appended))
    }

    /// Reserves the keys, waiting for a call that is appending one of them.
    async fn reserve(&self, wanted: &[Idempotency]) -> Result<(Reservation, Holders), AcceptError> {
        let mut limit = self.clock.sleep(KEY_WAIT);
        loop {
            match self.keys.reserve(wanted) {
                Reserved::Done { held, known } => return Ok((held, known)),
                Reserved::Full => return Err(unavailable("too many requests with retry keys wait to be planned", 5)),
                Reserved::Wait(appending) => wait_for(appending, &mut limit).await?,
            }
        }
    }

    /// The same among the processes, of the keys that this one knows nothing of. Before the store is asked: what another process
    /// has let go of stands there.
    async fn reserve_among_processes(
        &self,
        wanted: &[Idempotency],
        known: &Holders,
    ) -> Result<Option<ClusterHold>, AcceptError> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let unknown = wanted.iter().zip(known).filter(|(_, known)| known.is_none());
        let keys: Vec<ClaimKey> = unknown.map(|(one, _)| one.key).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let hold = cluster.reserve(keys, KEY_WAIT, APPEND_HOLD).await;
        hold.map(Some).ok_or_else(|| unavailable("a request with the same retry key is still being written", 1))
    }

    /// Fills in what the store knows of the keys that memory does not know.
    async fn ask_store(
        &self,
        wanted: &[Idempotency],
        known: &mut [Option<(Position, u64)>],
    ) -> Result<(), AcceptError> {
        let unknown: Vec<usize> = (0..wanted.len()).filter(|index| known[*index].is_none()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<ClaimKey> = unknown.iter().map(|index| wanted[*index].key).collect();
        let rows = match &self.cluster {
            Some(cluster) => cluster.look(&keys).await,
            None => self.store.claims(&keys).await.map_err(|error| unavailable(&error.to_string(), 5))?,
        };
        let now = self.clock.now();
        for (index, row) in unknown.into_iter().zip(rows) {
            known[index] = row.filter(|row| row.expires_at > now).map(|row| (row.owner, row.body_hash));
        }
        Ok(())
    }

    /// Appends what is new and keeps its keys, in a task of its own: it must not stop half way when the caller goes away.
    async fn append_held(
        &self,
        requests: &[NotificationRequest],
        fates: &[Fate],
        held: Reservation,
        among_processes: Option<ClusterHold>,
    ) -> Result<Vec<Position>, AcceptError> {
        let new =
            || requests.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Append)).map(|(request, _)| request);
        if new().next().is_none() {
            return Ok(Vec::new());
        }
        let records = self.seals.records(&new().collect::<Vec<_>>()).await?;
        let keys: Vec<(Option<Idempotency>, Timestamp)> =
            new().map(|request| (request.idempotency, request.accepted_at)).collect();
        let (log, memory, cluster) = (self.log.clone(), self.keys.clone(), self.cluster.clone());
        let appending = tokio::spawn(async move {
            let positions = log.append(records).await?;
            let keyed =
                || keys.iter().zip(&positions).filter_map(|((key, at), position)| Some(((*key)?, *at, *position)));
            held.complete(keyed().map(|(key, _, position)| (key, position)));
            if let Some(cluster) = cluster {
                let rows = keyed().flat_map(|(key, at, position)| claim_rows(key, position, at + cluster.window()));
                cluster.keep(rows.collect(), among_processes, &memory).await;
            }
            Ok::<_, LogError>(positions)
        });
        Ok(appending.await.map_err(|_| unavailable("writing the log was interrupted", 1))??)
    }
}

/// Waits until another call has appended what it is appending, or failed to; what came of it is seen by asking again.
async fn wait_for(mut appending: watch::Receiver<()>, limit: &mut BoxFuture<'static, ()>) -> Result<(), AcceptError> {
    // The channel closes when the other call has ended.
    let ended = std::pin::pin!(appending.changed());
    match select(ended, limit).await {
        Either::Left(_) => Ok(()),
        Either::Right(_) => Err(unavailable("a request with the same retry key is still being written", 1)),
    }
}

/// The rows that the plan at this position will have for its retry keys.
fn claim_rows(retry: Idempotency, owner: Position, expires_at: Timestamp) -> impl Iterator<Item = ClaimRow> {
    retry.keys().map(move |key| ClaimRow { key, owner, body_hash: retry.body_hash, expires_at })
}

/// Finds keys that occur twice in one call: the later ones are answered as the first.
fn within_call(requests: &[NotificationRequest]) -> Result<Vec<Fate>, AcceptError> {
    let mut first: HashMap<ClaimKey, (usize, u64)> = HashMap::with_capacity(requests.len());
    let mut fates = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let Some(own) = request.idempotency else {
            fates.push(Fate::Append);
            continue;
        };
        match first.get(&own.key) {
            Some((_, body_hash)) if *body_hash != own.body_hash => return Err(AcceptError::Conflict { index }),
            Some((before, _)) => fates.push(Fate::SameAs(*before)),
            None => {
                first.insert(own.key, (index, own.body_hash));
                fates.push(Fate::Append);
            }
        }
    }
    Ok(fates)
}

fn answers(fates: &[Fate], appended: Vec<Position>) -> Vec<Accepted> {
    let mut appended = appended.into_iter();
    let mut answers: Vec<Accepted> = Vec::with_capacity(fates.len());
    for fate in fates {
        let answer = match fate {
            Fate::Append => {
                let position = appended.next().expect("the log answers with a position for every record");
                Accepted { id: NotificationId(position), repeated: false }
            }
            Fate::Known(position) => Accepted { id: NotificationId(*position), repeated: true },
            Fate::SameAs(before) => Accepted { repeated: true, ..answers[*before] },
        };
        answers.push(answer);
    }
    answers
}

/// Requests of one user keep their order; without a user, those to one address, and else those with one business key.
pub(super) fn partition_key(request: &NotificationRequest) -> u64 {
    let to = &request.to;
    let addresses = [&to.email, &to.phone, &to.push_token, &to.url];
    let name = request.user_id.as_ref().or_else(|| addresses.into_iter().find_map(Option::as_ref));
    let name = name.or(request.dedup_key.as_ref()).map(|text| &**text).unwrap_or_default();
    xxh3_64_with_seed(name.as_bytes(), xxh3_64(request.tenant.as_bytes()))
}

/// The secrets that the records are sealed under come from the store.
impl From<StoreError> for AcceptError {
    fn from(error: StoreError) -> Self {
        unavailable(&error.to_string(), 5)
    }
}

impl From<LogError> for AcceptError {
    fn from(error: LogError) -> Self {
        let seconds = match &error {
            LogError::Busy => 1,
            LogError::Full { .. } => 30,
            LogError::Failed(_) | LogError::Lost(_) => 5,
        };
        unavailable(&error.to_string(), seconds)
    }
}

fn unavailable(reason: &str, retry_after_seconds: u64) -> AcceptError {
    AcceptError::Unavailable { reason: reason.to_owned(), retry_after: Duration::from_secs(retry_after_seconds) }
}

/// Counts what was not accepted anew; the rest is counted when it is planned.
fn count(requests: &[NotificationRequest], outcome: &Result<Vec<Accepted>, AcceptError>) {
    let word = match outcome {
        Ok(answers) if answers.iter().all(|answer| !answer.repeated) => return,
        Ok(_) => "repeated",
        Err(AcceptError::Conflict { .. }) => "conflict",
        Err(AcceptError::Unavailable { .. }) => "unavailable",
    };
    let mut counts = [[0; Priority::ALL.len()]; Source::ALL.len()];
    for (index, request) in requests.iter().enumerate() {
        let counts_here = outcome.as_ref().map_or(true, |answers| answers[index].repeated);
        counts[request.source.index()][request.priority.index()] += u64::from(counts_here);
    }
    for (source, counts) in Source::ALL.into_iter().zip(counts) {
        for (priority, count) in Priority::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            // Rare enough to look the handle up.
            REQUESTS.with([source.name(), priority.name(), word]).increment(count);
        }
    }
}

/// Counts requests that were refused because they are invalid; their priority may be what is wrong.
pub(crate) fn refused_counter(source: Source) -> Counter {
    REQUESTS.with([source.name(), "none", "refused"])
}

/// Counts requests that were answered from their retry key alone: their bodies were not read again.
pub(crate) fn repeated_counter(source: Source) -> Counter {
    REQUESTS.with([source.name(), "none", "repeated"])
}

#[cfg(test)]
mod tests;
