//! The engine as a whole, over its real backends: one module a promise, one binary.

#![expect(unreachable_pub, reason = "a test binary has no outside, and `pub` is what its modules show each other")]

mod world;

mod delivery;
mod attachments;
mod cancel;
mod idempotency;
mod lanes;
mod books;
mod restarts;
mod fallback;
mod brakes;
mod trouble;
mod audit;
mod clock_steps;
mod full_disk;
mod node;
mod metrics;
mod foreign;
mod events;
mod log_trouble;
mod deliveries;
mod nodes;
mod topics;
mod tracking;
mod campaigns;
mod archive;
mod programs;
mod processes;
mod crashes;
mod users;
mod erasure;
mod subjects;
mod templates;
mod people;
mod cases;
mod gates;
mod caps;
mod sealed;
mod second_look;
mod groups;
mod held_groups;
mod receipts;
mod unsubscribe;
mod live;
