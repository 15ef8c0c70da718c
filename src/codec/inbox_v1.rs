//! Version 1 of the entries of inboxes, and of what nodes tell each other of them; frozen: never edit a field here, make an `inbox_v2.rs`.
//! Where an entry stands is the row's name.

use bincode::{Decode, Encode};

use super::{CodecError, decode, encode};
use crate::domain::{
    InboxEntry, InboxPlace, InboxWord, NotificationId, Position, Priority, ShardId, TaskId, Timestamp, UserKey,
};

type Text = Box<str>;

#[derive(Encode, Decode)]
struct Entry {
    priority: u8,
    category: Option<Text>,
    template: Option<Text>,
    title: Text,
    body: Text,
    data: Text,
    metadata: Text,
    expires_at: Option<u64>,
    read_at: Option<u64>,
    archived_at: Option<u64>,
}

/// Time, shard, offset, ordinal.
type Place = (u64, u32, u64, u8);
/// Shard, offset.
type Notification = (u32, u64);

#[derive(Encode, Decode)]
enum Word {
    Came(Place, Entry, bool),
    Read(Vec<Notification>, u64),
    ReadAll(u64),
    Archived(Vec<Notification>),
}

/// Tenant, user, word.
#[derive(Encode, Decode)]
struct Told(Text, Text, Word);

fn damaged(what: &str) -> CodecError {
    CodecError::Damaged(what.to_owned())
}

impl From<&InboxEntry> for Entry {
    fn from(entry: &InboxEntry) -> Self {
        Self {
            priority: entry.priority.index() as u8,
            category: entry.category.clone(),
            template: entry.template.clone(),
            title: entry.title.clone(),
            body: entry.body.clone(),
            data: entry.data.clone(),
            metadata: entry.metadata.clone(),
            expires_at: entry.expires_at.map(Timestamp::millis),
            read_at: entry.read_at.map(Timestamp::millis),
            archived_at: entry.archived_at.map(Timestamp::millis),
        }
    }
}

impl Entry {
    fn into_domain(self, place: InboxPlace) -> Result<InboxEntry, CodecError> {
        let priority = Priority::from_index(usize::from(self.priority)).ok_or_else(|| damaged("a priority"))?;
        Ok(InboxEntry {
            place,
            priority,
            category: self.category,
            template: self.template,
            title: self.title,
            body: self.body,
            data: self.data,
            metadata: self.metadata,
            expires_at: self.expires_at.map(Timestamp),
            read_at: self.read_at.map(Timestamp),
            archived_at: self.archived_at.map(Timestamp),
        })
    }
}

fn position((shard, offset): Notification) -> Result<Position, CodecError> {
    Ok(Position::new(ShardId::from_u32(shard).ok_or_else(|| damaged("a shard"))?, offset))
}

fn notifications(notifications: &[NotificationId]) -> Vec<Notification> {
    notifications.iter().map(|id| (id.0.shard.to_u32(), id.0.offset)).collect()
}

fn read_notifications(rows: Vec<Notification>) -> Result<Vec<NotificationId>, CodecError> {
    rows.into_iter().map(|row| position(row).map(NotificationId)).collect()
}

/// An entry of an inbox; its place is the row's name.
pub fn encode_inbox_entry(entry: &InboxEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + entry.title.len() + entry.body.len() + entry.data.len());
    encode(&Entry::from(entry), &mut bytes);
    bytes
}

/// Reads what [`encode_inbox_entry`] wrote.
pub fn decode_inbox_entry(place: InboxPlace, bytes: &[u8]) -> Result<InboxEntry, CodecError> {
    decode::<Entry>(bytes)?.into_domain(place)
}

/// What one node tells another of a user's inbox.
pub fn encode_inbox_word(user: &UserKey, word: &InboxWord) -> Vec<u8> {
    let word = match word {
        InboxWord::Came { entry, is_repeated } => {
            let InboxPlace { at, task } = entry.place;
            let place = (at.millis(), task.position.shard.to_u32(), task.position.offset, task.ordinal);
            Word::Came(place, Entry::from(&**entry), *is_repeated)
        }
        InboxWord::Read { notifications: read, at } => Word::Read(notifications(read), at.millis()),
        InboxWord::ReadAll { at } => Word::ReadAll(at.millis()),
        InboxWord::Archived { notifications: archived } => Word::Archived(notifications(archived)),
    };
    let mut bytes = Vec::new();
    encode(&Told(user.tenant.clone(), user.user_id.clone(), word), &mut bytes);
    bytes
}

/// Reads what [`encode_inbox_word`] wrote.
pub fn decode_inbox_word(bytes: &[u8]) -> Result<(UserKey, InboxWord), CodecError> {
    let Told(tenant, user_id, word) = decode::<Told>(bytes)?;
    let word = match word {
        Word::Came((at, shard, offset, ordinal), entry, is_repeated) => {
            let task = TaskId { position: position((shard, offset))?, ordinal };
            let entry = entry.into_domain(InboxPlace { at: Timestamp(at), task })?;
            InboxWord::Came { entry: Box::new(entry), is_repeated }
        }
        Word::Read(read, at) => InboxWord::Read { notifications: read_notifications(read)?, at: Timestamp(at) },
        Word::ReadAll(at) => InboxWord::ReadAll { at: Timestamp(at) },
        Word::Archived(archived) => InboxWord::Archived { notifications: read_notifications(archived)? },
    };
    Ok((UserKey { tenant, user_id }, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::check_golden;

    fn entry() -> InboxEntry {
        let shard = ShardId { generation: 3, lane: Priority::High, partition: 258 };
        let task = TaskId { position: Position::new(shard, 1 << 40 | 7), ordinal: 2 };
        InboxEntry {
            place: InboxPlace { at: Timestamp(1_800_000_000_000), task },
            priority: Priority::High,
            category: Some("social".into()),
            template: None,
            title: "Bob follows you".into(),
            body: "See who else does.".into(),
            data: "{\"n\":1}".into(),
            metadata: "{}".into(),
            expires_at: Some(Timestamp(1_800_000_060_000)),
            read_at: None,
            archived_at: Some(Timestamp(1_800_000_030_000)),
        }
    }

    #[test]
    fn what_version_1_wrote_of_inboxes_is_read_and_written_the_same() {
        let golden = check_golden("inbox_entry_v1.bin", &encode_inbox_entry(&entry()));
        assert_eq!(decode_inbox_entry(entry().place, &golden), Ok(entry()));
        let user = UserKey { tenant: "acme".into(), user_id: "alice".into() };
        let id = entry().place.notification();
        let at = Timestamp(1_800_000_090_000);
        for (name, word) in [
            ("came", InboxWord::Came { entry: Box::new(entry()), is_repeated: true }),
            ("read", InboxWord::Read { notifications: vec![id], at }),
            ("read_all", InboxWord::ReadAll { at }),
            ("archived", InboxWord::Archived { notifications: vec![id, id] }),
        ] {
            let golden = check_golden(&format!("inbox_word_{name}_v1.bin"), &encode_inbox_word(&user, &word));
            assert_eq!(decode_inbox_word(&golden), Ok((user.clone(), word)));
            for end in 0..golden.len() {
                assert!(decode_inbox_word(&golden[..end]).is_err(), "{name} cut at {end}");
            }
        }
    }
}
