//! Dispatch: ready tasks reach providers.
//!
//! In: [`Ready`] handles from planning, timers and the sweep. Out: [`crate::outcomes::Answer`]s. Promise: critical tasks
//! have slots, lanes, providers and a runtime of their own; the other lanes share by weight, and none starves; a provider
//! is never given more at once, or per second, than it was configured for; what cannot go now waits, and is never dropped.
//!
//! A [`Channel`](channel::ChannelActor) actor owns the lanes and the slots of one channel and class, and hands jobs to its
//! sender actors, which carry them out and report back. Where no provider serves a channel, [`UnservedActor`] ends its tasks.
//! Everything here may be lost in a crash: the store and [`crate::ownership`] know what was in hand.

mod ready;
mod backlog;
mod lanes;
mod aside;
mod breaker;
mod adaptive;
mod warm_up;
mod refusals;
mod slots;
mod sharing;
mod late;
mod watch;
mod endpoints;
mod channel;
mod unserved;
mod groups;
mod load;
mod take_up;
mod promises;
mod stopped;
mod tracking;
mod sender;
mod metrics;

#[cfg(feature = "simulation")]
pub mod broken;
#[cfg(not(feature = "simulation"))]
mod broken;

pub use backlog::{Backlog, PayloadBudget};
pub use channel::{ChannelActor, ChannelArguments, ChannelMessage};
pub use ready::{Class, DispatchHandle, Payload, Ready, Room};
pub use sender::SenderContext;
pub use slots::ProviderLimits;
pub use tracking::{Tracked, Tracking};
pub use unserved::UnservedActor;
pub use watch::{WatchActor, WatchArguments, WatchedProvider};
