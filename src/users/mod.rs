//! The directory: what is known of users and of addresses, read and changed in one place.
//!
//! In: questions and changes, from the API and from what comes of sends. Out: users and suppressions as the store has them, and
//! announcements for whoever keeps copies. Promise: a change is announced before it is written, so that no copy anywhere is
//! believed for more than [`STALE_MAX`] after the change was answered:
//!
//! - Whoever hears of a change drops its copy, and for [`DISTRUST`] keeps none of what it reads of that key: the write may
//!   still be under way. A write that takes longer than [`WRITE_WAIT_MAX`] has failed.
//! - Whoever may not have heard all ([`Changes::is_current`] says no) uses no copy older than [`STALE_MAX`], and keeps none that
//!   was made then. Whoever has missed some ([`Listener::missed`]) drops all.
//! - Where a change cannot be announced it is not made.
//!
//! Whoever is written stands in the indexes as well, before the write ([`index`]).

mod changes;
mod consents;
mod copies;
mod directory;
mod followed;
pub mod index;

pub use changes::{ChangeKey, Changes, DISTRUST, Listener, LocalChanges, STALE_MAX};
pub use consents::{ConsentRecord, consent_part, consents_of, read_consent};
pub use copies::Copies;
pub(crate) use copies::Known;
pub use directory::{Directory, DirectoryError, WRITE_WAIT_MAX};
pub use followed::LogChanges;
pub use index::{DayAttributes, KnownChange};
