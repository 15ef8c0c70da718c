//! One file a resource: its handlers and the words of its JSON.

pub(super) mod notifications;
pub(super) mod batch;
pub(super) mod tasks;
pub(super) mod dead_letters;
pub(super) mod users;
pub(super) mod devices;
pub(super) mod preferences;
pub(super) mod subscriptions;
pub(super) mod suppressions;
pub(super) mod brakes;
pub(super) mod templates;
pub(super) mod topics;
pub(super) mod events;
pub(super) mod event_types;
pub(super) mod rules;
pub(super) mod schedules;
pub(super) mod definitions;
pub(super) mod import;
pub(super) mod inbox;
pub(super) mod live;
pub(super) mod lists;
pub(super) mod campaigns;
pub use campaigns::read_campaign;
pub use story::archived_line;
pub(super) mod me;
pub(super) mod accounting;
pub(super) mod sandbox;
pub(super) mod receipts;
pub(super) mod recipients;
pub(super) mod files;
pub(super) mod operations;
pub(super) mod docs;
pub(super) mod pages;

mod answer;
mod story;
