//! Configuration: one TOML file over the compiled-in defaults, and the environment over both. Plain structs that are
//! passed to who needs them; nobody reads a global.

mod duration;
mod sections;
mod values;

pub use sections::{
    ApiKey, ChannelName, Compensation, Config, Coordination, CoordinationBackend, Dedup, Dispatch, EmbeddedLog,
    EmbeddedStore, Http, Intake, Log, LogBackend, LogFormat, Provider, Retry, Scope, Security, Store, StoreBackend,
    Telemetry, Templates,
};
pub use values::{ByteSize, Secret};
