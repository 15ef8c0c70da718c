//! Every statement, prepared once. Each names the full partition key of its table; a test reads them all.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};

use super::schema::Keyspaces;
use crate::store::StoreError;

/// Rows of a page of the task log or of definitions: each has up to 32 KiB, or 64.
const LOG_PAGE: i32 = 64;
/// Rows of other pages.
const PAGE: i32 = 1000;

macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident: $text:literal;)*) => {
        pub(super) struct Statements {
            $($(#[$meta])* pub(super) $name: PreparedStatement,)*
        }

        #[cfg(test)]
        pub(super) const TEXTS: &[&str] = &[$($text),*];

        impl Statements {
            /// All but those about leases and slots may be sent twice.
            async fn prepare_all(session: &Session, keyspaces: &Keyspaces) -> Result<Self, StoreError> {
                Ok(Self { $($name: prepare(session, keyspaces, $text).await?,)* })
            }
        }
    };
}

statements! {
    add_to_log: "INSERT INTO {keyspace}.task_log (shard, block, kind, window, write, body) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?";
    window: "SELECT body FROM {keyspace}.task_log WHERE shard = ? AND block = ? AND kind = ? AND window = ?";
    kind: "SELECT body FROM {keyspace}.task_log WHERE shard = ? AND block = ? AND kind = ?";
    numbers: "SELECT write FROM {keyspace}.task_log WHERE shard = ? AND block = ?";
    whole: "SELECT kind, write, body FROM {keyspace}.task_log WHERE shard = ? AND block = ?";
    /// With what is left of each row's life.
    rows_of_block: "SELECT kind, window, write, body, TTL(body) FROM {keyspace}.task_log WHERE shard = ? AND block = ?";
    add_timer: "INSERT INTO {keyspace}.timers (shard, bucket, due, offset, ordinal, attempt, body) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?";
    timers: "SELECT due, offset, ordinal, attempt, body FROM {keyspace}.timers WHERE shard = ? AND bucket = ? \
             AND (due, offset, ordinal, attempt) > (?, ?, ?, ?) AND (due) < (?) LIMIT ?";
    add_bucket: "INSERT INTO {keyspace}.timer_buckets (shard, span, bucket) VALUES (?, ?, ?) USING TTL ?";
    buckets: "SELECT bucket FROM {keyspace}.timer_buckets WHERE shard = ? AND span = ? AND bucket >= ? AND bucket <= ?";
    add_claim: "INSERT INTO {keyspace}.claims (claim, body) VALUES (?, ?) USING TTL ?";
    /// The one statement that brings its own time: an earlier one than a plan's, so that whichever comes last, the plan's row stays.
    hold_claim: "INSERT INTO {keyspace}.claims (claim, body) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?";
    claim: "SELECT body FROM {keyspace}.claims WHERE claim = ?";
    add_received: "INSERT INTO {keyspace}.received (user_hash, shard, offset, body) VALUES (?, ?, ?, ?) USING TTL ?";
    received: "SELECT shard, offset, body FROM {keyspace}.received WHERE user_hash = ? LIMIT ?";
    draw: "INSERT INTO {keyspace}.budgets (category, day, process, drawn) VALUES (?, ?, ?, ?)";
    drawn: "SELECT process, drawn FROM {keyspace}.budgets WHERE category = ? AND day = ?";
    add_group: "INSERT INTO {keyspace}.groups (shard, leader, place, body) VALUES (?, ?, ?, ?) USING TTL ?";
    group: "SELECT body FROM {keyspace}.groups WHERE shard = ? AND leader = ?";
    add_history: "INSERT INTO {keyspace}.history (user_hash, period, accepted_at, shard, offset) VALUES (?, ?, ?, ?, ?) USING TTL ?";
    history: "SELECT accepted_at, shard, offset FROM {keyspace}.history WHERE user_hash = ? AND period = ? \
              AND (accepted_at, shard, offset) < (?, ?, ?) LIMIT ?";
    add_dead_letter: "INSERT INTO {keyspace}.dead_letters (tenant, day, at, shard, offset, ordinal, body) VALUES (?, ?, ?, ?, ?, ?, ?)";
    revive: "INSERT INTO {keyspace}.dead_letters (tenant, day, at, shard, offset, ordinal, revived) VALUES (?, ?, ?, ?, ?, ?, true)";
    dead_letters: "SELECT at, shard, offset, ordinal, body, revived FROM {keyspace}.dead_letters WHERE tenant = ? AND day = ? \
                   AND (at, shard, offset, ordinal) < (?, ?, ?, ?)";
    dead_letter: "SELECT body, revived FROM {keyspace}.dead_letters WHERE tenant = ? AND day = ? AND at = ? AND shard = ? \
                  AND offset = ? AND ordinal = ?";
    write_books: "INSERT INTO {keyspace}.shard_state (shard, books) VALUES (?, ?)";
    write_cursors: "INSERT INTO {keyspace}.shard_state (shard, cursors) VALUES (?, ?)";
    shard_state: "SELECT books, WRITETIME(books), cursors, WRITETIME(cursors) FROM {keyspace}.shard_state WHERE shard = ?";
    lease: "SELECT owner, epoch, released FROM {leases}.leases WHERE shard = ?";
    first_lease: "INSERT INTO {leases}.leases (shard, owner, epoch, released) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    next_lease: "UPDATE {leases}.leases SET owner = ?, epoch = ?, released = ? WHERE shard = ? \
                 IF owner = ? AND epoch = ? AND released = ?";
    add_to_spill: "INSERT INTO {keyspace}.spill (shard, block, offset, body) VALUES (?, ?, ?, ?)";
    spill: "SELECT offset, body FROM {keyspace}.spill WHERE shard = ? AND block = ? AND offset >= ?";
    spill_last: "SELECT offset FROM {keyspace}.spill WHERE shard = ? AND block = ? ORDER BY offset DESC LIMIT 1";
    open_spill: "INSERT INTO {keyspace}.spill_shards (part, shard) VALUES (?, ?)";
    commit_spill: "INSERT INTO {keyspace}.spill_shards (part, shard, committed) VALUES (?, ?, ?)";
    spill_shards: "SELECT shard, committed FROM {keyspace}.spill_shards WHERE part = ?";
    slots: "SELECT slot, process FROM {leases}.spill_slots WHERE part = ?";
    take_slot: "INSERT INTO {leases}.spill_slots (part, slot, process, taken_at) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    add_user_entry: "INSERT INTO {keyspace}.users (tenant, user_id, kind, name, body) VALUES (?, ?, ?, ?, ?)";
    user: "SELECT body FROM {keyspace}.users WHERE tenant = ? AND user_id = ?";
    add_suppression: "INSERT INTO {keyspace}.suppressions (tenant, part, kind, hash, body) VALUES (?, ?, ?, ?, ?)";
    suppression: "SELECT body FROM {keyspace}.suppressions WHERE tenant = ? AND part = ? AND kind = ? AND hash = ?";
    suppressions: "SELECT kind, hash, body FROM {keyspace}.suppressions WHERE tenant = ? AND part = ? AND (kind, hash) > (?, ?)";
    add_brake: "INSERT INTO {keyspace}.brakes (part, tenant, kind, name, effect, body) VALUES (?, ?, ?, ?, ?, ?)";
    brake_written: "SELECT WRITETIME(body) FROM {keyspace}.brakes WHERE part = ? AND tenant = ? AND kind = ? AND name = ? AND effect = ?";
    brakes: "SELECT tenant, kind, name, effect, body FROM {keyspace}.brakes WHERE part = ?";
    template_tenants: "SELECT tenant FROM {keyspace}.template_tenants WHERE part = ?";
    add_template_tenant: "INSERT INTO {keyspace}.template_tenants (part, tenant) VALUES (?, ?)";
    append_template_change: "INSERT INTO {leases}.template_changes (tenant, bucket, number, body) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    template_changes: "SELECT number, body FROM {leases}.template_changes WHERE tenant = ? AND bucket = ? AND number > ?";
    template_change: "SELECT body FROM {leases}.template_changes WHERE tenant = ? AND bucket = ? AND number = ?";
    put_template_body: "INSERT INTO {keyspace}.template_bodies (tenant, code, name, body) VALUES (?, ?, ?, ?)";
    template_body: "SELECT body FROM {keyspace}.template_bodies WHERE tenant = ? AND code = ? AND name = ?";
    definition_tenants: "SELECT tenant, number FROM {leases}.definition_tenants WHERE part = ?";
    definition_number: "SELECT number FROM {leases}.definition_tenants WHERE part = ? AND tenant = ?";
    first_definition_number: "INSERT INTO {leases}.definition_tenants (part, tenant, number) VALUES (?, ?, ?) IF NOT EXISTS";
    next_definition_number: "UPDATE {leases}.definition_tenants SET number = ? WHERE part = ? AND tenant = ? IF number = ?";
    definitions: "SELECT kind, name, version, body FROM {leases}.definitions WHERE tenant = ?";
    definition: "SELECT version, body FROM {leases}.definitions WHERE tenant = ? AND kind = ? AND name = ?";
    first_definition: "INSERT INTO {leases}.definitions (tenant, kind, name, version, body) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    next_definition: "UPDATE {leases}.definitions SET version = ?, body = ? WHERE tenant = ? AND kind = ? AND name = ? \
                      IF version = ?";
    put_keyed: "INSERT INTO {keyspace}.keyed_rows (kind, part, name, body) VALUES (?, ?, ?, ?) USING TTL ?";
    keyed: "SELECT body FROM {keyspace}.keyed_rows WHERE kind = ? AND part = ? AND name = ?";
    keyed_after: "SELECT name, body FROM {keyspace}.keyed_rows WHERE kind = ? AND part = ? AND name > ?";
    keyed_between: "SELECT name, body FROM {keyspace}.keyed_rows WHERE kind = ? AND part = ? AND name > ? AND name < ?";
    put_user_secret: "INSERT INTO {keyspace}.user_secrets (tenant, user_id, id, secret) VALUES (?, ?, ?, ?)";
    user_secrets: "SELECT id, secret FROM {keyspace}.user_secrets WHERE tenant = ? AND user_id = ?";
    first_installation_secret: "INSERT INTO {leases}.installation_secrets (name, secret) VALUES (?, ?) IF NOT EXISTS";
    installation_secret: "SELECT secret FROM {leases}.installation_secrets WHERE name = ?";
    beat: "INSERT INTO {keyspace}.node_beats (hour, node, beats, at, address) VALUES (?, ?, ?, ?, ?)";
    beats: "SELECT node, beats, at, address FROM {keyspace}.node_beats WHERE hour = ?";
}

impl Statements {
    pub(super) async fn prepare(session: &Session, keyspaces: &Keyspaces, is_local: bool) -> Result<Self, StoreError> {
        let mut statements = Self::prepare_all(session, keyspaces).await?;
        let Self { window, kind, whole, rows_of_block, spill, definitions, .. } = &mut statements;
        for read in [window, kind, whole, rows_of_block, spill, definitions] {
            read.set_page_size(LOG_PAGE);
        }
        let (read, write) = serial(is_local);
        statements.lease.set_consistency(read);
        statements.slots.set_consistency(read);
        // Of these only the answer to who appends must be agreed on: what is followed comes a moment later.
        statements.template_change.set_consistency(read);
        statements.definition.set_consistency(read);
        statements.definition_number.set_consistency(read);
        statements.installation_secret.set_consistency(read);
        let Self {
            first_lease, next_lease, take_slot, append_template_change, first_definition, next_definition, ..
        } = &mut statements;
        for swap in [first_lease, next_lease, take_slot, append_template_change, first_definition, next_definition] {
            set_swap(swap, write);
        }
        let Self { first_definition_number, next_definition_number, first_installation_secret, .. } = &mut statements;
        for swap in [first_definition_number, next_definition_number, first_installation_secret] {
            set_swap(swap, write);
        }
        Ok(statements)
    }
}

/// A statement that compares and sets.
fn set_swap(swap: &mut PreparedStatement, write: SerialConsistency) {
    // A second try would find what the first one left, and take it for another's.
    swap.set_is_idempotent(false);
    swap.set_serial_consistency(Some(write));
}

/// How leases and slots are read and written: by agreement of the replicas of this data center, or of all.
fn serial(is_local: bool) -> (Consistency, SerialConsistency) {
    if is_local {
        (Consistency::LocalSerial, SerialConsistency::LocalSerial)
    } else {
        (Consistency::Serial, SerialConsistency::Serial)
    }
}

async fn prepare(session: &Session, keyspaces: &Keyspaces, text: &str) -> Result<PreparedStatement, StoreError> {
    let text = keyspaces.fill(text);
    let mut statement = session.prepare(Statement::new(&*text)).await.map_err(|error| {
        StoreError::Unusable(format!(
            "the database does not take the statement `{text}` ({error}): may this user read and write the keyspace?"
        ))
    })?;
    statement.set_is_idempotent(true);
    statement.set_page_size(PAGE);
    Ok(statement)
}
