//! Outcomes: a provider's answer becomes events, a timer or a dead letter.
//!
//! In: [`Answer`]s from the senders. Out: rows in the store; then tasks that go on (a retry to the timers, the next channel of
//! a fallback to dispatch); and, on a log that others read, every event ([`Deliveries`]). Promise: an answer is durable before its task is let go; what is in doubt is a state of its own;
//! an answer that cannot be written is kept and tried again, and the senders wait meanwhile; what providers and readers
//! tell later ([`ReceiptDesk`]) is durable before they are answered.

mod answer;
mod retry;
mod settle;
mod settler;
mod graves;
mod dead_addresses;
mod receipts;
mod together;
mod tracking;
mod deliveries;
mod finish;
mod cancel;
mod leave;
mod replay;
mod metrics;

pub use answer::{Answer, AnswerKind};
pub use cancel::{Cancellation, Cancellations};
pub use dead_addresses::DeadAddresses;
pub use deliveries::{Deliveries, DeliveriesActor, DeliveriesArguments, TellOthers};
pub use receipts::{
    Early, Noted, Occasion, OccasionFate, OccasionNoted, ReceiptDesk, ReceiptDeskParts, ReceiptSource, ReceiptsError,
    occasion,
};
pub use replay::{ReadAgain, ReadAgainAnswer, Replay, Replays};
pub use retry::{RetryPolicy, throttle_pause};
pub use settler::{SettlerActor, SettlerArguments, SettlerHandle};
pub use together::{NoAnswer, Together};
pub use tracking::{Tracker, Visit};
