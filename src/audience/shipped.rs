//! The event types and rules that nobody saved: those that ship with the binary, and the files of a folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::as_json;
use crate::domain::{Definition, DefinitionKind, Timestamp};

/// Why the files of event types and rules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ShippedError {
    #[error("cannot read rules from `{}`: {cause}: check `rules.dir`", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("cannot use the file of rules `{file}`: {detail}")]
    Unusable { file: String, detail: String },
    #[error("the {} `{name}` is in `{first}` and in `{second}`: remove one of them", kind.name())]
    Twice { kind: DefinitionKind, name: Box<str>, first: String, second: String },
}

/// The longest file.
const FILE_BYTES_MAX: u64 = 2 << 20;

macro_rules! files {
    ($($name:literal)*) => {
        [$((concat!($name, ".toml"), include_str!(concat!("../../config/rules/", $name, ".toml")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = &files![
    "app"
    "billing"
    "content"
    "device"
    "notification"
    "recommendation"
    "subject"
    "system"
    "user"
    "wallet"
];

/// A file: definitions as the API takes them, each with its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    event_types: Vec<Map<String, Value>>,
    #[serde(default)]
    rules: Vec<Map<String, Value>>,
}

/// What ships with the binary, and over it every `*.toml` and `*.json` of the folder. Their version is 0, and whether they can be used
/// is for a [`super::RuleBook`] to say.
pub fn shipped(dir: Option<&Path>) -> Result<Vec<Definition>, ShippedError> {
    let mut all = BTreeMap::new();
    let built_in = SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    read_all(built_in.collect(), &mut all)?;
    if let Some(dir) = dir {
        read_all(texts(dir)?, &mut all)?;
    }
    Ok(all.into_values().collect())
}

type ByName = BTreeMap<(DefinitionKind, Box<str>), Definition>;

fn read_all(texts: Vec<(String, String)>, all: &mut ByName) -> Result<(), ShippedError> {
    let mut origins: HashMap<(DefinitionKind, Box<str>), String> = HashMap::new();
    for (file, text) in texts {
        let read = read(&file, &text).map_err(|detail| ShippedError::Unusable { file: file.clone(), detail })?;
        for definition in read {
            let key = (definition.kind, definition.name.clone());
            if let Some(first) = origins.insert(key.clone(), file.clone()) {
                return Err(ShippedError::Twice { kind: key.0, name: key.1, first, second: file });
            }
            all.insert(key, definition);
        }
    }
    Ok(())
}

fn read(file: &str, text: &str) -> Result<Vec<Definition>, String> {
    let value = match file.ends_with(".json") {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => as_json(&toml::Value::Table(text.parse().map_err(|error: toml::de::Error| error.to_string())?)),
    };
    let File { event_types, rules } = File::deserialize(value).map_err(|error| error.to_string())?;
    let event_types = event_types.into_iter().map(|body| (DefinitionKind::EventType, body));
    let rules = rules.into_iter().map(|body| (DefinitionKind::Rule, body));
    event_types.chain(rules).map(|(kind, body)| definition(kind, body)).collect()
}

fn definition(kind: DefinitionKind, mut body: Map<String, Value>) -> Result<Definition, String> {
    match body.remove("name") {
        Some(Value::String(name)) => Ok(Definition {
            kind,
            name: name.into(),
            version: 0,
            body: Some(Value::Object(body).to_string().into()),
            changed_at: Timestamp(0),
        }),
        _ => Err(format!("each {} needs a `name`", kind.name())),
    }
}

/// Name and text of every file of a folder, in the order of the names.
fn texts(dir: &Path) -> Result<Vec<(String, String)>, ShippedError> {
    let unreadable = |path: &Path, cause| ShippedError::Unreadable { path: path.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|cause| unreadable(dir, cause))? {
        let path = entry.map_err(|cause| unreadable(dir, cause))?.path();
        if path.extension().is_some_and(|extension| extension == "toml" || extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = std::fs::metadata(&path).map_err(|cause| unreadable(&path, cause))?.len();
        if bytes > FILE_BYTES_MAX {
            let detail = format!("longer than {FILE_BYTES_MAX} bytes");
            return Err(ShippedError::Unusable { file: path.display().to_string(), detail });
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
        files.push((path.display().to_string(), text));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
