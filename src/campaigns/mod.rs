//! Campaigns: one message to many people, made into requests a chunk at a time, in step with what can be sent.
//!
//! In: a [`Campaign`], from the API, from an event about a subject, or from a schedule; it is a row before it is answered. Out: requests,
//! at the one door, each with a retry key of campaign and member. Promise: each member gets one notification, however often its node
//! dies; a campaign that is larger does not delay one that is smaller; what is counted of it is what became of its messages.

mod rows;
mod desk;
mod members;
mod lists;
mod making;
mod runner;

pub use desk::{Begun, Campaigns, Known, OPEN_MAX};
pub use lists::{
    CsvError, CsvMembers, CsvRow, LIST_SPREADS, ListMember, Lists, Removal, SavedList, Upload, list_id, list_part,
    list_spread, read_member,
};
pub use members::{Member, MemberPage, Members, StoreMembers};
pub use runner::{CampaignWork, RunnerParts};
