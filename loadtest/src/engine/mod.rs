//! The engine as a client sees it: what is sent to it (`request`), what it answers (`accepted`), what its metrics say
//! (`metrics`), what its process costs (`process`). In: an address and a key. Out: figures. Nothing here knows
//! what a command wants to show.

mod request;
mod accepted;
mod metrics;
mod process;
mod poster;
mod child;
mod providers;

pub(crate) use accepted::notification;
pub(crate) use child::{EngineCommand, EngineProcess};
pub(crate) use metrics::{Buckets, Latencies, Quantile, delivery_latencies};
pub(crate) use poster::{Body, Outcome, Poster};
pub(crate) use process::{Resident, ResidentSampler, processor_time, resident_of};
pub(crate) use providers::{Account, NAME as PROVIDER, only as only_providers, target};
pub(crate) use request::{Due, Item, Merge, Options, Shape, Stamp};
