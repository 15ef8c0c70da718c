//! What the log holds and nobody planned yet, at a take-over.

use super::AcceptedKeys;
use crate::codec;
use crate::domain::Idempotency;
use crate::log::{LogError, PartitionReader, ReadLimit};

/// Records looked at together.
const LIMIT: ReadLimit = ReadLimit { records: 4096, bytes: 8 << 20 };

/// Remembers the retry keys of records above the commit, which may still have to be planned: the store may not know them
/// yet, and a retry that comes before they are planned must be answered the same. Done before the API opens.
pub async fn remember_unplanned(
    reader: &mut dyn PartitionReader,
    accepted_keys: &AcceptedKeys,
) -> Result<(), LogError> {
    let mut from = reader.committed();
    while from < reader.end() {
        let records = reader.read(from, LIMIT).await?;
        for record in &records {
            // What cannot be decoded has no key, and goes to the dead letters when its turn comes. What another program wrote was
            // answered by nobody, so there is no answer to repeat.
            if record.foreign.is_none()
                && let Some(retry) = retry_key(&record.body)
            {
                for key in retry.keys() {
                    accepted_keys.load(key, record.position, retry.body_hash);
                }
            }
            from = record.position.offset + 1;
        }
    }
    Ok(())
}

/// Of what is sealed it stands in clear.
fn retry_key(body: &[u8]) -> Option<Idempotency> {
    match codec::decode_request_head(body).ok()? {
        Some((head, _)) => head.idempotency,
        None => codec::decode_request(body).ok()?.idempotency,
    }
}
