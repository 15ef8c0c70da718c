//! Templates and data become the parts of a message.
//!
//! In: a plan, whose content is a template of the [`Catalog`] or comes with the request. Out: its [`Parts`], or a
//! [`RenderError`] that says which part and why, and never holds a value of the data. Promise: a missing variable is an
//! error, what goes into HTML is escaped, a title is one line, and no template, however it is made, can overflow the
//! stack, write without bound or loop without end.
//!
//! [`Parts`]: crate::domain::Parts

mod renderer;
mod merged;
mod message;
mod check;
mod compiled;
mod catalog;
mod html;
mod data;
mod inline;
mod program;
mod needs;
mod scene;
mod locale;
mod guard;
mod notation;
mod engine;
mod helpers;
mod output;
mod links;
mod error;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use catalog::{CatalogError, FileProblem, locate, read_file};
pub use check::ContentProblem;
pub use error::{Part, RenderError, SyntaxProblem};
pub use html::{MakeLink, TRACK_ATTRIBUTE, Tracks, compile_mjml, inline_css, text_of, track};
pub use message::message;
pub use renderer::Renderer;
