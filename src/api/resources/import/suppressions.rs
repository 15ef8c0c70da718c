//! The suppressions of a chunk: what is known of their addresses is asked for at once, and what changes is written at once.

use std::collections::HashMap;

use crate::api::problem::Problem;
use crate::api::profile::SuppressionSaid;
use crate::api::state::Api;
use crate::domain::{SuppressedAddress, Suppression, Timestamp};
use crate::store::SuppressionChange;

/// Durable on return. Of lines about one address the last counts; what is kept as it is said is not written again.
pub(super) async fn write(api: &Api, tenant: &str, said: Vec<SuppressionSaid>, now: Timestamp) -> Result<(), Problem> {
    if said.is_empty() {
        return Ok(());
    }
    let last: HashMap<SuppressedAddress, SuppressionSaid> =
        said.into_iter().map(|said| (said.address(tenant), said)).collect();
    let (addresses, said): (Vec<SuppressedAddress>, Vec<SuppressionSaid>) = last.into_iter().unzip();
    let held: Vec<Option<Suppression>> = api.parts.users.suppressions(&addresses).await?;
    let mut changes: Vec<SuppressionChange> = Vec::with_capacity(addresses.len());
    for ((address, said), before) in addresses.into_iter().zip(said).zip(held) {
        let suppression = said.suppression(before.as_ref(), now);
        if before.as_ref() != Some(&suppression) {
            changes.push((address, Some(suppression)));
        }
    }
    Ok(api.parts.users.write_suppressions(changes).await?)
}
