//! Lists: who a campaign is for, as somebody wrote them down. A list is rows in the order of its members' names, so that whoever is there
//! twice is there once.

mod csv;
mod line;
mod uploads;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

pub use csv::{CsvError, CsvMembers, CsvRow};
pub use line::read_member;
pub use uploads::Upload;

use crate::clock::SharedClock;
use crate::codec;
use crate::domain::{CampaignId, Recipient, Timestamp};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, SharedStore, StoreError};

/// Into so many parts the members of a list are divided. Rows say it: never changed.
pub const LIST_SPREADS: u16 = 64;

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListMember {
    pub user_id: Option<Box<str>>,
    pub to: Recipient,
    /// JSON text of an object: what the template is filled from besides the campaign's data.
    pub data: Option<Box<str>>,
}

/// A list that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedList {
    /// As [`list_id`] makes it.
    pub id: Box<str>,
    /// For people.
    pub name: Option<Box<str>>,
    /// Those that are different.
    pub members: u64,
    /// Bytes that were uploaded.
    pub bytes: u64,
    pub created_at: Timestamp,
    /// Over what was uploaded: another body under the same retry key is a conflict.
    pub body_hash: u64,
}

/// What becomes of a list in one step of taking it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// There is none of this id, or it is another tenant's.
    Unknown,
    /// It does not exist any more, and rows of it are still there: another step takes more of them.
    Begun,
    /// Nothing of it is left.
    Done,
}

/// Rows that are read at once while a list is counted or taken away.
const PAGE_ROWS: usize = 1000;

/// What is known of a list as a whole, as its row has it. A list whose row is missing or not complete does not exist.
#[derive(Serialize, Deserialize)]
struct HeadRow {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    name: Option<Box<str>>,
    members: u64,
    bytes: u64,
    /// In milliseconds since 1970.
    created_at: u64,
    body_hash: u64,
    complete: bool,
}

/// A member that was looked for.
struct Found {
    list: Box<str>,
    /// What the row is called.
    row: Box<str>,
    /// What was looked for.
    name: Box<str>,
}

/// The lists of all tenants.
pub struct Lists {
    store: SharedStore,
    clock: SharedClock,
}

/// A member as its row has it.
#[derive(Serialize, Deserialize)]
struct MemberRow<'a> {
    /// Of what is sealed under the secret of whose it is: a list's key does not say the tenant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tenant: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    email: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    phone: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    push_token: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    url: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    chat: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default, borrow)]
    data: Option<&'a RawValue>,
}

impl ListMember {
    /// By what it is told from the others: the user's id, or the address.
    pub fn name(&self) -> Option<&str> {
        let to = &self.to;
        let all = [&self.user_id, &to.email, &to.phone, &to.push_token, &to.url, &to.chat];
        all.into_iter().find_map(|text| text.as_deref()).filter(|name| !name.is_empty())
    }

    /// The name of its row: the user's id, or a hash of the address, which stands nowhere in clear.
    fn row_name(&self, tenant: &str) -> Option<Box<str>> {
        match &self.user_id {
            Some(user_id) if !user_id.is_empty() => Some(user_id.clone()),
            _ => self.name().map(|address| address_name(tenant, address)),
        }
    }

    /// The bytes of its row.
    pub fn encode(&self, tenant: &str) -> Vec<u8> {
        let data = self.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
        let to = self.to.clone();
        let row = MemberRow {
            tenant: Some(tenant.into()),
            user_id: self.user_id.clone(),
            email: to.email,
            phone: to.phone,
            push_token: to.push_token,
            url: to.url,
            chat: to.chat,
            data,
        };
        codec::encode_list_member(&serde_json::to_string(&row).unwrap_or_default())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let unreadable = |_| StoreError::Unreadable("a member of a list".to_owned());
        let row: MemberRow<'_> = serde_json::from_str(codec::decode_list_member(bytes)?).map_err(unreadable)?;
        let MemberRow { tenant: _, user_id, email, phone, push_token, url, chat, data } = row;
        let data = data.map(|data| data.get().into());
        Ok(Self { user_id, to: Recipient { email, phone, push_token, url, chat }, data })
    }
}

/// What a member without a user's id is called in a tenant's lists: a hash (SHA-256) in the place of the address. Addresses can be tried
/// against it, no more.
fn address_name(tenant: &str, address: &str) -> Box<str> {
    let mut hash = Context::new(&SHA256);
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hash.update(&(tenant.len() as u64).to_be_bytes());
    hash.update(tenant.as_bytes());
    hash.update(address.as_bytes());
    let mut name = String::from("address:");
    for byte in hash.finish().as_ref() {
        name.push_str(&format!("{byte:02x}"));
    }
    name.into()
}

/// One of the parts of a list.
pub fn list_part(list: &str, spread: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::ListMembers, &[list.as_bytes(), &spread.to_be_bytes()])
}

/// The part that a member of a list is in, by the name of its row.
pub fn list_spread(name: &str) -> u16 {
    (xxh3_64(name.as_bytes()) % u64::from(LIST_SPREADS)) as u16
}

/// The text of a list's id.
pub fn list_id(number: u128) -> Box<str> {
    // The letters are those of the ids of campaigns.
    format!("lst_{}", CampaignId(number).to_string().trim_start_matches("cmp_")).into()
}

/// Where the lists of a tenant are known; those that came with a campaign are not among the others.
fn heads_part(tenant: &str, is_of_campaign: bool) -> KeyedPart {
    match is_of_campaign {
        false => KeyedPart::of(KeyedKind::ListsOf, &[tenant.as_bytes()]),
        true => KeyedPart::of(KeyedKind::ListsOf, &[tenant.as_bytes(), b"campaigns"]),
    }
}

fn head_row(tenant: &str, list: &SavedList, is_of_campaign: bool, complete: bool) -> KeyedRow {
    let SavedList { id, name, members, bytes, created_at, body_hash } = list.clone();
    let head = HeadRow { name, members, bytes, created_at: created_at.millis(), body_hash, complete };
    // Texts and numbers can always be written.
    let body = codec::encode_list_head(&serde_json::to_string(&head).unwrap_or_default());
    KeyedRow { part: heads_part(tenant, is_of_campaign), name: id.as_bytes().into(), body: Some(body.into()) }
}

/// The list, and whether it exists.
fn read_head(id: &str, bytes: &[u8]) -> Result<(SavedList, bool), StoreError> {
    let unreadable = |_| StoreError::Unreadable("what is known of a list".to_owned());
    let head: HeadRow = serde_json::from_str(codec::decode_list_head(bytes)?).map_err(unreadable)?;
    let HeadRow { name, members, bytes, created_at, body_hash, complete } = head;
    let created_at = Timestamp(created_at);
    Ok((SavedList { id: id.into(), name, members, bytes, created_at, body_hash }, complete))
}

impl Lists {
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Whether a list is known that was uploaded, also one that is being deleted.
    pub(super) async fn is_known(&self, tenant: &str, list: &str) -> Result<bool, StoreError> {
        Ok(self.head(tenant, list, false).await?.is_some())
    }

    /// Takes away some of a list that came with a campaign; `true`: nothing is left, or it came with none.
    pub(super) async fn remove_of_campaign(
        &self,
        tenant: &str,
        list: &str,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        if self.head(tenant, list, true).await?.is_none() {
            return Ok(true);
        }
        if !self.clear(list, rows_max).await? {
            return Ok(false);
        }
        let gone = KeyedRow { part: heads_part(tenant, true), name: list.as_bytes().into(), body: None };
        self.store.put_keyed(vec![gone]).await?;
        Ok(true)
    }

    /// Writes members of a tenant's list that is being made; durable on return. Of those of one name one is kept. May be called again.
    pub async fn put(&self, tenant: &str, list: &str, members: &[ListMember]) -> Result<(), StoreError> {
        let mut last: HashMap<Box<str>, &ListMember> = HashMap::with_capacity(members.len());
        last.extend(members.iter().filter_map(|member| Some((member.row_name(tenant)?, member))));
        let row = |(name, member): (Box<str>, &ListMember)| KeyedRow {
            part: list_part(list, list_spread(&name)),
            name: name.as_bytes().into(),
            body: Some(Bytes::from(member.encode(tenant))),
        };
        self.store.put_keyed(last.into_iter().map(row).collect()).await
    }

    /// Those that are different, counted row by row: true also where some were written twice.
    pub async fn count(&self, list: &str) -> Result<u64, StoreError> {
        let mut count = 0;
        for spread in 0..LIST_SPREADS {
            let part = list_part(list, spread);
            let mut after: Option<Box<[u8]>> = None;
            loop {
                let mut rows = self.store.keyed_between(&part, after.as_deref(), None, PAGE_ROWS).await?;
                count += rows.len() as u64;
                let is_last = rows.len() < PAGE_ROWS;
                match rows.pop() {
                    Some((name, _)) if !is_last => after = Some(name),
                    _ => break,
                }
            }
        }
        Ok(count)
    }

    /// The list exists from now on. Its members are written before.
    pub async fn complete(&self, tenant: &str, list: &SavedList) -> Result<(), StoreError> {
        self.store.put_keyed(vec![head_row(tenant, list, false, true)]).await
    }

    /// The same for one that came with a campaign: it is found by its id, and not listed.
    pub async fn complete_of_campaign(&self, tenant: &str, list: &SavedList) -> Result<(), StoreError> {
        self.store.put_keyed(vec![head_row(tenant, list, true, true)]).await
    }

    /// One that was uploaded. `None`: there is none of this id, or it is another tenant's, or it is not complete.
    pub async fn get(&self, tenant: &str, list: &str) -> Result<Option<SavedList>, StoreError> {
        Ok(self.head(tenant, list, false).await?.filter(|(_, is_complete)| *is_complete).map(|(list, _)| list))
    }

    /// The same, also of one that came with a campaign.
    pub async fn find(&self, tenant: &str, list: &str) -> Result<Option<SavedList>, StoreError> {
        if let Some(list) = self.get(tenant, list).await? {
            return Ok(Some(list));
        }
        Ok(self.head(tenant, list, true).await?.map(|(list, _)| list))
    }

    async fn head(
        &self,
        tenant: &str,
        list: &str,
        is_of_campaign: bool,
    ) -> Result<Option<(SavedList, bool)>, StoreError> {
        if list.is_empty() {
            return Ok(None);
        }
        let name = (heads_part(tenant, is_of_campaign), Box::from(list.as_bytes()));
        let body = self.store.keyed(&[name]).await?.pop().flatten();
        body.map(|body| read_head(list, &body)).transpose()
    }

    /// Those of a tenant that were uploaded, by their ids, after one (exclusive), at most `limit`.
    pub async fn list(&self, tenant: &str, after: Option<&str>, limit: usize) -> Result<Vec<SavedList>, StoreError> {
        let (part, mut after) = (heads_part(tenant, false), after.map(|after| Box::from(after.as_bytes())));
        let mut lists = Vec::new();
        while lists.len() < limit {
            let wanted = limit - lists.len();
            let rows = self.store.keyed_between(&part, after.as_deref(), None, wanted).await?;
            let is_last = rows.len() < wanted;
            for (name, body) in &rows {
                let (list, is_complete) = read_head(&String::from_utf8_lossy(name), body)?;
                lists.extend(is_complete.then_some(list));
            }
            match rows.last() {
                Some((name, _)) if !is_last => after = Some(name.clone()),
                _ => break,
            }
        }
        Ok(lists)
    }

    /// Takes a list away, at most so many of its rows in one step. It does not exist any more once this was called; whoever is told
    /// [`Removal::Begun`] calls again.
    pub async fn remove(&self, tenant: &str, list: &str, rows_max: usize) -> Result<Removal, StoreError> {
        let Some((head, is_complete)) = self.head(tenant, list, false).await? else { return Ok(Removal::Unknown) };
        if is_complete {
            self.store.put_keyed(vec![head_row(tenant, &head, false, false)]).await?;
        }
        if !self.clear(list, rows_max).await? {
            return Ok(Removal::Begun);
        }
        let gone = KeyedRow { part: heads_part(tenant, false), name: list.as_bytes().into(), body: None };
        self.store.put_keyed(vec![gone]).await?;
        Ok(Removal::Done)
    }

    /// The lists of a tenant, at most `lists_max` of each sort, that have a member of one of these names (ids of users, addresses): the id
    /// of a list, and the name.
    pub async fn having(
        &self,
        tenant: &str,
        names: &[&str],
        lists_max: usize,
    ) -> Result<Vec<(Box<str>, Box<str>)>, StoreError> {
        let found = self.rows_of(tenant, names, lists_max).await?;
        Ok(found.into_iter().map(|found| (found.list, found.name)).collect())
    }

    /// Takes members of these names out of the lists of a tenant, at most `lists_max` of each sort; how many rows.
    pub async fn forget(&self, tenant: &str, names: &[&str], lists_max: usize) -> Result<usize, StoreError> {
        let found = self.rows_of(tenant, names, lists_max).await?;
        let gone = found.iter().map(|found| KeyedRow {
            part: list_part(&found.list, list_spread(&found.row)),
            name: found.row.as_bytes().into(),
            body: None,
        });
        let gone: Vec<KeyedRow> = gone.collect();
        if !gone.is_empty() {
            self.store.put_keyed(gone).await?;
        }
        Ok(found.len())
    }

    async fn rows_of(&self, tenant: &str, names: &[&str], lists_max: usize) -> Result<Vec<Found>, StoreError> {
        // Rows that were written before addresses were hashed have them as they are.
        let both = |name: &&str| [(Box::from(*name), Box::from(*name)), (address_name(tenant, name), Box::from(*name))];
        let names: Vec<(Box<str>, Box<str>)> = names.iter().flat_map(both).collect();
        let mut found = Vec::new();
        for is_of_campaign in [false, true] {
            let heads = self.store.keyed_between(&heads_part(tenant, is_of_campaign), None, None, lists_max).await?;
            for (head, _) in heads {
                let list = String::from_utf8_lossy(&head);
                let place = |row: &str| (list_part(&list, list_spread(row)), Box::from(row.as_bytes()));
                let places: Vec<_> = names.iter().map(|(row, _)| place(row)).collect();
                let held = self.store.keyed(&places).await?;
                let held = names.iter().zip(held).filter(|(_, held)| held.is_some());
                let held = held.map(|((row, name), _)| (row.clone(), name.clone()));
                found.extend(held.map(|(row, name)| Found { list: Box::from(&*list), row, name }));
            }
        }
        Ok(found)
    }

    /// Takes members away, at most so many; `true`: none are left.
    pub async fn clear(&self, list: &str, rows_max: usize) -> Result<bool, StoreError> {
        let mut left = rows_max;
        for spread in 0..LIST_SPREADS {
            let part = list_part(list, spread);
            loop {
                if left == 0 {
                    return Ok(false);
                }
                let wanted = PAGE_ROWS.min(left);
                let rows = self.store.keyed_between(&part, None, None, wanted).await?;
                let count = rows.len();
                let gone = rows.into_iter().map(|(name, _)| KeyedRow { part: part.clone(), name, body: None });
                if count > 0 {
                    self.store.put_keyed(gone.collect()).await?;
                }
                left -= count;
                if count < wanted {
                    break;
                }
            }
        }
        Ok(true)
    }
}
