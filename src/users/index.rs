//! The index of users and the index of days: where who looks for many users begins, without a look at all that is stored.
//!
//! Under each tenant stand its users, and under an attribute and a day the users whose attribute is that day; each spread over parts that
//! are walked one by one. A row too many does no harm: who walks looks at the user again. So rows are put before what they are about, and
//! taken away after it; only those of who is erased are taken away before it too, so that nothing of them is left where that breaks off.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec;
use crate::domain::{LocalDate, Timestamp, User, UserEntry, UserKey, Zone};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, StoreError};

/// The parts of a tenant's users. Rows say it: never changed.
pub const USER_SPREADS: u16 = 64;
/// The parts of a day: a million users of one day are some 4,000 in each. Rows say it: never changed.
pub const DAY_SPREADS: u16 = 256;

const DAY_MILLIS: u64 = 86_400_000;
/// The longest text that can be a time.
const TIME_BYTES_MAX: usize = 64;

/// Some of the users of a tenant: the names of the rows are their ids. `spread` is below [`USER_SPREADS`].
pub fn user_part(tenant: &str, spread: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::UserIndex, &[tenant.as_bytes(), &spread.to_be_bytes()])
}

/// Some of the users whose attribute is this day, counted from 1970-01-01: the names of the rows are their ids, and what they hold is for
/// [`read_value`]. `spread` is below [`DAY_SPREADS`].
pub fn day_part(tenant: &str, attribute: &str, day: i32, spread: u16) -> KeyedPart {
    let words: [&[u8]; 4] = [tenant.as_bytes(), attribute.as_bytes(), &day.to_be_bytes(), &spread.to_be_bytes()];
    KeyedPart::of(KeyedKind::DayIndex, &words)
}

/// The value of the attribute when the row was written, JSON text.
pub fn read_value(body: &[u8]) -> Result<&str, StoreError> {
    Ok(codec::decode_index_entry(body)?)
}

/// The day of a value, JSON text: of a time (RFC 3339) the day it is in UTC, of a date (`YYYY-MM-DD`) that day. `None`: it is neither, or
/// before 1970.
pub fn day_of(value: &str) -> Option<i32> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.len() > TIME_BYTES_MAX {
        return None;
    }
    let at = match inner.len() {
        10 => {
            let date = LocalDate::parse(inner)?;
            let start = Zone::UTC.start_of(date);
            // What is before the first day has no start.
            (Zone::UTC.date(start) == date).then_some(start)?
        }
        _ => Timestamp::parse(inner)?,
    };
    i32::try_from(at.millis() / DAY_MILLIS).ok()
}

/// Where it stands for which attributes the indexes were built; no tenant has this name.
pub(super) fn mark_place() -> (KeyedPart, Box<[u8]>) {
    (KeyedPart::of(KeyedKind::UserIndex, &[b"", b"built"]), (*b"days").into())
}

/// Which attributes are days: names, or patterns with a `*` at their beginning or end.
#[derive(Debug, Clone, Default)]
pub struct DayAttributes(Vec<Box<str>>);

impl DayAttributes {
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| pattern.as_str().into()).collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (None, Some(beginning)) => name.starts_with(beginning),
            (None, None) => **pattern == *name,
        })
    }

    /// Tells one list from another.
    pub(super) fn mark(&self) -> u64 {
        xxh3_64(self.0.join(" ").as_bytes())
    }

    fn day(&self, name: &str, value: &str) -> Option<i32> {
        if self.has(name) { day_of(value) } else { None }
    }
}

/// The patterns as they are read by people.
impl fmt::Display for DayAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("no names"),
            patterns => write!(f, "`{}`", patterns.join("`, `")),
        }
    }
}

/// A change of a user of whom it is known what there was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownChange {
    pub key: UserKey,
    /// None: the user stays as they are, and only their places in the indexes are written.
    pub entries: Vec<UserEntry>,
    /// Attributes as they were: those that are written over, or all where nothing is.
    before: Vec<(Box<str>, Box<str>)>,
}

impl KnownChange {
    pub fn of(key: UserKey, entries: Vec<UserEntry>, before: &User) -> Self {
        let of_attribute = |entry: &UserEntry| match entry {
            UserEntry::Attribute { name, .. } => {
                before.attributes.get_key_value(name).map(|(name, value)| (name.clone(), value.clone()))
            }
            _ => None,
        };
        let before = match entries.is_empty() {
            true => before.attributes.clone().into_iter().collect(),
            false => entries.iter().filter_map(of_attribute).collect(),
        };
        Self { key, entries, before }
    }

    /// A change of a user of whom it is not: where an attribute moves, the row of its day before stays.
    pub fn blind(key: UserKey, entries: Vec<UserEntry>) -> Self {
        Self { key, entries, before: Vec::new() }
    }

    fn is_erasure(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, UserEntry::Erased(Some(_))))
    }
}

/// What to write for some changes: what is put before them, and what is taken away after.
#[derive(Debug, Default)]
pub(super) struct IndexRows {
    pub(super) put: Vec<KeyedRow>,
    /// Of who is erased: taken away before as well. Once the user is gone nobody knows where the rows are.
    pub(super) of_erased: Vec<KeyedRow>,
    pub(super) taken_away: Vec<KeyedRow>,
}

/// A user's attribute, and a day.
type Place<'a> = (&'a UserKey, &'a str, i32);

impl IndexRows {
    pub(super) fn of(days: &DayAttributes, changes: &[KnownChange]) -> Self {
        let mut rows = Self::default();
        let (mut known, mut left): (HashSet<&UserKey>, Vec<Place<'_>>) = (HashSet::new(), Vec::new());
        let mut erased: HashSet<&UserKey> = HashSet::new();
        // What the last change of each attribute makes it: a day that a later one comes back to is not taken away.
        let mut last: HashMap<(&UserKey, &str), i32> = HashMap::new();
        for change in changes {
            let key = &change.key;
            match change.is_erasure() {
                true => {
                    erased.insert(key);
                    rows.of_erased.push(of_user(key, false));
                }
                false => rows.put.extend(known.insert(key).then(|| of_user(key, true))),
            }
            for (name, value) in &change.before {
                let Some(day) = days.day(name, value) else { continue };
                match change.entries.is_empty() {
                    true => rows.put.push(of_day(key, name, day, Some(value))),
                    false => left.push((key, name, day)),
                }
            }
            for entry in &change.entries {
                let UserEntry::Attribute { name, value } = entry else { continue };
                if let Some(day) = last.remove(&(key, &**name)) {
                    left.push((key, name, day));
                }
                let Some(value) = value else { continue };
                let Some(day) = days.day(name, value) else { continue };
                last.insert((key, name), day);
                rows.put.push(of_day(key, name, day, Some(value)));
            }
        }
        let is_left = |(key, name, day): &Place<'_>| last.get(&(*key, *name)) != Some(day);
        for (key, name, day) in left.into_iter().filter(is_left) {
            let place = if erased.contains(key) { &mut rows.of_erased } else { &mut rows.taken_away };
            place.push(of_day(key, name, day, None));
        }
        rows
    }
}

/// What to take away of a user who was put there as they were read, and is nobody by now.
pub(super) fn rows_of_nobody(days: &DayAttributes, key: &UserKey, read: &User) -> Vec<KeyedRow> {
    let of_days =
        read.attributes.iter().filter_map(|(name, value)| Some(of_day(key, name, days.day(name, value)?, None)));
    [of_user(key, false)].into_iter().chain(of_days).collect()
}

fn of_user(key: &UserKey, is_there: bool) -> KeyedRow {
    let part = user_part(&key.tenant, spread(&key.user_id, USER_SPREADS));
    let body = is_there.then(|| Bytes::from(codec::encode_index_entry("")));
    KeyedRow { part, name: key.user_id.as_bytes().into(), body }
}

fn of_day(key: &UserKey, attribute: &str, day: i32, value: Option<&str>) -> KeyedRow {
    let part = day_part(&key.tenant, attribute, day, spread(&key.user_id, DAY_SPREADS));
    let body = value.map(|value| Bytes::from(codec::encode_index_entry(value)));
    KeyedRow { part, name: key.user_id.as_bytes().into(), body }
}

fn spread(user_id: &str, spreads: u16) -> u16 {
    (xxh3_64(user_id.as_bytes()) % u64::from(spreads)) as u16
}

#[cfg(test)]
mod tests;
