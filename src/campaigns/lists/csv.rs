//! A list as CSV (RFC 4180), taken apart as it comes. The header line names the columns: those of [`super::line::WHO`], and any others,
//! which are texts of `data`. Pure; what is kept of a row is bounded.

use csv_core::{ReadRecordResult, Reader};
use serde_json::{Map, Value};

use super::ListMember;
use super::line::{WHO, checked};
use crate::intake::FieldProblem;

/// Bytes of one row.
const ROW_BYTES_MAX: usize = 64 * 1024;
const COLUMN_BYTES_MAX: usize = 64;
/// Columns of a list.
const COLUMNS_MAX: usize = 256;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A row with the number of its line, counted from 1.
#[derive(Debug)]
pub struct CsvRow {
    pub line: u64,
    pub member: Result<ListMember, Vec<FieldProblem>>,
}

/// The header line names no columns that a list can be made of; said for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CsvError(String);

/// What a column holds.
#[derive(Debug)]
enum Column {
    /// One of [`WHO`], by its place.
    Who(usize),
    Data(String),
}

/// Reads rows from what comes.
pub struct CsvMembers {
    reader: Reader,
    /// The first bytes, until a mark of the byte order can be told from a name.
    head: Vec<u8>,
    has_begun: bool,
    row: Vec<u8>,
    ends: Vec<usize>,
    /// So much of the row and its ends is filled.
    filled: (usize, usize),
    /// The row is longer than is kept.
    is_too_long: bool,
    /// Line ends within a row that is too long: its text is not kept to count them in.
    lost_lines: u64,
    columns: Option<Vec<Column>>,
}

impl Default for CsvMembers {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            head: Vec::new(),
            has_begun: false,
            row: vec![0; ROW_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            filled: (0, 0),
            is_too_long: false,
            lost_lines: 0,
            columns: None,
        }
    }
}

impl CsvMembers {
    /// Adds the rows that end in `part`; an error ends the list.
    pub fn push(&mut self, part: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        if part.is_empty() {
            // To the reader, nothing means the end.
            return Ok(());
        }
        if self.has_begun {
            return self.feed(part, rows);
        }
        self.head.extend_from_slice(part);
        if self.head.len() < BYTE_ORDER_MARK.len() {
            return Ok(());
        }
        self.begin(rows)
    }

    fn begin(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        self.has_begun = true;
        let head = std::mem::take(&mut self.head);
        match head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head) {
            [] => Ok(()),
            begun => self.feed(begun, rows),
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        if !self.has_begun {
            self.begin(rows)?;
        }
        self.feed(&[], rows)?;
        match self.columns {
            Some(_) => Ok(()),
            None => Err(CsvError("the list is empty: its first line names the columns".to_owned())),
        }
    }

    fn feed(&mut self, part: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        let mut rest = part;
        loop {
            let (bytes, ends) = self.filled;
            let (result, read, written, ended) =
                self.reader.read_record(rest, &mut self.row[bytes..], &mut self.ends[ends..]);
            let last_byte = read.checked_sub(1).map(|last| rest[last]);
            rest = &rest[read..];
            self.filled = (bytes + written, ends + ended);
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => self.pass_over(),
                ReadRecordResult::Record => {
                    // The end of a line is read with the row or, of two characters, half of it with the next one.
                    let line = self.reader.line() - u64::from(last_byte == Some(b'\n'));
                    rows.extend(self.end_row(line)?);
                }
            }
            if rest.is_empty() && !part.is_empty() {
                return Ok(());
            }
        }
    }

    /// What was read of this row is forgotten; its end is still looked for.
    fn pass_over(&mut self) {
        self.is_too_long = true;
        self.lost_lines += line_ends(&self.row[..self.filled.0]);
        self.filled = (0, 0);
    }

    /// The row whose last line this is; none for the header.
    fn end_row(&mut self, last_line: u64) -> Result<Option<CsvRow>, CsvError> {
        let (bytes, ends) = std::mem::take(&mut self.filled);
        let line = last_line.saturating_sub(line_ends(&self.row[..bytes]) + std::mem::take(&mut self.lost_lines));
        let is_too_long = std::mem::take(&mut self.is_too_long);
        let Some(columns) = &self.columns else {
            self.columns = Some(match is_too_long {
                true => return Err(CsvError(format!("the header line has more than {COLUMNS_MAX} columns"))),
                false => read_columns(cells(&self.row, &self.ends[..ends]))?,
            });
            return Ok(None);
        };
        let member = match is_too_long {
            true => Err(refused(format!("is too long: a row may have {ROW_BYTES_MAX} bytes and {COLUMNS_MAX} fields"))),
            false => read_row(columns, cells(&self.row, &self.ends[..ends])),
        };
        Ok(Some(CsvRow { line, member }))
    }
}

fn line_ends(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn refused(detail: String) -> Vec<FieldProblem> {
    vec![FieldProblem::new("", detail)]
}

fn cells<'a>(row: &'a [u8], ends: &'a [usize]) -> impl ExactSizeIterator<Item = &'a [u8]> {
    (0..ends.len()).map(|index| &row[index.checked_sub(1).map_or(0, |before| ends[before])..ends[index]])
}

fn read_columns<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Column>, CsvError> {
    let mut columns: Vec<Column> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let name = std::str::from_utf8(name).map_err(|_| CsvError("the header line is not UTF-8".to_owned()))?.trim();
        if name.is_empty() {
            return Err(CsvError(format!("column {} of the header line has no name", seen.len() + 1)));
        }
        if name.len() > COLUMN_BYTES_MAX {
            // Each row of the list repeats them.
            let shown = crate::domain::cut(name, COLUMN_BYTES_MAX);
            return Err(CsvError(format!("the column `{shown}…` has a name of more than {COLUMN_BYTES_MAX} bytes")));
        }
        if seen.iter().any(|other| other == name) {
            return Err(CsvError(format!("the header line names `{}` twice", name)));
        }
        seen.push(name.to_owned());
        let who = WHO.into_iter().position(|known| known == name);
        columns.push(who.map_or_else(|| Column::Data(name.to_owned()), Column::Who));
    }
    if !columns.iter().any(|column| matches!(column, Column::Who(_))) {
        return Err(CsvError(format!("the header line must name one of the columns {}", WHO.join(", "))));
    }
    Ok(columns)
}

/// An empty field says nothing of who it is, and is an empty text in the data.
fn read_row<'a>(
    columns: &[Column],
    cells: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<ListMember, Vec<FieldProblem>> {
    if cells.len() != columns.len() {
        return Err(refused(format!("has {} fields, and the header line {}", cells.len(), columns.len())));
    }
    let mut said: [Option<Box<str>>; 6] = Default::default();
    let mut data = Map::new();
    for (column, cell) in columns.iter().zip(cells) {
        let text = std::str::from_utf8(cell).map_err(|_| refused("is not UTF-8".to_owned()))?;
        match column {
            Column::Who(place) => said[*place] = Some(text.trim()).filter(|text| !text.is_empty()).map(Box::from),
            Column::Data(name) => _ = data.insert(name.clone(), Value::from(text)),
        }
    }
    let data = (!data.is_empty()).then(|| Value::Object(data).to_string().into());
    checked(said, data, Vec::new())
}
