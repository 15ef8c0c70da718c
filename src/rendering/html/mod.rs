//! The HTML part of a template, made ready for mail programs before it is compiled, and read as plain text.
//!
//! In: the source of a part, with its expressions. [`compile_mjml`] makes HTML of MJML, and [`inline_css`] puts style rules into
//! the elements: once for a template, not for a message. [`text_of`] makes the plain text of a rendered
//! part, for messages that have none. [`track`] puts links and a pixel that are counted into a rendered part. Promise: the expressions of a source come through untouched and in their order,
//! and no source, however it is made, can overflow the stack or keep a core busy for long.

mod mjml;
mod inline_css;
mod skeleton;
mod css;
mod text;
mod visible;
mod markup;
mod tags;
mod tracked;

#[cfg(test)]
mod tests;

pub use inline_css::inline_css;
pub use mjml::compile_mjml;
pub(super) use mjml::{brings_style, is_mjml};
pub use text::text_of;
pub use tracked::{MakeLink, TRACK_ATTRIBUTE, Tracks, track};
