//! The sections of the configuration, one struct each. Every key stands with its meaning in `config/fanfare.toml`, which is
//! compiled in as the defaults; a struct here has no defaults of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::planning::{Calendar, Category, Fatigue, Planning, QuietHours, Routing};
use super::providers::Provider;
use super::tracking::Tracking;
use super::{ByteSize, Secret, duration};
use crate::domain::{DatedKept, Priority};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: Http,
    pub log: Log,
    pub store: Store,
    pub coordination: Coordination,
    pub cluster: Cluster,
    pub intake: Intake,
    pub planning: Planning,
    pub categories: Vec<Category>,
    pub quiet_hours: QuietHours,
    pub fatigue: Fatigue,
    #[serde(default)]
    pub calendars: Vec<Calendar>,
    pub routing: Routing,
    pub templates: Templates,
    pub users: Users,
    pub campaigns: Campaigns,
    pub rules: Rules,
    pub attachments: Attachments,
    pub dispatch: Dispatch,
    pub retry: Retry,
    pub dedup: Dedup,
    pub promises: Promises,
    pub archive: Archive,
    pub retention: Retention,
    pub aggregation: Aggregation,
    pub compensation: Compensation,
    pub security: Security,
    pub tracking: Tracking,
    pub realtime: Realtime,
    pub telemetry: Telemetry,
    #[serde(default)]
    pub providers: Vec<Provider>,
}

/// The API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    pub public_url: String,
    pub max_body: ByteSize,
    pub max_batch_body: ByteSize,
    /// The longest a client may take to send its request.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Requests being answered at once; more get 503.
    pub max_in_flight: usize,
    pub keys: Vec<ApiKey>,
}

/// A key of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub key: Secret,
    /// Who uses it, for the record of who did what; none: its place in the list.
    #[serde(default)]
    pub name: Option<String>,
    pub tenant: String,
    pub scopes: Vec<Scope>,
    /// Requests per second; none: unlimited.
    #[serde(default)]
    pub rate_per_second: Option<f64>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Send,
    Read,
    Admin,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub backend: LogBackend,
    pub partitions: u16,
    pub embedded: EmbeddedLog,
    pub kafka: Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogBackend {
    Embedded,
    Kafka,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedLog {
    /// Below this much free space on the disk, intake answers 503.
    pub min_free: ByteSize,
}

/// The log when it is Kafka.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    pub group: String,
    pub topic_prefix: String,
    /// Counts how often the topics were made anew; part of every id.
    pub generation: u8,
    /// Copies of each record, of topics that the engine creates.
    pub replication: u16,
    /// Settings of librdkafka by its names, laid over our own; may carry passwords.
    #[serde(default)]
    pub options: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub backend: StoreBackend,
    pub embedded: EmbeddedStore,
    pub cql: Cql,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreBackend {
    Embedded,
    Cql,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedStore {
    pub data_dir: PathBuf,
    /// The block cache.
    pub cache: ByteSize,
    /// All write buffers together.
    pub write_buffer: ByteSize,
    /// The longest that a write waits for others to share its fsync.
    #[serde(with = "duration")]
    pub group_commit: Duration,
}

/// The store when it is a CQL database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cql {
    /// `host:port` of some nodes; the others are found through them.
    pub nodes: Vec<String>,
    pub keyspace: String,
    /// The data center whose nodes are asked; none: any.
    pub datacenter: Option<String>,
    /// Copies of each row (per data center), when the keyspace is created.
    pub replication: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub tls: bool,
    /// A PEM file with the authorities to trust; none: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The longest that one statement may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordination {
    pub backend: CoordinationBackend,
    pub redis: Redis,
}

/// Coordination when it is Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// May carry a password.
    pub url: Secret,
    /// What every key starts with.
    pub prefix: String,
    /// The longest that one question may take; then this node decides alone.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoordinationBackend {
    Local,
    Redis,
}

/// Nodes that share the work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Where other nodes reach this one's API; none: at `http.listen`.
    pub advertise: Option<String>,
    /// How long a node that is not heard of keeps its shards.
    #[serde(with = "duration")]
    pub lease: Duration,
}

/// The way from the log to the store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Records planned and written together.
    pub batch_records: usize,
    pub batch_bytes: ByteSize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// A folder with a TOML file per template; empty: those that ship with the binary only.
    pub dir: Option<PathBuf>,
    /// The most one rendered part may hold.
    pub max_output: ByteSize,
    /// The language of messages for whom none is known, a language tag.
    pub locale: String,
    /// What every template sees where the data of the message has no such name.
    #[serde(default)]
    pub data: toml::Table,
}

impl Templates {
    /// [`Templates::data`] as JSON has it. What TOML has and JSON has not (dates) is a text.
    pub fn usual_data(&self) -> serde_json::Map<String, serde_json::Value> {
        let fields = self.data.iter().map(|(name, value)| (name.clone(), as_json(value)));
        fields.collect()
    }
}

/// The value as JSON has it. What TOML has and JSON has not (dates) is a text.
pub(crate) fn as_json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(is_true) => (*is_true).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(as_json).collect(),
        toml::Value::Table(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), as_json(value))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}

/// Where notifications go that are past their age.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// `folder:` and a path, or `s3://` and a bucket with what stands before each name; none: nothing is archived.
    #[serde(default)]
    pub to: Option<String>,
    /// Of a bucket, where it is not Amazon's: the address of its service.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub region: String,
    #[serde(default)]
    pub access_key_id: Option<String>,
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The bucket stands in the path and not in the name of the host.
    pub path_style: bool,
}

/// How long what is over is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Of notifications; `None`: for ever.
    #[serde(with = "duration::or_off")]
    pub notifications: Option<Duration>,
    /// Of entries of inboxes.
    #[serde(with = "duration")]
    pub inbox: Duration,
    /// Of lines of the audit log.
    #[serde(with = "duration")]
    pub audit: Duration,
}

impl Retention {
    /// What is kept by its date.
    pub fn dated(&self) -> DatedKept {
        DatedKept { inbox: self.inbox, audit: self.audit }
    }
}

/// What is known of users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Names of attributes, with a `*` at their beginning or end: those that hold a time or a date are found by their day.
    pub day_attributes: Vec<String>,
}

/// One message to many people.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaigns {
    /// How long what is known of one is kept after it was over.
    #[serde(with = "duration")]
    pub kept_for: Duration,
}

/// Event types and rules that stand in files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// A folder with TOML or JSON files; empty: those that ship with the binary only.
    pub dir: Option<PathBuf>,
}

/// Files that go with mails, which are fetched when they are sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachments {
    /// The most that those of one mail may have together.
    pub max_size: ByteSize,
    /// For those of mails under way, and those kept for the next mail with the same; of each class.
    pub memory: ByteSize,
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// Lanes and senders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Tasks held ready in memory (about 40 bytes each); above, the lower lanes' intake pauses.
    pub backlog_max: usize,
    /// Memory for the contents of ready tasks; those above it are read from the store again when their turn comes.
    pub payload_cache: ByteSize,
    /// The share of each provider's slots that only critical tasks may use.
    pub critical_share: f64,
    /// Turns of high, normal and low for each other.
    pub weights: [u32; 3],
    /// A task that has waited this long counts as one lane higher.
    #[serde(with = "duration")]
    pub ageing: Duration,
    /// Failures in a row that open a breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one probe through.
    #[serde(with = "duration")]
    pub breaker_pause: Duration,
    /// Slots that one webhook endpoint may hold of a provider's.
    pub endpoint_in_flight: usize,
    /// How long SIGTERM waits for sends in flight.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    #[serde(with = "duration::list")]
    pub delays: Vec<Duration>,
    /// The share of a delay by which it varies, up and down.
    pub jitter: f64,
}

/// Within how long a message of each priority is with its provider.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promises {
    #[serde(with = "duration")]
    pub critical: Duration,
    #[serde(with = "duration")]
    pub high: Duration,
    #[serde(with = "duration")]
    pub normal: Duration,
    #[serde(with = "duration")]
    pub low: Duration,
}

impl Promises {
    pub fn of(&self, priority: Priority) -> Duration {
        match priority {
            Priority::Critical => self.critical,
            Priority::High => self.high,
            Priority::Normal => self.normal,
            Priority::Low => self.low,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    #[serde(with = "duration")]
    pub window: Duration,
    /// How long an `Idempotency-Key` answers the same.
    #[serde(with = "duration")]
    pub idempotency: Duration,
}

/// Merging of bursts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    /// From the first on, of requests that say none.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How many actors and items a message is told.
    pub shown_items: usize,
    /// As many close a group early; none: no bound.
    #[serde(default)]
    pub max_items: Option<u32>,
    /// At which hour, 0 to 23, digests go to users who did not choose one.
    pub digest_hour: u8,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    #[serde(with = "duration")]
    pub interval: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    pub allow_private_addresses: bool,
    /// What links in messages are signed with; none: a file beside the embedded store has one.
    #[serde(default)]
    pub link_secret: Option<Secret>,
    /// What they were signed with before; such links are still taken.
    #[serde(default)]
    pub old_link_secrets: Vec<Secret>,
}

/// Connections of users' programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realtime {
    /// Origins whose pages may connect and call with a user's token, besides our own; `*`: any.
    pub allowed_origins: Vec<String>,
    pub max_connections: usize,
    pub max_connections_per_user: usize,
    /// How often a silent connection is asked whether it is there.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// The largest message of a program.
    pub max_message: ByteSize,
    /// Messages that a program may say in a second.
    pub messages_per_second: u32,
    /// Calls with a token that a user's programs may make in a second, to one node; connects are calls.
    pub calls_per_second: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// A filter as `info` or `fanfare=debug,warn`.
    pub log_filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}
