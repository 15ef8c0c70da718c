//! The tables of the database, and what memory each may use.

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

/// One keyspace for each table; what is in it is described where it is used.
#[derive(Clone)]
pub(crate) struct Keyspaces {
    pub(crate) log: Keyspace,
    pub(crate) plans: Keyspace,
    pub(crate) events: Keyspace,
    pub(crate) timers: Keyspace,
    pub(crate) claims: Keyspace,
    pub(crate) received: Keyspace,
    pub(crate) budgets: Keyspace,
    pub(crate) groups: Keyspace,
    pub(crate) history: Keyspace,
    pub(crate) unindexed: Keyspace,
    pub(crate) dead_letters: Keyspace,
    /// One row a shard and kind, written over and over: marks of the log, books, cursors.
    pub(crate) shards: Keyspace,
    pub(crate) users: Keyspace,
    pub(crate) suppressions: Keyspace,
    /// A handful of rows, written by hand.
    pub(crate) brakes: Keyspace,
    /// Written by hand as well: changes and bodies of templates.
    pub(crate) templates: Keyspace,
    /// By hand too: event types and rules.
    pub(crate) definitions: Keyspace,
    /// What people make and programs walk through.
    pub(crate) keyed: Keyspace,
    /// The same of what leaves with age.
    pub(crate) dated: Keyspace,
}

/// Values of `claims` begin with the time they expire, for the filter that drops them.
pub(super) const CLAIMS: &str = "claims";
/// As those of `claims`.
pub(super) const RECEIVED: &str = "received";
pub(super) const BUDGETS: &str = "budgets";
/// Names in keys of `dated` begin with a time, for the filter that drops them.
pub(super) const DATED: &str = "dated";
/// Keys of `dead_letters` have a time behind their first sixteen bytes, for the filter that drops them.
pub(super) const DEAD_LETTERS: &str = "dead_letters";
/// Keys of `timers` begin with a shard and a time, for the filter that drops them.
pub(super) const TIMERS: &str = "timers";

/// What a table is like.
#[derive(Clone, Copy)]
struct Table {
    /// Its part of the memory for write buffers, in 32nds. Sorted tables that are written whole need none.
    share: u64,
    /// Large packed values: written once to files of their own, and never moved by a compaction.
    packed: bool,
    /// Read by key, so that filters are worth their memory.
    point_reads: bool,
    /// Runs that wait for a compaction: more is less writing, and a few more places to look.
    waiting_runs: u8,
}

/// A buffer that is being filled and one that is being written out: half of a share each.
const BUFFERS: u64 = 2;
/// fjall's own bookkeeping makes less than this pointless.
const BUFFER_BYTES_MIN: u64 = 256 << 10;
/// Below this a value stays with its key.
const PACKED_BYTES_MIN: u32 = 1 << 10;
/// Of packed values. Small enough that a file is given back soon after its last value is dropped.
const PACKED_FILE_BYTES: u64 = 32 << 20;
/// Of everything else. Small, so that a compaction touches only what overlaps.
const TABLE_FILE_BYTES: u64 = 16 << 20;

impl Keyspaces {
    pub(super) fn open(database: &Database, write_buffer_bytes: u64) -> fjall::Result<Self> {
        let open = |name: &str, table: Table| {
            let bytes = (write_buffer_bytes * table.share / 32 / BUFFERS).max(BUFFER_BYTES_MIN);
            database.keyspace(name, || options(&table, bytes))
        };
        let usual = Table { share: 0, packed: false, point_reads: false, waiting_runs: 6 };
        Ok(Self {
            log: open("log", Table { share: 9, packed: true, ..usual })?,
            plans: open("plans", Table { share: 9, packed: true, ..usual })?,
            events: open("events", Table { share: 5, ..usual })?,
            timers: open(TIMERS, Table { share: 3, ..usual })?,
            claims: open(CLAIMS, Table { point_reads: true, waiting_runs: 12, ..usual })?,
            received: open(RECEIVED, Table { share: 1, ..usual })?,
            budgets: open(BUDGETS, usual)?,
            groups: open("groups", Table { share: 1, ..usual })?,
            history: open("history", Table { waiting_runs: 12, ..usual })?,
            unindexed: open("unindexed", Table { share: 1, ..usual })?,
            dead_letters: open(DEAD_LETTERS, Table { share: 1, ..usual })?,
            shards: open("shards", Table { share: 2, point_reads: true, ..usual })?,
            users: open("users", Table { share: 1, ..usual })?,
            suppressions: open("suppressions", Table { share: 1, point_reads: true, ..usual })?,
            brakes: open("brakes", usual)?,
            templates: open("templates", Table { packed: true, ..usual })?,
            definitions: open("definitions", Table { packed: true, ..usual })?,
            keyed: open("keyed", Table { share: 2, packed: true, point_reads: true, ..usual })?,
            dated: open(DATED, Table { share: 2, packed: true, point_reads: true, ..usual })?,
        })
    }
}

fn options(table: &Table, buffer_bytes: u64) -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(TABLE_FILE_BYTES).with_l0_threshold(table.waiting_runs);
    let options = KeyspaceCreateOptions::default()
        .max_memtable_size(buffer_bytes)
        .manual_journal_persist(true)
        // Compression costs about as much processor time as everything else here together.
        .data_block_compression_policy(CompressionPolicy::disabled())
        .compaction_strategy(std::sync::Arc::new(compaction));
    let options = if table.point_reads { options } else { options.filter_policy(FilterPolicy::disabled()) };
    if !table.packed {
        return options;
    }
    let separation = KvSeparationOptions::default()
        .compression(CompressionType::None)
        .file_target_size(PACKED_FILE_BYTES)
        .separation_threshold(PACKED_BYTES_MIN);
    options.with_kv_separation(Some(separation))
}
