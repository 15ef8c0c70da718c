//! What may go wrong, in words for people that hold no value of the data.

use std::fmt;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Title,
    Body,
    Html,
    Sms,
    Voice,
    PushTitle,
    PushBody,
    /// One of the values that the application is handed with a push message.
    PushData,
}

impl Part {
    #[cfg(test)]
    pub(super) const ALL: [Part; 8] =
        [Part::Title, Part::Body, Part::Html, Part::Sms, Part::Voice, Part::PushTitle, Part::PushBody, Part::PushData];

    pub fn name(self) -> &'static str {
        ["title", "body", "html", "sms", "voice", "push.title", "push.body", "push.data"][self as usize]
    }

    /// Whether it is one line wherever it is shown.
    pub(super) fn is_one_line(self) -> bool {
        matches!(self, Part::Title | Part::PushTitle)
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
    #[error("the template `{code}` is switched off: activate it, or name another one")]
    Inactive { code: Box<str> },
    #[error("`{code}` is a partial, which others include: it is no message")]
    NoMessage { code: Box<str> },
    /// It was saved by another version of the program, or what it includes is gone.
    #[error("the template `{code}` cannot be used: {why}")]
    Unusable { code: Box<str>, why: Box<str> },
    /// The template cannot do without it.
    #[error("the template needs a value for `{variable}`")]
    Required { variable: Box<str> },
    /// The data has another kind of value than the template declares.
    #[error("`{variable}` must be {expected}")]
    WrongType { variable: Box<str>, expected: &'static str },
    #[error("sms: {segments} segments, and the template allows {max}: shorten it, or the values in it")]
    TooManySegments { segments: usize, max: u16 },
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
    #[error("{part}: must be one line without control characters")]
    TitleLines { part: Part },
    #[error("{part}: {detail}")]
    Failed { part: Part, detail: Box<str> },
}

impl RenderError {
    /// The part that is wrong, where one is.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::Syntax { part, .. }
            | Self::MissingVariable { part, .. }
            | Self::TooLong { part, .. }
            | Self::TooMuchWork { part }
            | Self::TitleLines { part }
            | Self::Failed { part, .. } => Some(*part),
            Self::TooManySegments { .. } => Some(Part::Sms),
            _ => None,
        }
    }

    /// In words, without the part it is about.
    pub(super) fn in_part(&self) -> String {
        let words = self.to_string();
        let named = self.part().map(|part| format!("{part}: "));
        named.and_then(|named| words.strip_prefix(&named).map(str::to_owned)).unwrap_or(words)
    }
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
