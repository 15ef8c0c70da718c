//! The connection to the database: settings, and what is wrong where it cannot be had. Once it is there the driver keeps it:
//! it connects again by itself, and follows nodes that come and go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslVerifyMode};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError, NewSessionError,
};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::Consistency;

use super::numbers::{CellTimes, Numbers};
use super::schema::Keyspaces;
use crate::config::Cql;
use crate::store::StoreError;

/// The longest until the first node answers, with all that is asked of it.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(20);
/// The longest for one connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection that is silent for this long is asked for a sign of life, and given up when none comes.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// All nodes must know a change of the schema within this time.
const AGREEMENT_WAIT_MAX: Duration = Duration::from_secs(60);

const AGREEMENT_LOOK: Duration = Duration::from_millis(50);

/// Connects; a failure says whether nobody answers, or who asks is not let in.
pub(super) async fn connect(settings: &Cql, numbers: &Arc<Numbers>) -> Result<Session, StoreError> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    let mut consistency = Consistency::Quorum;
    if let Some(datacenter) = &settings.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
        consistency = Consistency::LocalQuorum;
    }
    let profile = ExecutionProfile::builder()
        .request_timeout(Some(settings.timeout))
        .consistency(consistency)
        .load_balancing_policy(policy.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .pool_size(PoolSize::default())
        .connection_timeout(CONNECTION_WAIT_MAX)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .schema_agreement_timeout(AGREEMENT_WAIT_MAX)
        .schema_agreement_interval(AGREEMENT_LOOK)
        // Where replicas are is read of our keyspaces only, and not after each change of the schema.
        .keyspaces_to_fetch(Keyspaces::new(settings).names())
        .refresh_metadata_on_auto_schema_agreement(false)
        .timestamp_generator(Arc::new(CellTimes(numbers.clone())))
        .default_execution_profile_handle(profile.into_handle());
    if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
        builder = builder.user(username, password.expose());
    }
    if settings.tls {
        let context = tls(settings.tls_ca.as_deref())
            .map_err(|error| StoreError::Unusable(format!("cannot set up TLS for the database: {error}")))?;
        builder = builder.tls_context(Some(context));
    }
    let nodes = settings.nodes.join(", ");
    let connecting = tokio::time::timeout(CONNECT_WAIT_MAX, builder.build()).await;
    let session = connecting
        .map_err(|_| unreachable(&nodes, &format!("no answer within {CONNECT_WAIT_MAX:?}")))?
        .map_err(|error| explain(&nodes, &error))?;
    check_datacenter(&session, settings)?;
    Ok(session)
}

/// TLS through OpenSSL, which librdkafka brings along already: the driver's other way brings a third crypto library. Who answers
/// must show a certificate of an authority that is trusted: of the file, or else of the system.
fn tls(authorities: Option<&Path>) -> Result<SslContext, String> {
    let mut context = SslContextBuilder::new(SslMethod::tls_client()).map_err(|error| error.to_string())?;
    context.set_verify(SslVerifyMode::PEER);
    match authorities {
        Some(path) => context
            .set_ca_file(path)
            .map_err(|error| format!("cannot use the PEM file `{}` of `store.cql.tls_ca`: {error}", path.display()))?,
        None => context.set_default_verify_paths().map_err(|error| error.to_string())?,
    }
    Ok(context.build())
}

fn unreachable(nodes: &str, reason: &str) -> StoreError {
    StoreError::Unusable(format!(
        "cannot reach the database at `{nodes}` ({reason}): is it up, and are `store.cql.nodes` and `store.cql.tls` right?"
    ))
}

fn explain(nodes: &str, error: &NewSessionError) -> StoreError {
    use ConnectionSetupRequestErrorKind::{DbError as Refused, MissingAuthentication};
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: ConnectionError::ConnectionSetupRequestError(setup),
    })) = error
    else {
        return unreachable(nodes, &error.to_string());
    };
    match setup.get_error() {
        MissingAuthentication => StoreError::Unusable(format!(
            "the database at `{nodes}` asks for a user: give `store.cql.username` and `store.cql.password`"
        )),
        Refused(DbError::AuthenticationError, _) => StoreError::Unusable(format!(
            "the database at `{nodes}` refuses the user: check `store.cql.username` and `store.cql.password`"
        )),
        other => unreachable(nodes, &other.to_string()),
    }
}

/// Where the data center does not exist, every statement would fail and not say why.
fn check_datacenter(session: &Session, settings: &Cql) -> Result<(), StoreError> {
    let Some(wanted) = &settings.datacenter else { return Ok(()) };
    let state = session.get_cluster_state();
    let mut found: Vec<&str> = state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    found.sort_unstable();
    found.dedup();
    if found.contains(&wanted.as_str()) {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "the database has no data center `{wanted}` but {}: check `store.cql.datacenter`",
        found.join(", ")
    )))
}
