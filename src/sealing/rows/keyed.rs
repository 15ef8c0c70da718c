//! Keyed rows. Which kinds are about people is here: the bodies of those are sealed, their keys and names are ids, times and hashes.
//!
//! Left in clear: marks of unread messages (a place without contents), what follows a subject and who is in a tenant (ids), what is counted, what operators and authors write; and campaigns,
//! schedules and messages of topics, which are of many or of nobody.

use async_trait::async_trait;
use bytes::Bytes;

use super::{KEYED, ToOpen, ToSeal, open_at, seal_at};
use crate::codec::{self, ListMemberOwner};
use crate::domain::{Recipient, UserKey};
use crate::sealing::{AddressKey, SealedStore};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError, UserSecret};

/// Rows that are read on behind such as cannot be opened any more: those may be many one after the other.
const READ_ON_MIN: usize = 100;

#[async_trait]
impl KeyedRows for SealedStore {
    async fn put_keyed(&self, mut rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        let mut to_seal = ToSeal::default();
        let mut sealed = Vec::new();
        if rows.iter().any(|row| is_personal(row.part.kind) && row.body.is_some()) {
            let key = self.keyring.address_key().await?;
            for (number, row) in rows.iter().enumerate() {
                if let Some(owner) = owner_of(row, key) {
                    to_seal.note(owner.clone());
                    sealed.push((number, owner));
                }
            }
        }
        if !to_seal.is_empty() {
            let mut secrets = to_seal.secrets(&self.keyring).await?;
            for (number, owner) in sealed {
                seal_row(&secrets.of_next()?, &owner, &mut rows[number])?;
            }
        }
        self.store.put_keyed(rows).await
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut bodies = self.store.keyed(names).await?;
        let rows = names.iter().zip(&mut bodies).filter(|((part, _), _)| is_personal(part.kind));
        self.open_bodies(rows.map(|((part, name), body)| (part, &**name, body)).collect()).await?;
        Ok(bodies)
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        let mut read = self.store.keyed_between(part, after, before, limit).await?;
        if !is_personal(part.kind) {
            return Ok(read);
        }
        let (mut found, mut wanted): (Vec<NamedRow>, usize) = (Vec::with_capacity(read.len()), limit);
        loop {
            let is_whole = read.len() < wanted;
            let last = read.last().map(|(name, _)| name.clone());
            found.extend(self.open_rows(part, read).await?);
            match last {
                // Some cannot be opened: fewer than asked for would say that there are no more.
                Some(last) if !is_whole && found.len() < limit => {
                    wanted = (limit - found.len()).max(READ_ON_MIN);
                    read = self.store.keyed_between(part, Some(&last), before, wanted).await?;
                }
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// A row by its part and its name, and its body.
type Row<'a> = (&'a KeyedPart, &'a [u8], &'a mut Option<Bytes>);

impl SealedStore {
    /// Those that can be opened.
    async fn open_rows(&self, part: &KeyedPart, rows: Vec<NamedRow>) -> Result<Vec<NamedRow>, StoreError> {
        let (names, mut bodies): (Vec<Box<[u8]>>, Vec<Option<Bytes>>) =
            rows.into_iter().map(|(name, body)| (name, Some(body))).unzip();
        self.open_bodies(names.iter().zip(&mut bodies).map(|(name, body)| (part, &**name, body)).collect()).await?;
        Ok(names.into_iter().zip(bodies).filter_map(|(name, body)| Some((name, body?))).collect())
    }

    /// Opens what is sealed; what cannot be opened any more becomes nothing.
    async fn open_bodies(&self, rows: Vec<Row<'_>>) -> Result<(), StoreError> {
        let mut to_open = ToOpen::default();
        // Where in the body the sealed bytes begin.
        let mut sealed_rows: Vec<(Row<'_>, usize)> = Vec::new();
        for row in rows {
            let Some(body) = &*row.2 else { continue };
            let Some((owner, sealed)) = codec::decode_sealed(body)? else { continue };
            to_open.note(&owner, sealed)?;
            let begin = body.len() - sealed.len();
            sealed_rows.push((row, begin));
        }
        if to_open.is_empty() {
            return Ok(());
        }
        let mut secrets = to_open.secrets(&self.keyring).await?;
        for ((part, name, body), begin) in sealed_rows {
            let Some(sealed) = body.take() else { continue };
            if let Some(secret) = secrets.of_next()? {
                *body = Some(open_at(&secret, &place(part, name), &sealed[begin..])?.into());
            }
        }
        Ok(())
    }
}

fn seal_row(secret: &UserSecret, owner: &UserKey, row: &mut KeyedRow) -> Result<(), StoreError> {
    let Some(plain) = row.body.take() else { return Ok(()) };
    let mut body = Vec::new();
    codec::encode_sealed_owner(owner, &mut body);
    seal_at(secret, &place(&row.part, &row.name), &plain, &mut body)?;
    row.body = Some(body.into());
    Ok(())
}

/// Whether rows of a kind may be sealed.
fn is_personal(kind: KeyedKind) -> bool {
    matches!(
        kind,
        KeyedKind::Inbox
            | KeyedKind::InboxArchived
            | KeyedKind::Consents
            | KeyedKind::DayIndex
            | KeyedKind::ListMembers
    )
}

/// Whose a row is. `None`: it is not sealed; it is taken away, of nobody, or not in the form of its kind.
fn owner_of(row: &KeyedRow, key: &AddressKey) -> Option<UserKey> {
    if !is_personal(row.part.kind) {
        return None;
    }
    let body = row.body.as_ref()?;
    match row.part.kind {
        KeyedKind::ListMembers => owner_of_member(body, key),
        KeyedKind::DayIndex => user(row.part.words()?.first()?, &row.name),
        _ => match row.part.words()?[..] {
            [tenant, user_id] => user(tenant, user_id),
            _ => None,
        },
    }
}

fn user(tenant: &[u8], user_id: &[u8]) -> Option<UserKey> {
    let text = |bytes| std::str::from_utf8(bytes).ok().map(Box::from);
    Some(UserKey { tenant: text(tenant)?, user_id: text(user_id)? })
}

fn owner_of_member(body: &[u8], key: &AddressKey) -> Option<UserKey> {
    let ListMemberOwner { tenant, user_id, email, phone } = codec::decode_list_member_owner(body).ok()?;
    key.of_message(&tenant?, user_id.as_deref(), &Recipient { email, phone, ..Recipient::default() })
}

/// Which row. The length keeps a key and a name apart from others that run together to the same bytes.
fn place(part: &KeyedPart, name: &[u8]) -> Vec<u8> {
    let length = (part.key.len() as u64).to_be_bytes();
    [&[KEYED, part.kind as u8], &length[..], &part.key, name].concat()
}
