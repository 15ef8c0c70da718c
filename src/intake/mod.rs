//! From the doors into the log, and from the log into the store.
//!
//! In: the JSON of a request, from HTTP or another producer. Out: [`Accepted`] once the log has it. Promise: what was
//! answered is durable, a retry with the same key answers the same, and what is wrong with a request is said field by
//! field.

mod validate;
mod accepted_keys;
mod accept;

#[cfg(test)]
pub(crate) mod fakes;

pub(crate) use accept::refused_counter;
pub use accept::{AcceptError, Accepted, Acceptor};
pub use accepted_keys::AcceptedKeys;
pub use validate::{ContentCheck, Defaults, EndpointCheck, Envelope, FieldProblem, limits, read_item, read_request};
