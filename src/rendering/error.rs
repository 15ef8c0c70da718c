//! What may go wrong, in words for people that hold no value of the data.

use std::fmt;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Title,
    Body,
    Html,
    Sms,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Title, Part::Body, Part::Html, Part::Sms];

    pub fn name(self) -> &'static str {
        ["title", "body", "html", "sms"][self as usize]
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message could not be rendered. Trying again with the same template and data gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("there is no template `{code}`")]
    NoTemplate { code: Box<str> },
    /// The source is no template, or one that is not allowed.
    #[error("{part}: {problem}")]
    Syntax { part: Part, problem: SyntaxProblem },
    /// The template uses a variable that the data has not.
    #[error("{part}: the data has no `{variable}`")]
    MissingVariable { part: Part, variable: Box<str> },
    #[error("the data cannot be used: {detail}")]
    Data { detail: Box<str> },
    #[error("{part}: more than the {limit} bytes that `templates.max_output` allows")]
    TooLong { part: Part, limit: usize },
    #[error("{part}: the template repeats too much: fewer or shorter lists are needed")]
    TooMuchWork { part: Part },
    #[error("the title must be one line without control characters")]
    TitleLines,
    #[error("{part}: {detail}")]
    Failed { part: Part, detail: Box<str> },
}

/// Where and why a source was refused. Lines and columns count from 1, within the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {detail}")]
pub struct SyntaxProblem {
    pub line: usize,
    pub column: usize,
    pub detail: Box<str>,
}

impl SyntaxProblem {
    /// A problem at a byte offset of the source.
    pub(super) fn at(source: &str, offset: usize, detail: impl Into<Box<str>>) -> Self {
        let (line, column) = line_column(source, offset);
        Self { line, column, detail: detail.into() }
    }
}

/// The line and column, from 1, of a byte offset.
pub(super) fn line_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
