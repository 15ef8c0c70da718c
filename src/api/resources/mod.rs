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
pub(super) mod lists;
pub(super) mod campaigns;
pub use campaigns::read_campaign;
pub(super) mod accounting;
pub(super) mod sandbox;
pub(super) mod receipts;
pub(super) mod unsubscribe;
pub(super) mod operations;
pub(super) mod docs;

mod answer;
mod story;
