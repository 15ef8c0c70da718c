//! What is in force for a tenant: what it saved, over what is built in.
//!
//! A template is read when it is first used: of ten thousand most wait for their first message, and a node that starts waits for none.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::parsed::{Parsed, parse};
use crate::domain::{CurrentTemplate, Experiment, TemplateSource};
use crate::templates::{BuiltIn, TemplateOrigin, TemplateProblem};

/// A template in force, as it was given and as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: it could not even be read from the store.
    pub(super) current: Option<CurrentTemplate>,
    pub(super) experiment: Option<Arc<Experiment>>,
    /// Every name that stands where a partial's may; some that are none may be among them.
    includes: BTreeSet<Box<str>>,
    /// Of one that nobody saved, as it is shown.
    pub(super) built_in: Option<BuiltIn>,
    parsed: OnceLock<Result<Parsed, Box<str>>>,
}

impl Entry {
    pub(super) fn new(current: CurrentTemplate, origin: TemplateOrigin) -> Self {
        let includes = current.source.texts().flat_map(included_names).map(Into::into).collect();
        let experiment = experiment(&current.source).map(Arc::new);
        let built_in =
            (origin != TemplateOrigin::Saved).then(|| BuiltIn { source: Arc::new(current.source.clone()), origin });
        Self { current: Some(current), experiment, includes, built_in, parsed: OnceLock::new() }
    }

    pub(super) fn unreadable(why: Box<str>) -> Self {
        Self { current: None, experiment: None, includes: BTreeSet::new(), built_in: None, parsed: Err(why).into() }
    }

    /// Why it cannot be used, as far as it was read.
    pub(super) fn known_problem(&self) -> Option<&str> {
        self.parsed.get()?.as_ref().err().map(|why| &**why)
    }

    /// The texts of a partial, or why it cannot be used. Kept: all that include it are linked with them.
    fn parsed(&self) -> Result<&Parsed, &str> {
        self.parsed.get_or_init(|| self.read()).as_ref().map_err(|why| &**why)
    }

    /// Does something with its texts, or says why it cannot be used. Those of a message are not kept: they take as much memory as what
    /// is linked of them, and are asked for once.
    pub(super) fn with_parsed<T>(&self, act: impl FnOnce(&CurrentTemplate, &Parsed) -> T) -> Result<T, Box<str>> {
        let Some(current) = &self.current else {
            return Err(self.known_problem().unwrap_or("it cannot be read").into());
        };
        if current.source.kind.is_message() {
            return Ok(act(current, &self.read()?));
        }
        Ok(act(current, self.parsed()?))
    }

    fn read(&self) -> Result<Parsed, Box<str>> {
        let current = self.current.as_ref().ok_or("it cannot be read")?;
        parse(&current.source).map_err(|problems| in_words(&problems))
    }
}

fn experiment(source: &TemplateSource) -> Option<Experiment> {
    let experiment = source.experiment.as_ref()?;
    Some(Experiment {
        name: experiment.name.clone().unwrap_or_else(|| source.code.clone()),
        hold_back: experiment.hold_back,
        variants: experiment.variants.iter().map(|variant| (variant.name.clone(), variant.weight)).collect(),
    })
}

/// The names after `{{>` and `{{#>`, wherever they stand.
fn included_names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("{{").filter_map(|(at, _)| {
        let mark = text[at + 2..].trim_start_matches([' ', '\t', '\r', '\n', '~', '#']);
        let name = mark.strip_prefix('>')?.trim_start();
        let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '}' | '~' | '(' | '|');
        let name = &name[..name.find(is_end).unwrap_or(name.len())];
        Some(name.trim_matches(['"', '\'', '[', ']'])).filter(|name| !name.is_empty() && !name.starts_with('@'))
    })
}

/// Several problems in one sentence.
pub(super) fn in_words(problems: &[TemplateProblem]) -> Box<str> {
    let word = |problem: &TemplateProblem| match (problem.line, problem.column) {
        (Some(line), Some(column)) => {
            format!("{}: line {line}, column {column}: {}", problem.pointer, problem.detail)
        }
        _ => format!("{}: {}", problem.pointer, problem.detail),
    };
    problems.iter().map(word).collect::<Vec<_>>().join("; ").into()
}

pub(super) type Entries = HashMap<Arc<str>, Arc<Entry>>;

/// The templates of a tenant.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) built_in: &'a Entries,
    pub(super) own: Option<&'a Entries>,
    /// In the place of what is there under its code: one that is only tried.
    pub(super) tried: Option<(&'a str, &'a Arc<Entry>)>,
}

impl<'a> View<'a> {
    pub(super) fn entry(&self, code: &str) -> Option<&'a Arc<Entry>> {
        if let Some((_, entry)) = self.tried.filter(|(tried, _)| *tried == code) {
            return Some(entry);
        }
        self.own.and_then(|own| own.get(code)).or_else(|| self.built_in.get(code))
    }

    /// What may be included under a code, and its default language.
    pub(super) fn partial(&self, code: &str) -> Result<(&'a Parsed, &'a str), String> {
        let entry = self.entry(code).ok_or_else(|| format!("there is no partial `{code}`"))?;
        let is_message = entry.current.as_ref().is_some_and(|current| current.source.kind.is_message());
        if is_message {
            return Err(format!("`{code}` is a message: only what has the kind `partial` can be included"));
        }
        match (&entry.current, entry.parsed()) {
            (Some(current), Ok(parsed)) => Ok((parsed, &current.source.default_locale)),
            (None, Ok(_)) => Err(format!("the partial `{code}` cannot be read")),
            (_, Err(why)) => Err(format!("the partial `{code}` cannot be used: {why}")),
        }
    }

    /// The codes of all, each once, in order.
    pub(super) fn codes(&self) -> Vec<&'a str> {
        let own = self.own.into_iter().flat_map(HashMap::keys);
        let tried = self.tried.map(|(code, _)| code);
        let mut codes: Vec<&str> = own.chain(self.built_in.keys()).map(|code| &**code).chain(tried).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// These, and all that include any of them, directly or around corners.
    pub(super) fn with_users(&self, mut codes: HashSet<Arc<str>>) -> HashSet<Arc<str>> {
        let all = || self.own.into_iter().flatten().chain(self.built_in);
        let users = users(all().map(|(code, entry)| (code, &**entry)));
        let mut ahead: Vec<Arc<str>> = codes.iter().cloned().collect();
        while let Some(code) = ahead.pop() {
            for user in users.get(&*code).into_iter().flatten() {
                if codes.insert((*user).clone()) {
                    ahead.push((*user).clone());
                }
            }
        }
        codes
    }

    /// Whether the template is the tenant's own, or a built-in one that includes what is.
    pub(super) fn is_own(&self, code: &str) -> bool {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut ahead = vec![code];
        while let Some(code) = ahead.pop() {
            if self.own.is_some_and(|own| own.contains_key(code)) {
                return true;
            }
            let includes = self.built_in.get(code).into_iter().flat_map(|entry| &entry.includes);
            ahead.extend(includes.map(|code| &**code).filter(|code| seen.insert(code)));
        }
        false
    }

    /// The codes of all that include this one, directly or around corners, in order.
    pub(super) fn users_of(&self, code: &str) -> Vec<&'a str> {
        let codes = self.codes();
        let users = users(codes.iter().filter_map(|code| Some((code, &**self.entry(code)?))));
        let mut found: HashSet<&str> = HashSet::new();
        let mut ahead = vec![code];
        while let Some(included) = ahead.pop() {
            let new = users.get(included).into_iter().flatten().filter(|user| found.insert(user));
            ahead.extend(new.map(|user| **user));
        }
        found.remove(code);
        let mut found: Vec<&'a str> = codes.into_iter().filter(|code| found.contains(code)).collect();
        found.sort_unstable();
        found
    }
}

/// Who includes each directly.
fn users<'e, C>(all: impl Iterator<Item = (C, &'e Entry)>) -> HashMap<&'e str, Vec<C>>
where
    C: Copy,
{
    let mut users: HashMap<&str, Vec<C>> = HashMap::new();
    for (code, entry) in all {
        for included in &entry.includes {
            users.entry(included).or_default().push(code);
        }
    }
    users
}
