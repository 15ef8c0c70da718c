//! Builds and runs the engine: the only place that knows every stage and every backend.

mod clock;
mod shards;
mod supervisor;
mod engine;
mod homes;
mod events;
mod backends;
mod peers;
mod privacy;
mod operations;
mod adapters;
mod surface;
mod watch;
mod brakes;
mod takers;
mod credentials;
mod links;
mod live;
mod node;
mod programs;
mod schedules;
mod archive;
mod topics;
mod reach;
mod mail_domain;
mod schema;

#[cfg(test)]
mod tests;

pub use archive::archive;
pub use brakes::brake_names;
pub use clock::SystemClock;
pub use engine::{Engine, EngineParts};
pub use events::{EventsParts, events};
pub use homes::{HomesParts, RunningHomes};
pub use live::{Door as InboxAdapter, LiveSide, live, with_inbox};
pub use mail_domain::{Finding, Verdict, check_mail_domain};
pub use node::run;
pub use programs::{ProgramParts, Programs, SubjectFanOuts};
pub use reach::{reach, warnings};
pub use schedules::{SchedulesParts, schedules};
pub use schema::{apply_schema, print_schema};
pub use supervisor::Fatal;
pub use surface::{SurfaceParts, surface};
pub use takers::takers;
