//! Loads the configuration: compiled-in defaults ← file ← environment, merged as tables, then read as one.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::environment::{self, Variable};
use super::reader::{Misfit, Problem, Reader};
use super::{Config, check, explain, lines};

/// The defaults and the manual: `config/fanfare.toml`.
pub const DEFAULTS: &str = include_str!("../../config/fanfare.toml");

/// Why there is no configuration to run with. Every message names the place and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file `{}`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{place}: {detail}")]
    Syntax { place: String, detail: String },
    #[error("{place}: unknown key `{key}`{}", nearest.as_ref().map(|name| format!(": did you mean `{name}`?")).unwrap_or_default())]
    UnknownKey { place: String, key: String, nearest: Option<String> },
    #[error("{place}: `{key}`: {detail}")]
    Value { place: String, key: String, detail: String },
    #[error("`{key}` = \"{backend}\" is not in this build yet: use \"{instead}\"")]
    MissingBackend { key: &'static str, backend: &'static str, instead: &'static str },
    /// Values that are fine each and do not fit together.
    #[error("{0}")]
    Unfit(String),
}

/// A configuration to run with.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Legal but risky, a sentence each.
    pub warnings: Vec<String>,
    /// Everything that is in force as TOML, secrets hidden.
    pub effective: String,
}

/// Loads `file` (none: the defaults alone) and the environment of the process.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let text = match file {
        None => None,
        Some(path) => {
            let read = std::fs::read_to_string(path);
            Some(read.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?)
        }
    };
    let name = file.map(|path| path.display().to_string()).unwrap_or_default();
    // Names and values that are no UTF-8 cannot be ours.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(text.as_deref().map(|text| (name.as_str(), text)), environment)
}

/// The same from given texts: the file's name and content, and variables.
pub fn load_from(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut base = parse("the built-in defaults", DEFAULTS)?;
    if let Some((name, text)) = file {
        merge(&mut base, parse(name, text)?);
    }
    let mut variables = environment::variables(environment);
    let (config, table) = loop {
        let mut table = base.clone();
        for variable in &variables {
            environment::apply(&mut table, variable).map_err(|detail| ConfigError::Value {
                place: place_of_variable(variable),
                key: variable.path.join("."),
                detail,
            })?;
        }
        refuse_missing_backends(&table)?;
        match Config::deserialize(Reader(Value::Table(table.clone()))) {
            Ok(config) => break (config, table),
            // A password of digits reads as a number; its key says that it is a text.
            Err(misfit) => {
                let own = variables.iter_mut().find(|variable| variable.path == misfit.path);
                let retry = matches!(misfit.problem, Problem::Other(_)) && own.is_some_and(Variable::read_as_text);
                if !retry {
                    return Err(located(misfit, file, &variables));
                }
            }
        }
    };
    check::refuse(&config).map_err(ConfigError::Unfit)?;
    Ok(Loaded { warnings: check::warnings(&config), effective: explain::effective(&table), config })
}

/// The compiled-in defaults, without file and environment.
pub fn defaults() -> Config {
    load_from(None, []).expect("a test shows that the built-in defaults load").config
}

fn parse(name: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| lines::line_at(text, span.start));
        // Its Display would show the line itself, which may hold a secret.
        ConfigError::Syntax { place: place_in_file(name, line), detail: error.message().to_owned() }
    })
}

/// Lays `over` upon `base`: tables are merged key by key, everything else replaces.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Backends that the configuration knows and this build does not have.
fn refuse_missing_backends(table: &Table) -> Result<(), ConfigError> {
    let later =
        [("store", "store.backend", "cql", "embedded"), ("coordination", "coordination.backend", "redis", "local")];
    for (section, key, backend, instead) in later {
        if table.get(section).and_then(|section| section.get("backend")).and_then(Value::as_str) == Some(backend) {
            return Err(ConfigError::MissingBackend { key, backend, instead });
        }
    }
    Ok(())
}

fn located(misfit: Misfit, file: Option<(&str, &str)>, variables: &[Variable]) -> ConfigError {
    let key = misfit.path.join(".");
    let of_variable = variables.iter().find(|variable| variable.path.starts_with(&misfit.path));
    let place = match (of_variable, file) {
        (Some(variable), _) if !file.is_some_and(|(_, text)| lines::has(text, &misfit.path)) => {
            place_of_variable(variable)
        }
        (_, Some((name, text))) => place_in_file(name, lines::line_of(text, &misfit.path)),
        (Some(variable), None) => place_of_variable(variable),
        (None, None) => "the built-in defaults".to_owned(),
    };
    match misfit.problem {
        Problem::UnknownKey { known } => {
            let (last, parents) =
                misfit.path.split_last().map(|(last, parents)| (last.as_str(), parents)).unwrap_or(("", &[]));
            let nearest = nearest(last, known)
                .map(|name| parents.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("."));
            ConfigError::UnknownKey { place, key, nearest }
        }
        Problem::Other(detail) => ConfigError::Value { place, key, detail },
    }
}

fn place_in_file(name: &str, line: Option<usize>) -> String {
    line.map(|line| format!("{name}, line {line}")).unwrap_or_else(|| name.to_owned())
}

fn place_of_variable(variable: &Variable) -> String {
    format!("environment variable `{}`", variable.name)
}

/// The candidate that takes the fewest edits.
pub(crate) fn nearest<'a>(wrong: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates.iter().copied().min_by_key(|candidate| edits(wrong, candidate))
}

/// Levenshtein's distance: letters to insert, delete or change.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
