//! The schema, and what a database says that cannot be used.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;

use super::super::schema::{Keyspaces, STEPS};
use super::{Place, afternoon};
use crate::config::Cql;
use crate::store::{CqlStore, apply_schema, print_schema};

async fn session(settings: &Cql) -> Session {
    let builder = SessionBuilder::new().known_nodes(&settings.nodes).fetch_schema_metadata(false);
    builder.build().await.expect("connected")
}

pub(super) async fn drop_keyspaces(settings: &Cql) {
    let session = session(settings).await;
    for keyspace in ["{keyspace}", "{leases}"] {
        let text = Keyspaces::new(settings).fill(&format!("DROP KEYSPACE IF EXISTS {keyspace}"));
        let _ = session.query_unpaged(text, ()).await;
    }
}

async fn change(place: &Place, text: &str) {
    let mut statement = Statement::new(Keyspaces::new(&place.settings).fill(text));
    // By the clock of the test, or it would be earlier than what is changed.
    statement.set_timestamp(Some(place.clock.now().millis() as i64 * 1000));
    session(&place.settings).await.query_unpaged(statement, ()).await.expect("changed");
}

/// What opening says, which is also what `fanfare check` says.
async fn refusal(place: &Place) -> String {
    let checked = CqlStore::check(&place.settings, place.clock.clone()).await.expect_err("refused").to_string();
    let opened = CqlStore::open(&place.settings, place.clock.clone()).await.err().expect("refused").to_string();
    assert_eq!(opened, checked);
    opened
}

#[tokio::test]
async fn the_schema_is_applied_once_even_by_two_at_once() {
    let Some(place) = Place::without_tables() else { return };
    let refused = refusal(&place).await;
    assert!(refused.contains("does not exist: run `fanfare schema apply`"), "{refused}");
    let (one, other) =
        tokio::join!(apply_schema(&place.settings, afternoon()), apply_schema(&place.settings, afternoon()));
    assert_eq!(one.expect("applied").len().max(other.expect("applied").len()), STEPS.len());
    assert!(apply_schema(&place.settings, afternoon()).await.expect("applied").is_empty());
    let database = CqlStore::check(&place.settings, afternoon()).await.expect("it is as it must be");
    assert!(database.contains("Cassandra ") || database.contains("ScyllaDB "), "{database}");
}

#[tokio::test]
async fn a_schema_that_is_not_this_binarys_is_refused_with_what_to_do() {
    let Some(place) = Place::new().await else { return };
    let note =
        "INSERT INTO {keyspace}.schema_versions (program, step, name, hash) VALUES ('fanfare', 99, '0099_later', 1)";
    change(&place, note).await;
    let newer = refusal(&place).await;
    assert!(newer.contains("this binary is older than the schema") && newer.contains("step 99"), "{newer}");
    let applied =
        apply_schema(&place.settings, place.clock.clone()).await.expect_err("it would leave things as they are");
    assert_eq!(applied.to_string(), newer);
    change(&place, "DELETE FROM {keyspace}.schema_versions WHERE program = 'fanfare' AND step IN (9, 99)").await;
    let older = refusal(&place).await;
    assert!(older.contains("0009_node_beats is missing") && older.contains("`fanfare schema apply`"), "{older}");
    assert_eq!(apply_schema(&place.settings, place.clock.clone()).await.expect("applied"), ["0009_node_beats"]);
    change(&place, "UPDATE {keyspace}.schema_versions SET hash = 5 WHERE program = 'fanfare' AND step = 2").await;
    let other = refusal(&place).await;
    assert!(other.contains("0002_timers") && other.contains("another build"), "{other}");
    let applied = apply_schema(&place.settings, afternoon()).await.expect_err("refused").to_string();
    assert_eq!(applied, other);
}

#[tokio::test]
async fn a_data_center_that_does_not_exist_is_refused() {
    let Some(mut place) = Place::new().await else { return };
    place.settings.datacenter = Some("mars".to_owned());
    let refused = refusal(&place).await;
    assert!(refused.contains("no data center `mars` but datacenter1: check `store.cql.datacenter`"), "{refused}");
}

#[test]
fn the_printed_schema_has_every_step_and_no_placeholder() {
    let text = print_schema(&super::settings("127.0.0.1:9042", "Some_Name"));
    assert!(!text.contains("{keyspace}") && !text.contains("{leases}") && !text.contains("{ttl_only}"), "{text}");
    for table in ["some_name.schema_versions", "some_name.task_log", "some_name_leases.leases", "some_name.node_beats"]
    {
        assert!(text.contains(table), "{table}");
    }
}
