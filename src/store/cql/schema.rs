//! The schema: numbered steps, compiled in, and a table in the keyspace that says which of them were applied.
//!
//! Steps are only ever added, and each is written so that applying it twice does nothing. The engine applies none itself: a
//! change of the schema is an operator's decision, made once for all nodes.

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::Statement;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Cql;
use crate::store::StoreError;

/// One file of `schema/`.
pub(super) struct Step {
    number: i32,
    name: &'static str,
    text: &'static str,
}

macro_rules! steps {
    ($($number:literal $name:literal)*) => {
        &[$(Step {
            number: $number,
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/", $name, ".cql")),
        }),*]
    };
}

pub(super) const STEPS: &[Step] = steps! {
    1 "0001_task_log"
    2 "0002_timers"
    3 "0003_timer_buckets"
    4 "0004_claims"
    5 "0005_history"
    6 "0006_dead_letters"
    7 "0007_shard_state"
    8 "0008_leases"
    9 "0009_node_beats"
    10 "0010_spill"
    11 "0011_spill_shards"
    12 "0012_spill_slots"
    13 "0013_users"
    14 "0014_suppressions"
    15 "0015_received"
    16 "0016_budgets"
    17 "0017_brakes"
    18 "0018_groups"
    19 "0019_template_changes"
    20 "0020_template_bodies"
    21 "0021_template_tenants"
    22 "0022_definitions"
    23 "0023_definition_tenants"
    24 "0024_keyed_rows"
    25 "0025_user_secrets"
    26 "0026_installation_secrets"
};

/// What must be there before the first step: where steps are noted. One partition, so that it is read by its key.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS {keyspace}.schema_versions (
    program text,
    step int,
    name text,
    hash bigint,
    PRIMARY KEY (program, step)
)";
const APPLIED: &str = "SELECT step, hash FROM {keyspace}.schema_versions WHERE program = 'fanfare'";
const NOTE: &str = "INSERT INTO {keyspace}.schema_versions (program, step, name, hash) VALUES ('fanfare', ?, ?, ?)";

/// The names that stand in the statements' places. Leases have a keyspace of their own.
pub(super) struct Keyspaces {
    main: String,
    leases: String,
    /// What only one of the databases knows, for tables that rows leave by expiry alone.
    ttl_only: &'static str,
}

impl Keyspaces {
    pub(super) fn new(settings: &Cql) -> Self {
        // In lower case as the database has names without quotes.
        let main = settings.keyspace.to_lowercase();
        Self { leases: format!("{main}_leases"), main, ttl_only: "" }
    }

    pub(super) fn names(&self) -> [&str; 2] {
        [&self.main, &self.leases]
    }

    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("{keyspace}", &self.main).replace("{leases}", &self.leases).replace("{ttl_only}", self.ttl_only)
    }
}

/// Which database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database {
    version: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cassandra,
    Scylla { has_tablets: bool },
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.kind == Kind::Cassandra { "Apache Cassandra" } else { "ScyllaDB" };
        write!(f, "{name} {}", self.version)
    }
}

pub(super) async fn database(session: &Session) -> Result<Database, StoreError> {
    // Both are asked of the node itself, and both databases have them; only one has the tables.
    let has = async |table: &str| -> Result<bool, StoreError> {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = ?";
        Ok(!rows::<(String,)>(session, text, (table,)).await?.is_empty())
    };
    let is_scylla = has("versions").await?;
    let text = if is_scylla {
        "SELECT version FROM system.versions WHERE key = 'local'"
    } else {
        "SELECT release_version FROM system.local WHERE key = 'local'"
    };
    let version = rows::<(String,)>(session, text, ()).await?.pop().map_or_else(String::new, |(version,)| version);
    let kind = if is_scylla { Kind::Scylla { has_tablets: has("tablets").await? } } else { Kind::Cassandra };
    Ok(Database { version, kind })
}

/// Refuses a keyspace that is not as this binary knows it, and says what to do.
pub(super) async fn check(session: &Session, keyspaces: &Keyspaces) -> Result<(), StoreError> {
    let refused = |sentence: String| Err(StoreError::Unusable(sentence));
    let keyspace = &keyspaces.main;
    if !exists(session, "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", (keyspace,))
        .await?
    {
        return refused(format!("the keyspace `{keyspace}` does not exist: run `fanfare schema apply`"));
    }
    let applied = applied(session, keyspaces).await?;
    check_known(keyspaces, &applied)?;
    if let Some(step) = STEPS.iter().find(|known| applied.iter().all(|(step, _)| known.number != *step)) {
        return refused(format!(
            "the schema of the keyspace `{keyspace}` is older than this binary (step {} is missing): run `fanfare schema apply`",
            step.name
        ));
    }
    check_texts(keyspaces, &applied)
}

/// A step that this binary does not know was applied by a newer one.
fn check_known(keyspaces: &Keyspaces, applied: &[(i32, i64)]) -> Result<(), StoreError> {
    match applied.iter().find(|(step, _)| STEPS.iter().all(|known| known.number != *step)) {
        None => Ok(()),
        Some((step, _)) => Err(StoreError::Unusable(format!(
            "this binary is older than the schema of the keyspace `{}` (it knows {} steps, and step {step} was applied): run the \
             newer `fanfare` that applied it",
            keyspaces.main,
            STEPS.len()
        ))),
    }
}

/// A step that was applied with another text made another table.
fn check_texts(keyspaces: &Keyspaces, applied: &[(i32, i64)]) -> Result<(), StoreError> {
    let differs = |step: &&Step| applied.iter().any(|(number, hash)| *number == step.number && *hash != step.hash());
    match STEPS.iter().find(differs) {
        None => Ok(()),
        Some(step) => Err(StoreError::Unusable(format!(
            "step {} of the schema of the keyspace `{}` was applied with another text than this binary has: another build \
             made it; run that build, or use another keyspace",
            step.name, keyspaces.main
        ))),
    }
}

impl Step {
    fn hash(&self) -> i64 {
        xxh3_64(self.text.as_bytes()) as i64
    }

    /// Without comments and the closing semicolon, as the database takes it.
    pub(super) fn statement(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("--"));
        lines.collect::<Vec<_>>().join("\n").trim().trim_end_matches(';').to_owned()
    }
}

/// The steps that were applied, with the hashes of their texts.
async fn applied(session: &Session, keyspaces: &Keyspaces) -> Result<Vec<(i32, i64)>, StoreError> {
    let table =
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_versions'";
    if !exists(session, table, (&keyspaces.main,)).await? {
        return Ok(Vec::new());
    }
    rows(session, &keyspaces.fill(APPLIED), ()).await
}

/// All statements of the schema for these settings, as one text.
pub(super) fn print(settings: &Cql) -> String {
    let keyspaces = Keyspaces::new(settings);
    let mut texts = vec![
        "-- What `fanfare schema apply` does on Apache Cassandra. On ScyllaDB it adds that the second keyspace has no tablets,\n\
         -- and that expired rows may be forgotten without a repair."
            .to_owned(),
    ];
    texts.extend(create_keyspaces(settings, &keyspaces, Kind::Cassandra).iter().map(|text| format!("{text};")));
    texts.push(format!("{};", keyspaces.fill(VERSIONS)));
    texts.extend(STEPS.iter().map(|step| keyspaces.fill(step.text).trim_end().to_owned()));
    texts.join("\n\n") + "\n"
}

fn create_keyspaces(settings: &Cql, keyspaces: &Keyspaces, kind: Kind) -> [String; 2] {
    let create = |keyspace: &str, options: &str| {
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', \
             'replication_factor': {}}}{options}",
            settings.replication
        )
    };
    // Lightweight transactions came late to tablets.
    let no_tablets = match kind {
        Kind::Scylla { has_tablets: true } => " AND tablets = {'enabled': false}",
        _ => "",
    };
    [create(&keyspaces.main, ""), create(&keyspaces.leases, no_tablets)]
}

/// Applies what is missing; says which steps. All changes go to one and the same node, which does them one after the other: two
/// nodes that create the same table at once would create two.
pub(super) async fn apply(session: &Session, settings: &Cql) -> Result<Vec<&'static str>, StoreError> {
    let database = database(session).await?;
    let mut keyspaces = Keyspaces::new(settings);
    if database.kind != Kind::Cassandra {
        // The default on tablets waits for a repair, and is meant for tables with deletes.
        keyspaces.ttl_only = "\n    AND tombstone_gc = {'mode': 'timeout'}";
    }
    for text in create_keyspaces(settings, &keyspaces, database.kind) {
        change(session, text).await?;
    }
    change(session, keyspaces.fill(VERSIONS)).await?;
    let before = applied(session, &keyspaces).await?;
    check_known(&keyspaces, &before)?;
    check_texts(&keyspaces, &before)?;
    let mut done = Vec::new();
    for step in STEPS.iter().filter(|step| before.iter().all(|(number, _)| *number != step.number)) {
        change(session, keyspaces.fill(&step.statement())).await?;
        note(session, &keyspaces, step).await?;
        done.push(step.name);
    }
    Ok(done)
}

async fn change(session: &Session, text: String) -> Result<(), StoreError> {
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info().iter().filter(|node| node.is_connected());
    let mut statement = Statement::new(text);
    if let Some(first) = nodes.min_by_key(|node| node.host_id) {
        let target = NodeIdentifier::HostId(first.host_id);
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(target, None)));
    }
    // Made on a busy machine: creating a table may take longer than any other statement.
    statement.set_request_timeout(Some(super::SCHEMA_WAIT_MAX));
    // The driver waits until all nodes agree.
    let changed = session.query_unpaged(statement, ()).await;
    changed.map_err(|error| match error {
        ExecutionError::SchemaAgreementError(error) => StoreError::Failed(format!(
            "the nodes of the database do not agree on the schema ({error}): are all of them up? Then run \
             `fanfare schema apply` again"
        )),
        error => StoreError::Failed(format!("the database did not change the schema: {error}")),
    })?;
    Ok(())
}

async fn note(session: &Session, keyspaces: &Keyspaces, step: &Step) -> Result<(), StoreError> {
    let mut statement = Statement::new(keyspaces.fill(NOTE));
    statement.set_is_idempotent(true);
    let noted = session.query_unpaged(statement, (step.number, step.name, step.hash())).await;
    noted
        .map(drop)
        .map_err(|error| StoreError::Failed(format!("the database did not note a step of the schema: {error}")))
}

async fn exists(
    session: &Session,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<bool, StoreError> {
    Ok(!rows::<(String,)>(session, text, values).await?.is_empty())
}

async fn rows<R>(
    session: &Session,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, StoreError>
where
    R: for<'row> scylla::deserialize::row::DeserializeRow<'row, 'row>,
{
    let failed = |error: &dyn std::error::Error| {
        StoreError::Failed(format!("the database did not say what its schema is: {error}"))
    };
    let result = session.query_unpaged(text, values).await.map_err(|error| failed(&error))?;
    let rows = result.into_rows_result().map_err(|error| failed(&error))?;
    let rows = rows.rows::<R>().map_err(|error| failed(&error))?.collect::<Result<Vec<R>, _>>();
    rows.map_err(|error| failed(&error))
}
