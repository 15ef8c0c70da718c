//! The store in a CQL database: ScyllaDB, or Apache Cassandra, shared by all nodes.
//!
//! Rows are packed as in the embedded store, since a row costs both databases more than its bytes. What the tables are stands in
//! `schema/`, why in docs/decisions/0012-rows-in-cql.md. In short:
//!
//! - Every row but those of users and templates is written once and expires; nothing is deleted, so no read wades through tombstones
//!   (what the archive takes away is written over by what remains: see [`drops`]). Only the books and cursors of
//!   a shard, a claim's holder, and what is known of users are written over, by the later cell.
//! - Every statement names a whole partition key, may be sent twice, and is sent again a few times before its operation fails. Only
//!   leases, the log of templates and definitions are changed by compare-and-set.
//! - A batch is written table by table in the order of its fields. After a crash it may be there in part, and is written again by
//!   whoever plans or settles again; what the books miss of it is found by who takes the shard over (see [`recount`]).

mod books;
mod budgets;
mod connect;
mod counted;
mod leases;
mod marks;
mod groups;
mod lifetimes;
mod lists;
mod numbers;
mod read;
mod received;
mod recount;
mod rows;
mod runner;
mod secrets;
mod schema;
mod spill;
mod statements;
mod timers;
mod users;
mod brakes;
mod templates;
mod definitions;
mod keyed;
mod drops;
mod write;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::Place;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::config::Cql;
use crate::domain::DatedKept;
use crate::store::StoreError;
use books::ShardBooks;
use marks::KnownMarks;
use numbers::Numbers;
use runner::Runner;
use schema::Keyspaces;
use statements::Statements;
use timers::KnownBuckets;

/// The longest that one change of the schema may take.
const SCHEMA_WAIT_MAX: Duration = Duration::from_secs(60);

/// The store in a CQL database.
pub struct CqlStore {
    runner: Runner,
    statements: Statements,
    clock: SharedClock,
    numbers: Arc<Numbers>,
    books: ShardBooks,
    known_buckets: KnownBuckets,
    /// How long rows with a date are kept, where it was said.
    kept: OnceLock<DatedKept>,
    known_marks: KnownMarks,
}

impl CqlStore {
    /// Connects, and refuses a database whose schema is not that of this binary; never changes it.
    pub async fn open(settings: &Cql, clock: SharedClock) -> Result<Arc<Self>, StoreError> {
        let numbers = Numbers::new(clock.clone())?;
        let session = connect::connect(settings, &numbers).await?;
        let keyspaces = Keyspaces::new(settings);
        schema::check(&session, &keyspaces).await?;
        let statements = Statements::prepare(&session, &keyspaces, settings.datacenter.is_some()).await?;
        Ok(Arc::new(Self {
            runner: Runner::new(session, clock.clone()),
            statements,
            clock,
            numbers,
            books: ShardBooks::default(),
            known_buckets: KnownBuckets::default(),
            kept: OnceLock::new(),
            known_marks: KnownMarks::default(),
        }))
    }

    /// Says how long rows with a date are kept, from the next that is written on. Once: what is said later is ignored.
    pub fn keep(&self, kept: DatedKept) {
        _ = self.kept.set(kept);
    }

    fn kept(&self) -> DatedKept {
        self.kept.get().copied().unwrap_or_default()
    }

    /// Connects and looks whether everything is as it must be; says which database it is.
    pub async fn check(settings: &Cql, clock: SharedClock) -> Result<String, StoreError> {
        let session = connect::connect(settings, &Numbers::new(clock)?).await?;
        let database = schema::database(&session).await?;
        schema::check(&session, &Keyspaces::new(settings)).await?;
        Ok(database.to_string())
    }
}

/// Creates the keyspaces and tables that are not there yet; says which steps were applied. May run in several processes at once.
pub async fn apply_schema(settings: &Cql, clock: SharedClock) -> Result<Vec<&'static str>, StoreError> {
    let session = connect::connect(settings, &Numbers::new(clock)?).await?;
    schema::apply(&session, settings).await
}

/// What [`apply_schema`] does, as CQL.
pub fn print_schema(settings: &Cql) -> String {
    schema::print(settings)
}
