//! Files: what is in one, how it is called, and whether what was read back is what was written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::{ArchivePlace, PlaceError};
use crate::domain::{ShardId, Story, Timestamp};

/// The usual level of the library: higher ones take twice the time for a tenth less.
const LEVEL: i32 = 3;
const DAY_MILLIS: u64 = 86_400_000;
/// More than this no file is compressed to that was smaller before.
const OVERHEAD_BYTES: usize = 1 << 10;

/// The files of a piece: one for each tenant and day, in UTC, on which its notifications were accepted.
#[derive(Default)]
pub(super) struct Files {
    files: BTreeMap<(Box<str>, u64), Lines>,
    pub(super) bytes: usize,
    pub(super) records: usize,
}

/// The lines of one file.
#[derive(Default)]
struct Lines {
    first: u64,
    last: u64,
    count: u64,
    text: Vec<u8>,
}

/// One that is ready to be put.
pub(super) struct File {
    pub(super) name: String,
    pub(super) body: Bytes,
    pub(super) count: u64,
    plain_bytes: usize,
    hash: u128,
}

impl Files {
    /// Adds a line; they come in the order of their offsets.
    pub(super) fn add(&mut self, story: &Story, line: &[u8]) {
        let plan = &story.plan;
        let day = plan.accepted_at.millis() / DAY_MILLIS;
        let lines = self.files.entry((plan.tenant.clone(), day)).or_default();
        if lines.count == 0 {
            lines.first = plan.position.offset;
        }
        lines.last = plan.position.offset;
        lines.count += 1;
        lines.text.extend_from_slice(line);
        lines.text.push(b'\n');
        self.records += 1;
        self.bytes += line.len() + 1;
    }

    /// Compresses them; takes time.
    pub(super) fn close(self, shard: ShardId) -> std::io::Result<Vec<File>> {
        let files = self.files.into_iter().map(|((tenant, day), lines)| {
            let name = name(&tenant, Timestamp(day * DAY_MILLIS), shard, (lines.first, lines.last));
            let hash = xxh3_128(&lines.text);
            let body = zstd::stream::encode_all(&lines.text[..], LEVEL)?.into();
            Ok(File { name, body, count: lines.count, plain_bytes: lines.text.len(), hash })
        });
        files.collect()
    }
}

/// `acme/2026/11/22/normal-3-1024-2047.ndjson.zst`. Of a later generation of the log, and of the spill, it begins with that.
fn name(tenant: &str, day: Timestamp, shard: ShardId, (first, last): (u64, u64)) -> String {
    let date = day.to_string();
    let (year, month, date) = (&date[..4], &date[5..7], &date[8..10]);
    let ShardId { generation, lane, partition } = shard;
    let before = match generation {
        0 => String::new(),
        _ if shard.is_spill() => "spill-".to_owned(),
        generation => format!("g{generation}-"),
    };
    let tenant = plain(tenant);
    format!("{tenant}/{year}/{month}/{date}/{before}{}-{partition}-{first}-{last}.ndjson.zst", lane.name())
}

/// A tenant as a folder: whatever may mean something to a path or an address stands there as ~XX.
fn plain(tenant: &str) -> String {
    let mut text = String::with_capacity(tenant.len());
    for (at, byte) in tenant.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && at > 0) {
            text.push(char::from(byte));
        } else {
            // Into memory it can always be written.
            _ = write!(text, "~{byte:02X}");
        }
    }
    text
}

impl File {
    /// Puts it, and reads it back from there.
    pub(super) async fn put_and_check(&self, place: &dyn ArchivePlace) -> Result<(), PlaceError> {
        place.put(&self.name, self.body.clone()).await?;
        let read = place.get(&self.name, self.plain_bytes + OVERHEAD_BYTES).await?;
        let (plain_bytes, count, hash) = (self.plain_bytes, self.count, self.hash);
        let checked = tokio::task::spawn_blocking(move || check(&read, plain_bytes, count, hash)).await;
        let checked = checked.map_err(|error| error.to_string()).and_then(|checked| checked);
        checked.map_err(|reason| PlaceError::Different { name: self.name.clone(), reason })
    }
}

fn check(read: &[u8], plain_bytes: usize, count: u64, hash: u128) -> Result<(), String> {
    let mut plain = Vec::with_capacity(plain_bytes + 1);
    let unpacked = zstd::stream::Decoder::new(read).and_then(|decoder| {
        // One byte more shows that it is longer.
        decoder.take(plain_bytes as u64 + 1).read_to_end(&mut plain)
    });
    unpacked.map_err(|error| format!("it cannot be unpacked ({error})"))?;
    let lines = plain.iter().filter(|byte| **byte == b'\n').count() as u64;
    if lines != count {
        return Err(format!("it has {lines} lines in place of {count}"));
    }
    if plain.len() != plain_bytes || xxh3_128(&plain) != hash {
        return Err("its text is another".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Priority;

    #[test]
    fn a_file_is_called_by_tenant_day_and_place_whatever_the_tenant_is_called() {
        let shard = ShardId { generation: 0, lane: Priority::High, partition: 3 };
        let day = Timestamp::parse("2026-11-02T00:00:00Z").expect("a time");
        let check = |tenant, shard, expected: &str| assert_eq!(name(tenant, day, shard, (5, 17)), expected);
        check("acme", shard, "acme/2026/11/02/high-3-5-17.ndjson.zst");
        check("../a b/ü", shard, "~2E.~2Fa~20b~2F~C3~BC/2026/11/02/high-3-5-17.ndjson.zst");
        check("a.b", ShardId { generation: 2, ..shard }, "a.b/2026/11/02/g2-high-3-5-17.ndjson.zst");
        check("a", ShardId { generation: ShardId::SPILL, ..shard }, "a/2026/11/02/spill-high-3-5-17.ndjson.zst");
    }

    #[test]
    fn what_is_cut_off_or_changed_is_not_taken_for_what_was_written() {
        let text = b"{\"id\":1}\n{\"id\":2}\n".to_vec();
        let (bytes, hash) = (text.len(), xxh3_128(&text));
        let packed = zstd::stream::encode_all(&text[..], LEVEL).expect("packed");
        assert_eq!(check(&packed, bytes, 2, hash), Ok(()));
        let reason = |read: &[u8]| check(read, bytes, 2, hash).expect_err("it is another");
        assert!(reason(&packed[..packed.len() - 3]).contains("cannot be unpacked"));
        assert!(reason(b"nothing").contains("cannot be unpacked"));
        let other = |text: &[u8]| reason(&zstd::stream::encode_all(text, LEVEL).expect("packed"));
        assert!(other(b"{\"id\":1}\n").contains("1 lines in place of 2"));
        assert!(other(b"{\"id\":1}\n{\"id\":3}\n").contains("its text is another"));
        assert!(other(b"{\"id\":1}\n{\"id\":2}\n ").contains("its text is another"));
    }
}
