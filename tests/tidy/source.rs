//! Rust files as the house rules look at them: code without comments, strings and tests, line by line where it was.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of Rust. The three texts have the same length and the same lines as the file; what does not belong into one of
/// them is blank there.
pub(crate) struct Source {
    /// Below the root of the repository, with `/`.
    pub(crate) path: String,
    /// Everything.
    pub(crate) raw: String,
    /// Code outside tests, ASCII only: no comments, no insides of strings.
    pub(crate) code: String,
    /// Comments, everywhere.
    pub(crate) comments: String,
    /// String literals outside tests, with the offset at which they begin.
    pub(crate) strings: Vec<(usize, String)>,
    /// Files below these are tests, as `#[cfg(test)] mod x;` says.
    test_modules: Vec<String>,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file below the root; empty if there is none, so that the rule that wants it says so.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// The files of a folder, in the order of their names; none if it is not there.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// All Rust files below the folder that are part of the program; files that only tests use are left out.
pub(crate) fn program(folder: &str) -> Vec<Source> {
    let sources = all(folder);
    let tests: Vec<String> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    sources.into_iter().filter(|source| !tests.iter().any(|test| source.path.starts_with(test.as_str()))).collect()
}

/// All Rust files below the folder, in the order of their paths.
pub(crate) fn all(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    files.iter().map(|file| Source::new(file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn new(file: &Path) -> Self {
        let raw = fs::read_to_string(file).expect("a file that was just listed is readable");
        let path = file.strip_prefix(root()).expect("found below the root").to_string_lossy().replace('\\', "/");
        Self::parse(path, raw)
    }

    /// Takes the text apart.
    pub(crate) fn parse(path: String, raw: String) -> Self {
        let (mut code, comments, mut strings) = split(&raw);
        let mut test_modules = Vec::new();
        for (start, end, module) in test_regions(&code) {
            strings.retain(|(offset, _)| !(start..end).contains(offset));
            blank(&mut code, start, end);
            if let Some(module) = module {
                // These name their folder; any other file has one of its own name.
                let faces = ["/mod.rs", "/lib.rs", "/main.rs"];
                let folder = faces.iter().find_map(|face| path.strip_suffix(face));
                let folder = folder.unwrap_or(path.trim_end_matches(".rs"));
                test_modules.push(format!("{folder}/{module}.rs"));
                test_modules.push(format!("{folder}/{module}/"));
            }
        }
        Self { path, raw, code, comments, strings, test_modules }
    }

    /// The first folder (or file) below `src`, which is a module of the crate.
    pub(crate) fn folder(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// `path:line` of an offset, as editors take it.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.raw[..offset].matches('\n').count() + 1)
    }

    /// Where `word` stands in the code, not as a part of a longer word.
    pub(crate) fn find(&self, word: &str) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let joined = |a: Option<u8>, b: Option<u8>| a.is_some_and(is_word) && b.is_some_and(is_word);
        let whole = |offset: usize| {
            let end = offset + word.len();
            let before = offset.checked_sub(1).map(|before| bytes[before]);
            !joined(before, word.bytes().next()) && !joined(word.bytes().last(), bytes.get(end).copied())
        };
        self.code.match_indices(word).map(|(offset, _)| offset).filter(|offset| whole(*offset)).collect()
    }

    /// The crate's modules that the code names in `crate::x` or `crate::{x, y}`, or by climbing up with `super`.
    pub(crate) fn references(&self) -> Vec<(usize, String)> {
        let below = self.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let root = "super::".repeat(below.matches('/').count());
        let mut found = Vec::new();
        for prefix in ["crate::", root.as_str()] {
            for offset in self.find(prefix) {
                let before = self.code[..offset].trim_end();
                if !prefix.is_empty() && !before.ends_with("super::") {
                    found.extend(names(&self.code, offset + prefix.len()).into_iter().map(|name| (offset, name)));
                }
            }
        }
        found
    }

    /// All functions with their first and last offset.
    pub(crate) fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for offset in self.find("fn") {
            let Some(name) = names(&self.code, offset + 2).pop() else { continue };
            let (end, has_body) = item_end(&self.code, offset, false);
            if has_body {
                found.push((name, offset, end));
            }
        }
        found
    }
}

/// How many lines lie between two offsets.
pub(crate) fn lines(text: &str) -> usize {
    text.matches('\n').count() + 1
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The name at the offset, or the first names of a group `{a::b, c}`.
fn names(code: &str, offset: usize) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().bytes().take_while(|byte| is_word(*byte)).map(char::from).collect()
    };
    let rest = code[offset..].trim_start();
    let mut found = vec![word(rest)];
    let group = rest.strip_prefix('{').unwrap_or_default();
    if !group.is_empty() {
        found.push(word(group));
    }
    let mut depth = 0;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => found.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Splits a file into code, comments and strings.
fn split(raw: &str) -> (String, String, Vec<(usize, String)>) {
    let bytes = raw.as_bytes();
    let blanks = || bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect::<Vec<u8>>();
    let (mut code, mut comments, mut strings) = (blanks(), blanks(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let after_word = at > 0 && is_word(bytes[at - 1]);
        let (length, quotes) = if rest.starts_with(b"//") {
            (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with(b"/*") {
            (block_comment(rest), None)
        } else if let Some((open, hashes)) = (!after_word).then(|| raw_string(rest)).flatten() {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let inside = rest[open..].windows(close.len()).position(|window| window == close.as_slice());
            (inside.map_or(rest.len(), |inside| open + inside + close.len()), Some((open, close.len())))
        } else if rest[0] == b'"' {
            (quoted(rest, b'"'), Some((1, 1)))
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || char_literal(&raw[at..])) {
            (quoted(rest, b'\''), Some((1, 1)))
        } else {
            if rest[0].is_ascii() {
                code[at] = rest[0];
            }
            at += 1;
            continue;
        };
        let end = (at + length).min(bytes.len());
        match quotes {
            None => comments[at..end].copy_from_slice(&bytes[at..end]),
            Some((open, close)) => {
                code[at + open - 1] = b'"';
                code[end - 1] = b'"';
                let inside = raw.get(at + open..end.saturating_sub(close)).unwrap_or_default();
                strings.push((at, inside.to_owned()));
            }
        }
        at = end;
    }
    let text = |bytes| String::from_utf8(bytes).expect("whole tokens were copied");
    (text(code), text(comments), strings)
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the opening of a raw string and its number of hashes.
fn raw_string(rest: &[u8]) -> Option<(usize, usize)> {
    let prefix = [b"br".as_slice(), b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?.len();
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    (rest.get(prefix + hashes) == Some(&b'"')).then_some((prefix + hashes + 1, hashes))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Whether a quote opens a character and not a lifetime.
fn char_literal(rest: &str) -> bool {
    rest.chars().nth(2) == Some('\'')
}

/// The regions under `#[cfg(test)]`, and the name of the module if its body is another file.
fn test_regions(code: &str) -> Vec<(usize, usize, Option<String>)> {
    if code.contains("#![cfg(test)]") {
        return vec![(0, code.len(), None)];
    }
    let mut regions: Vec<(usize, usize, Option<String>)> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(test)]").chain(code.match_indices("#[cfg(all(test")) {
        if regions.iter().any(|(from, to, _)| (*from..*to).contains(&start)) {
            continue;
        }
        let (end, has_body) = item_end(code, start, true);
        let item = &code[start..end];
        let module = (!has_body).then(|| item.rsplit_once("mod ")).flatten();
        regions.push((start, end, module.map(|(_, name)| name.trim_end_matches(';').trim().to_owned())));
    }
    regions
}

/// Where the item that begins at the offset ends, and whether it ends with a body in braces.
fn item_end(code: &str, start: usize, attribute: bool) -> (usize, bool) {
    let (mut depth, mut braces) = (0i32, 0i32);
    let item =
        code[start..].split(']').find(|part| !part.trim_start().starts_with("#[")).unwrap_or_default().trim_start();
    let is_use = attribute && (item.starts_with("use ") || item.starts_with("pub use "));
    let is_part = attribute && !ITEMS.iter().any(|keyword| item.starts_with(keyword));
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces < 0 {
                    return (at, false);
                }
                if braces == 0 && depth == 0 && !is_use {
                    return (at + 1, true);
                }
            }
            b';' if depth == 0 && braces == 0 => return (at + 1, false),
            b',' if is_part && depth == 0 && braces == 0 => return (at + 1, false),
            _ => {}
        }
    }
    (code.len(), false)
}

/// What an item begins with; anything else under an attribute is a field, a variant or an argument.
const ITEMS: [&str; 15] = [
    "pub",
    "mod ",
    "fn ",
    "use ",
    "impl",
    "struct ",
    "enum ",
    "trait ",
    "const ",
    "static ",
    "type ",
    "async ",
    "unsafe ",
    "extern ",
    "macro_rules",
];

fn blank(text: &mut String, start: usize, end: usize) {
    let blanks: String = text[start..end].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }).collect();
    text.replace_range(start..end, &blanks);
}
