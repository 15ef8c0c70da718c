//! Version 1 of what is kept for privacy: records of consent, lines of the audit log, and erasures that go on. JSON after the version byte:
//! seldom written, and read by people who look into a store. Times are milliseconds since 1970. Frozen: fields may be added where they may
//! be missing, and never change.

use serde::{Deserialize, Serialize};

use super::{CodecError, VERSION};
use crate::domain::{AuditRecord, Consent, Erasure, NotificationId, Timestamp, UserKey};

type Text = Box<str>;

#[derive(Serialize, Deserialize)]
struct ConsentRow {
    purpose: Text,
    granted: bool,
    at: u64,
    text_version: Text,
    source: Text,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<Text>,
    recorded_at: u64,
}

/// A record of consent to a purpose.
pub fn encode_consent(purpose: &str, consent: &Consent) -> Vec<u8> {
    let Consent { granted, at, text_version, source, note, recorded_at } = consent.clone();
    let (at, recorded_at) = (at.millis(), recorded_at.millis());
    write(&ConsentRow { purpose: purpose.into(), granted, at, text_version, source, note, recorded_at })
}

/// Reads what [`encode_consent`] wrote.
pub fn decode_consent(bytes: &[u8]) -> Result<(Box<str>, Consent), CodecError> {
    let ConsentRow { purpose, granted, at, text_version, source, note, recorded_at } = read(bytes)?;
    let (at, recorded_at) = (Timestamp(at), Timestamp(recorded_at));
    Ok((purpose, Consent { granted, at, text_version, source, note, recorded_at }))
}

#[derive(Serialize, Deserialize)]
struct AuditRow {
    at: u64,
    by: Text,
    method: Text,
    route: Text,
    object: Text,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    status: Option<u16>,
}

/// A line of the audit log. Its tenant is in the row's key.
pub fn encode_audit(record: &AuditRecord) -> Vec<u8> {
    let AuditRecord { at, tenant: _, by, method, route, object, user, status } = record.clone();
    write(&AuditRow { at: at.millis(), by, method, route, object, user, status })
}

/// Reads what [`encode_audit`] wrote.
pub fn decode_audit(tenant: &str, bytes: &[u8]) -> Result<AuditRecord, CodecError> {
    let AuditRow { at, by, method, route, object, user, status } = read(bytes)?;
    Ok(AuditRecord { at: Timestamp(at), tenant: tenant.into(), by, method, route, object, user, status })
}

#[derive(Serialize, Deserialize)]
struct ErasureRow {
    tenant: Text,
    user_id: Text,
    at: u64,
    /// The notification that was looked at last, and when it was accepted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    after: Option<(u64, Text)>,
    #[serde(skip_serializing_if = "is_false", default)]
    walked: bool,
    /// Hashes of addresses.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    addresses: Vec<Text>,
    #[serde(skip_serializing_if = "is_false", default)]
    destroyed: bool,
    #[serde(skip_serializing_if = "is_false", default)]
    settled: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A user of whom something is still to be taken back.
pub fn encode_erasure(erasure: &Erasure) -> Vec<u8> {
    let Erasure { user, at, after, addresses, is_walked, is_destroyed, is_settled } = erasure.clone();
    let after = after.map(|(accepted_at, id)| (accepted_at.millis(), Text::from(id.to_string())));
    let addresses = addresses.into_iter().map(|owner| owner.user_id).collect();
    let UserKey { tenant, user_id } = user;
    let at = at.millis();
    let (walked, destroyed, settled) = (is_walked, is_destroyed, is_settled);
    write(&ErasureRow { tenant, user_id, at, after, walked, addresses, destroyed, settled })
}

/// Reads what [`encode_erasure`] wrote.
pub fn decode_erasure(bytes: &[u8]) -> Result<Erasure, CodecError> {
    let ErasureRow { tenant, user_id, at, after, walked, addresses, destroyed, settled } = read(bytes)?;
    let after = after.map(|(accepted_at, id)| {
        let id: NotificationId = id.parse().map_err(|_| CodecError::Damaged("it holds no valid id".to_owned()))?;
        Ok::<_, CodecError>((Timestamp(accepted_at), id))
    });
    let owner = |user_id: Text| UserKey { tenant: tenant.clone(), user_id };
    let addresses = addresses.into_iter().map(owner).collect();
    let erasure = Erasure::new(UserKey { tenant: tenant.clone(), user_id }, Timestamp(at), addresses);
    Ok(Erasure {
        after: after.transpose()?,
        is_walked: walked,
        is_destroyed: destroyed,
        is_settled: settled,
        ..erasure
    })
}

fn write(row: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, row).expect("a vector takes all bytes, and the rows have texts and numbers");
    bytes
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| CodecError::Damaged(error.to_string())),
        Some((version, _)) => Err(CodecError::UnknownVersion(*version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::check_golden;
    use crate::domain::{Position, Priority, ShardId, UserEntry};

    #[test]
    fn rows_of_privacy_are_read_as_they_were_written() {
        let at = Timestamp(1_800_000_000_000);
        let consent = Consent {
            granted: true,
            at,
            text_version: "2026-01".into(),
            source: "sign-up".into(),
            note: Some("paper form".into()),
            recorded_at: at,
        };
        let golden = check_golden("consent_v1.bin", &encode_consent("newsletter", &consent));
        assert_eq!(decode_consent(&golden), Ok(("newsletter".into(), consent.clone())));
        let entry = UserEntry::Consent { purpose: "newsletter".into(), consent: Some(consent) };
        let golden = check_golden("consent_entry_v1.bin", &crate::codec::encode_user_entry(&entry));
        assert_eq!(crate::codec::decode_user_entry(&golden), Ok(entry));
        let record = AuditRecord {
            at,
            tenant: "default".into(),
            by: "key 1".into(),
            method: "DELETE".into(),
            route: "/v1/users/{id}".into(),
            object: "user:AAAA".into(),
            user: Some("AAAA".into()),
            status: Some(200),
        };
        let golden = check_golden("audit_v1.bin", &encode_audit(&record));
        assert_eq!(decode_audit("default", &golden), Ok(record));
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let user = UserKey { tenant: "default".into(), user_id: "alice".into() };
        let address = UserKey { tenant: "default".into(), user_id: "\u{1}00ff".into() };
        let after = Some((at, NotificationId(Position::new(shard, 7))));
        let erasure = Erasure { after, ..Erasure::new(user, at, Vec::new()) };
        let later = Erasure { addresses: vec![address], is_walked: true, is_destroyed: true, ..erasure.clone() };
        for (name, erasure) in [("erasure_v1.bin", erasure), ("erasure_destroyed_v1.bin", later)] {
            let golden = check_golden(name, &encode_erasure(&erasure));
            assert_eq!(decode_erasure(&golden), Ok(erasure));
        }
        for wrong in [&b""[..], b"\x02{}", b"\x01{", b"\x01{}"] {
            assert!(
                decode_consent(wrong).is_err() && decode_audit("", wrong).is_err() && decode_erasure(wrong).is_err()
            );
        }
    }
}
