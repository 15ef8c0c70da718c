//! What an import answers: lines of JSON.

use bytes::Bytes;
use serde::Serialize;

use crate::api::problem::Problem;
use crate::intake::FieldProblem;

/// Refused lines that are told one by one; more are only counted. Whoever sends all before reading anything must not fill the
/// connection's buffers with them.
const TOLD_MAX: u64 = 1000;
/// Problems of one line that are told.
const PROBLEMS_MAX: usize = 8;
/// Lines between two words about how far it is.
const LINES_PER_WORD: u64 = 10_000;

/// How far an import is, and what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Lines looked at; empty ones count.
    lines: u64,
    taken: u64,
    /// Of those taken.
    suppressions: u64,
    refused: u64,
    /// At how many lines it was said last.
    said_at: u64,
    out: Vec<u8>,
}

#[derive(Serialize)]
struct RefusedView<'a> {
    line: u64,
    errors: Vec<ProblemView<'a>>,
}

#[derive(Serialize)]
struct ProblemView<'a> {
    pointer: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct CountView {
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
    lines: u64,
    taken: u64,
    /// Lines taken that are suppressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressions: Option<u64>,
    refused: u64,
    /// Refused lines that were counted and not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_told: Option<u64>,
}

impl Report {
    /// A line that was not taken.
    pub(super) fn refuse(&mut self, line: u64, problems: &[FieldProblem]) {
        self.refused += 1;
        if self.refused > TOLD_MAX {
            return;
        }
        let view = |problem| {
            let FieldProblem { pointer, detail }: &FieldProblem = problem;
            ProblemView { pointer, detail }
        };
        self.say(&RefusedView { line, errors: problems.iter().take(PROBLEMS_MAX).map(view).collect() });
    }

    /// All lines up to this one are taken or refused: so many users and suppressions are taken.
    pub(super) fn take_up_to(&mut self, line: u64, users: u64, suppressions: u64) {
        self.lines = self.lines.max(line);
        self.taken += users + suppressions;
        self.suppressions += suppressions;
        if self.lines >= self.said_at + LINES_PER_WORD {
            self.said_at = self.lines;
            self.say(&self.count(None));
        }
    }

    /// The last line, of an import that came to its end.
    pub(super) fn done(&mut self) -> Bytes {
        let mut line = serde_json::to_vec(&self.count(Some(true))).unwrap_or_default();
        line.push(b'\n');
        self.out.extend_from_slice(&line);
        line.into()
    }

    /// The last line that was given before.
    pub(super) fn repeat(&mut self, answer: &[u8]) {
        self.out.extend_from_slice(answer);
    }

    /// The last line, of one that did not: what stands in it as counts is durable.
    pub(super) fn fail(&mut self, problem: &Problem) {
        self.out.extend_from_slice(b"{\"error\":");
        problem.write(&mut self.out);
        self.out.push(b',');
        let counts = serde_json::to_vec(&self.count(None)).unwrap_or_default();
        // Its fields stand beside the error.
        self.out.extend_from_slice(counts.strip_prefix(b"{").unwrap_or(b"}"));
        self.out.push(b'\n');
    }

    /// What is to be said now, if there is anything.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }

    fn count(&self, done: Option<bool>) -> CountView {
        let not_told = done.and(self.refused.checked_sub(TOLD_MAX)).filter(|count| *count > 0);
        let suppressions = Some(self.suppressions).filter(|count| *count > 0);
        CountView { done, lines: self.lines, taken: self.taken, suppressions, refused: self.refused, not_told }
    }

    fn say(&mut self, view: &impl Serialize) {
        // Texts and numbers can always be written into memory.
        let _ = serde_json::to_writer(&mut self.out, view);
        self.out.push(b'\n');
    }
}
