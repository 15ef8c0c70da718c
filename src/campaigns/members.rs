//! The members of an audience, a page at a time: a walk through parts of rows in the order of their names, which goes on where it was.

use async_trait::async_trait;
use bytes::Bytes;

use super::lists::{LIST_SPREADS, ListMember, list_part};
use crate::audience::Segment;
use crate::domain::{Audience, Campaign, Channel, Recipient, User, UserKey};
use crate::store::{KeyedPart, SharedStore, StoreError};
use crate::subscriptions::{SPREADS as SUBJECT_SPREADS, read_subscription, subscriber_part};
use crate::users::index::{USER_SPREADS, day_of, day_part, user_part};

/// Somebody of an audience.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// What tells them from the others of the audience.
    pub name: Box<str>,
    pub user_id: Option<Box<str>>,
    pub to: Recipient,
    /// Empty: as the message says.
    pub channels: Vec<Channel>,
    /// JSON text of an object, in the place of the message's data of the same names.
    pub data: Option<Box<str>>,
}

/// Some members that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberPage {
    pub members: Vec<Member>,
    /// Rows that were read for them: those as well that turned out not to be meant.
    pub rows_read: u64,
    /// Where the next page begins.
    pub cursor: Box<[u8]>,
    pub is_last: bool,
}

/// Finds the members of an audience.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// Those after a cursor (empty: from the first), about `limit` rows of them; the same again gives the same, but for those who came
    /// or went meanwhile. Nobody is there twice.
    async fn page(&self, campaign: &Campaign, cursor: &[u8], limit: usize) -> Result<MemberPage, StoreError>;
}

/// The members as rows of the store have them.
pub struct StoreMembers {
    store: SharedStore,
}

/// Rows of users that are read at once.
const USERS_AT_ONCE: usize = 500;

/// A row of a part that is walked: the name, and the body.
type Row = (Box<str>, Bytes);

impl StoreMembers {
    pub fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Rows after a cursor, of the parts from `first` to `end` one after the other.
    async fn walk(
        &self,
        part: impl Fn(u16) -> KeyedPart + Send,
        (first, end): (u16, u16),
        cursor: &[u8],
        limit: usize,
    ) -> Result<(Vec<Row>, Box<[u8]>, bool), StoreError> {
        let (mut spread, mut after) = match cursor.split_first_chunk::<2>() {
            Some((spread, name)) => (u16::from_be_bytes(*spread), name.to_vec()),
            None => (first, Vec::new()),
        };
        let mut rows: Vec<Row> = Vec::new();
        while spread < end {
            let from = (!after.is_empty()).then_some(&after[..]);
            let wanted = limit - rows.len();
            let found = self.store.keyed_between(&part(spread), from, None, wanted).await?;
            let is_whole = found.len() < wanted;
            if let Some((last, _)) = found.last() {
                after = last.to_vec();
            }
            for (name, body) in found {
                let name = std::str::from_utf8(&name).map_err(|_| unreadable())?;
                rows.push((name.into(), body));
            }
            if is_whole {
                (spread, after) = (spread + 1, Vec::new());
            }
            if rows.len() >= limit {
                break;
            }
        }
        let mut cursor = spread.to_be_bytes().to_vec();
        cursor.extend(&after);
        Ok((rows, cursor.into(), spread >= end))
    }

    /// What is known of users, in the order asked for.
    async fn users(&self, tenant: &str, ids: &[Box<str>]) -> Result<Vec<Option<User>>, StoreError> {
        let mut users = Vec::with_capacity(ids.len());
        for ids in ids.chunks(USERS_AT_ONCE) {
            let keys: Vec<UserKey> =
                ids.iter().map(|id| UserKey { tenant: tenant.into(), user_id: id.clone() }).collect();
            let found = self.store.users(&keys).await?;
            users.extend(found.into_iter().map(|user| user.filter(User::is_somebody)));
        }
        Ok(users)
    }

    /// Those for whom it holds, with what is known of them.
    async fn those(
        &self,
        tenant: &str,
        ids: Vec<Box<str>>,
        is_meant: impl Fn(&str, &User) -> bool,
    ) -> Result<Vec<Member>, StoreError> {
        let users = self.users(tenant, &ids).await?;
        let meant =
            ids.into_iter().zip(users).filter(|(id, user)| user.as_ref().is_some_and(|user| is_meant(id, user)));
        Ok(meant.map(|(id, _)| of_user(id)).collect())
    }
}

fn of_user(id: Box<str>) -> Member {
    Member { name: id.clone(), user_id: Some(id), ..Member::default() }
}

fn unreadable() -> StoreError {
    StoreError::Unreadable("the name of a member".to_owned())
}

/// A condition as it was saved.
fn segment(condition: &str) -> Result<Segment, StoreError> {
    Segment::read(condition).map_err(|_| StoreError::Unreadable("the condition of a campaign".to_owned()))
}

#[async_trait]
impl Members for StoreMembers {
    async fn page(&self, campaign: &Campaign, cursor: &[u8], limit: usize) -> Result<MemberPage, StoreError> {
        let tenant = &*campaign.tenant;
        let ids = |rows: Vec<Row>| rows.into_iter().map(|(name, _)| name).collect();
        let (rows_read, members, cursor, is_last) = match &campaign.audience {
            Audience::List { list } => {
                let part = |spread| list_part(list, spread);
                let (rows, cursor, is_last) = self.walk(part, (0, LIST_SPREADS), cursor, limit).await?;
                let of_list = |(name, body): &Row| {
                    let ListMember { user_id, to, data } = ListMember::decode(body)?;
                    Ok(Member { name: name.clone(), user_id, to, channels: Vec::new(), data })
                };
                (rows.len(), rows.iter().map(of_list).collect::<Result<_, StoreError>>()?, cursor, is_last)
            }
            Audience::Subject { subject } => {
                let part = |spread| subscriber_part(tenant, subject, spread);
                let (rows, cursor, is_last) = self.walk(part, (0, SUBJECT_SPREADS), cursor, limit).await?;
                let mut members = Vec::with_capacity(rows.len());
                for (name, body) in &rows {
                    let channels = read_subscription(body)?.told_on();
                    if !channels.is_empty() {
                        members.push(Member { channels: channels.to_vec(), ..of_user(name.clone()) });
                    }
                }
                (rows.len(), members, cursor, is_last)
            }
            Audience::Segment { condition } => {
                let segment = segment(condition)?;
                let part = |spread| user_part(tenant, spread);
                let (rows, cursor, is_last) = self.walk(part, (0, USER_SPREADS), cursor, limit).await?;
                let is_meant = |id: &str, user: &User| segment.holds(id, &user.attributes);
                let read = rows.len();
                (read, self.those(tenant, ids(rows), is_meant).await?, cursor, is_last)
            }
            Audience::Day { attribute, day, first_part, end_part, condition } => {
                let segment = condition.as_deref().map(segment).transpose()?;
                let part = |spread| day_part(tenant, attribute, *day, spread);
                let (rows, cursor, is_last) = self.walk(part, (*first_part, *end_part), cursor, limit).await?;
                // A row may be of a day that the attribute is not any more.
                let is_meant = |id: &str, user: &User| {
                    user.attributes.get(attribute).and_then(|value| day_of(value)) == Some(*day)
                        && segment.as_ref().is_none_or(|segment| segment.holds(id, &user.attributes))
                };
                let read = rows.len();
                (read, self.those(tenant, ids(rows), is_meant).await?, cursor, is_last)
            }
        };
        Ok(MemberPage { members, rows_read: rows_read as u64, cursor, is_last })
    }
}
