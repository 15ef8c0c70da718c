//! Suppressions. They stand under a keyed hash of the address, and the text that people read is sealed: what is sent needs none of it, and
//! a suppression outlasts an erasure.

use async_trait::async_trait;

use super::{SUPPRESSED, ToOpen, ToSeal, open_at, seal_at};
use crate::domain::{SuppressedAddress, Suppression, UserKey};
use crate::sealing::SealedStore;
use crate::sealing::owner::of_place;
use crate::store::{ListedSuppression, StoreError, SuppressionChange, SuppressionPlace, Suppressions, UserSecret};

#[async_trait]
impl Suppressions for SealedStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.keyring.address_key().await?;
        // Before hashes had a key, suppressions were written under the address itself.
        let mut asked: Vec<_> = addresses.iter().map(|address| key.hidden(address)).collect();
        asked.extend_from_slice(addresses);
        let mut found = self.store.suppressions(&asked).await?;
        let held = asked.iter().zip(&mut found);
        let held = held
            .filter_map(|(address, found)| Some((&*address.tenant, SuppressionPlace::of(address), found.as_mut()?)));
        self.open_addresses(held.filter(|(_, _, one)| one.sealed_address.is_some()).collect()).await?;
        let before = found.split_off(addresses.len());
        Ok(found.into_iter().zip(before).map(|(found, before)| found.or(before)).collect())
    }

    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError> {
        let key = self.keyring.address_key().await?;
        let mut to_seal = ToSeal::default();
        let mut written = Vec::with_capacity(2 * changes.len());
        for (address, suppression) in changes {
            if suppression.as_ref().is_some_and(|one| one.address.is_some()) {
                to_seal.note(key.of_address(&address));
            }
            written.push((key.hidden(&address), suppression));
            // What was written of it before hashes had a key counts no more.
            written.push((address, None));
        }
        if !to_seal.is_empty() {
            let mut secrets = to_seal.secrets(&self.keyring).await?;
            for (hidden, suppression) in &mut written {
                let Some(suppression) = suppression else { continue };
                if let Some(text) = suppression.address.take() {
                    let mut sealed = Vec::new();
                    let place = place(&SuppressionPlace::of(hidden));
                    seal_at(&secrets.of_next()?, &place, text.as_bytes(), &mut sealed)?;
                    suppression.sealed_address = Some(sealed.into());
                }
            }
        }
        self.store.write_suppressions(written).await
    }

    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        let mut listed = self.store.all_suppressions(tenant, after, limit).await?;
        let sealed = listed.iter_mut().filter(|one| one.suppression.sealed_address.is_some());
        self.open_addresses(sealed.map(|one| (tenant, one.place, &mut one.suppression)).collect()).await?;
        Ok(listed)
    }
}

/// A suppression whose address is sealed, with its tenant and its place.
type Sealed<'a> = (&'a str, SuppressionPlace, &'a mut Suppression);

impl SealedStore {
    async fn open_addresses(&self, suppressions: Vec<Sealed<'_>>) -> Result<(), StoreError> {
        let mut to_open = ToOpen::default();
        for (tenant, place, suppression) in &suppressions {
            let owner: UserKey = of_place(tenant, place);
            to_open.note(&owner, suppression.sealed_address.as_deref().unwrap_or_default())?;
        }
        if to_open.is_empty() {
            return Ok(());
        }
        let mut secrets = to_open.secrets(&self.keyring).await?;
        for (_, at, suppression) in suppressions {
            let sealed = suppression.sealed_address.take().unwrap_or_default();
            suppression.address = secrets.of_next()?.map(|secret| open_text(&secret, &at, &sealed)).transpose()?;
        }
        Ok(())
    }
}

fn open_text(secret: &UserSecret, at: &SuppressionPlace, sealed: &[u8]) -> Result<Box<str>, StoreError> {
    let unreadable = |_| StoreError::Unreadable("a suppressed address".to_owned());
    Ok(String::from_utf8(open_at(secret, &place(at), sealed)?).map_err(unreadable)?.into())
}

fn place(at: &SuppressionPlace) -> Vec<u8> {
    [&[SUPPRESSED], at.as_bytes()].concat()
}
