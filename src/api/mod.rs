//! The HTTP API.
//!
//! In: HTTP requests under a key. Out: what was accepted, once it is durable; what is held of it; problems as RFC 9457 has
//! them. Promise: every request ends in a bounded time, memory and number; nothing is answered 202 that can be lost; and no
//! key sees another tenant's things.

mod operations;
mod ports;
mod routes;
mod state;
mod around;
mod audit;
mod serve;
mod auth;
mod rate;
mod body;
mod cross_origin;
mod retry_key;
mod fresh;
mod paging;
mod precondition;
mod problem;
mod profile;
mod resources;

pub use operations::{Cancelled, OperationError, Operations, Replayed};
pub use ports::{DryRun, DryRunReport, DryRunTask, SandboxMessage, SandboxMessages};
pub use resources::{archived_line, read_campaign};
pub use routes::router;
pub use serve::serve;
pub use state::ApiParts;

#[cfg(test)]
mod tests;
