//! Fanfare, a dispatch engine: from what happens in a business to messages that reach people.
//!
//! The modules stand in the order of the data.

// What things are.
pub mod domain;
pub mod codec;

// Ports and their backends.
pub mod clock;
pub mod disk;
pub mod log;
pub mod store;
pub mod coordination;
pub mod aws;
pub mod providers;

// The stages.
pub mod ownership;
pub mod users;
pub mod sealing;
pub mod subscriptions;
pub mod brakes;
pub mod templates;
pub mod intake;
pub mod planning;
pub mod rendering;
pub mod dispatch;
pub mod outcomes;
pub mod links;
pub mod timers;
pub mod inbox;
pub mod realtime;
pub mod homes;

// What makes requests of what happened.
pub mod audience;
pub mod campaigns;
pub mod schedules;

// What takes away what is over.
pub mod archive;

// What is held of people: handed out, taken away, and who did what.
pub mod privacy;

// What programs tell each other.
pub mod topics;

// What reads the results.
pub mod insight;

// The surfaces.
pub mod api;
pub mod cli;

// Around them.
pub mod config;
pub mod telemetry;
pub mod runtime;

#[cfg(test)]
mod testing;
