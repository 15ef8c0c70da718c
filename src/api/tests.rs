//! The API through its router, over a log, a store and an engine in memory.

mod world;
mod accepting;
mod analytics;
mod bad_input;
mod brakes;
mod campaigns;
mod templates;
mod topics;
mod tracking;
mod definitions;
mod schedules;
mod events;
mod keys;
mod reading;
mod dead_letters;
mod users;
mod devices;
mod preferences;
mod privacy;
mod recipients;
mod subscriptions;
mod suppressions;
mod import;
mod surroundings;
mod pages;
mod serving;
