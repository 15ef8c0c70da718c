//! The records of a user's consents: read a page at a time, and taken away.

use crate::domain::UserKey;
use crate::store::{KeyedRow, SharedStore, StoreError};
use crate::users::{ConsentRecord, consent_part, consents_of, read_consent};

/// Rows that are read or written together.
const PAGE: usize = 200;

/// What a user said of one purpose, the latest first, at most `limit`.
pub async fn consent_history(
    store: &SharedStore,
    user: &UserKey,
    purpose: &str,
    limit: usize,
) -> Result<Vec<ConsentRecord>, StoreError> {
    let (after, before) = consents_of(purpose);
    let rows = store.keyed_between(&consent_part(user), Some(&after), Some(&before), limit).await?;
    rows.iter().map(read_consent).collect()
}

/// A page of all of them after a row, and the row it ends with; `None`: it was the last.
pub(super) async fn page(
    store: &SharedStore,
    user: &UserKey,
    after: Option<&[u8]>,
) -> Result<(Vec<ConsentRecord>, Option<Box<[u8]>>), StoreError> {
    let rows = store.keyed_between(&consent_part(user), after, None, PAGE).await?;
    let last = rows.last().filter(|_| rows.len() == PAGE).map(|(name, _)| name.clone());
    Ok((rows.iter().map(read_consent).collect::<Result<_, _>>()?, last))
}

/// Takes all of them away; how many.
pub(super) async fn erase(store: &SharedStore, user: &UserKey) -> Result<usize, StoreError> {
    let part = consent_part(user);
    let (mut count, mut after) = (0, None::<Box<[u8]>>);
    loop {
        let rows = store.keyed_between(&part, after.as_deref(), None, PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(count) };
        after = Some(last.clone());
        count += rows.len();
        let gone = rows.into_iter().map(|(name, _)| KeyedRow { part: part.clone(), name, body: None });
        store.put_keyed(gone.collect()).await?;
    }
}
