//! Plots for reports: series of points become inline SVG, and sections and tables one self-contained page. Nothing is fetched from
//! anywhere, nothing runs, and the page's colours follow the reader's choice of dark or light.
//!
//! Numbers go in as they are, texts as they are too: everything is escaped here.

mod page;
mod chart;
mod legend;
mod axis;
mod number;

pub(crate) use chart::Plot;
pub(crate) use number::number;
pub(crate) use page::{Page, escape};

#[cfg(test)]
mod tests;
