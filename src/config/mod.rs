//! Configuration: one TOML file over the compiled-in defaults, and the environment over both. Plain structs that are
//! passed to who needs them; nobody reads a global.
//!
//! In: `config/fanfare.toml` (compiled in), a file, and variables `FANFARE__SECTION__KEY`. Out: a [`Config`] whose values
//! fit together, warnings about what is legal but risky, and a text of all of it with the secrets hidden. Promise: a key
//! that nobody knows, or a value of the wrong kind, is an error that says where it stands.

mod sections;
mod planning;
mod values;
pub mod duration;
mod load;
mod environment;
mod providers;
mod tracking;
mod reader;
mod lines;
mod check;
mod explain;
mod roles;

pub use check::LEASE_ROOM;
pub use duration::parse as parse_duration;
pub(crate) use load::nearest;
pub use load::{ConfigError, DEFAULTS, Loaded, defaults, load, load_from};
pub(crate) use planning::quiet_hours;
pub use planning::{Calendar, Category, CategoryHours, Fatigue, FromName, Named, Planning, QuietHours, Routing};
pub use providers::{ChannelName, Day, LateReceipts, OutcomeRule, OutcomeWord, PlatformName, Provider, WarmUp};
pub use roles::Roles;
pub(crate) use sections::as_json;
pub use sections::{
    Aggregation, ApiKey, Archive, Attachments, Campaigns, Cluster, Compensation, Config, Coordination,
    CoordinationBackend, Cql, Dedup, Dispatch, EmbeddedLog, EmbeddedStore, Http, Intake, Kafka, Log, LogBackend,
    LogFormat, Promises, Realtime, Redis, Retention, Retry, Rules, Scope, Security, Store, StoreBackend, Telemetry,
    Templates, Users,
};
pub use tracking::{Machines, Tracking, TrackingTenant};
pub use values::{ByteSize, Secret};
