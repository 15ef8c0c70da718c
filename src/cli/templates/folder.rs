//! A folder of templates, and what it remembers of the server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::text;
use crate::domain::TemplateSource;

/// Which state of each template was pulled or pushed last: so an edit that somebody made meanwhile is not written over. It belongs to
/// one server and one copy of the folder, and not under version control.
const TAGS: &str = ".fanfare-tags.json";

/// What is remembered of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TagAsWritten")]
pub(super) struct Tag {
    /// That the server gave.
    pub(super) tag: String,
    /// Of the file, as it was then; `None`: nobody noted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<String>,
}

/// Earlier versions of this program noted the tag alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum TagAsWritten {
    Alone(String),
    Both { tag: String, hash: Option<String> },
}

impl From<TagAsWritten> for Tag {
    fn from(written: TagAsWritten) -> Self {
        match written {
            TagAsWritten::Alone(tag) => Self { tag, hash: None },
            TagAsWritten::Both { tag, hash } => Self { tag, hash },
        }
    }
}

/// By code.
pub(super) type Tags = BTreeMap<Box<str>, Tag>;

/// A template of the folder.
pub(super) struct Local {
    pub(super) path: PathBuf,
    pub(super) source: TemplateSource,
    /// Of the file.
    pub(super) hash: String,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// And the hash of what was written.
    Written(String),
    /// It says so already; its hash.
    Unchanged(String),
    /// Somebody edited it since it was pulled or pushed.
    Edited(PathBuf),
}

/// What a folder has, by code.
pub(super) struct Folder {
    dir: PathBuf,
    pub(super) templates: BTreeMap<Box<str>, Local>,
    /// By code, the tag that the server gave; `None`: nobody pulled or pushed here yet.
    pub(super) tags: Option<Tags>,
}

impl Folder {
    /// Reads all files `*.toml`. Says of each that cannot be read why.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let files = std::fs::read_dir(dir).with_context(|| format!("cannot read the folder `{}`", dir.display()))?;
        let mut paths = files.map(|file| Ok(file?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let mut templates: BTreeMap<Box<str>, Local> = BTreeMap::new();
        let mut wrong = 0;
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(anyhow::Error::from);
            match text.and_then(|text| Ok((text::read(&text)?, hash(&text)))) {
                Ok((source, hash)) => {
                    if let Some(first) = templates.get(&source.code) {
                        bail!("`{}` and `{}` have the same code", first.path.display(), path.display());
                    }
                    templates.insert(source.code.clone(), Local { path, source, hash });
                }
                Err(error) => {
                    eprintln!("{}: {error:#}", path.display());
                    wrong += 1;
                }
            }
        }
        if wrong > 0 {
            bail!("{wrong} files are no templates: nothing was done");
        }
        let tags = match std::fs::read(dir.join(TAGS)) {
            Ok(bytes) => {
                Some(serde_json::from_slice(&bytes).with_context(|| format!("`{TAGS}` is damaged: delete it"))?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{TAGS}`")),
        };
        Ok(Self { dir: dir.to_owned(), templates, tags })
    }

    /// The same, of a folder that need not be there yet.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder `{}`", dir.display()))?;
        Self::read(dir)
    }

    /// Writes a template to its file; one that somebody edited only if that is forced.
    pub(super) fn write(&self, source: &TemplateSource, forces: bool) -> anyhow::Result<Pulled> {
        let local = self.templates.get(&source.code);
        if let Some(local) = local {
            if local.source == *source {
                return Ok(Pulled::Unchanged(local.hash.clone()));
            }
            if !forces && !self.is_as_noted(local) {
                return Ok(Pulled::Edited(local.path.clone()));
            }
        }
        // A code has no character that leads out of the folder: the server took it, and it is looked at here again.
        if !crate::templates::is_code(&source.code) {
            bail!("`{}` is no code of a template", source.code);
        }
        let path = local.map_or_else(|| self.dir.join(format!("{}.toml", source.code)), |local| local.path.clone());
        let text = text::write(source)?;
        replace(&path, &text)?;
        Ok(Pulled::Written(hash(&text)))
    }

    /// Whether the file is as it was when it was pulled or pushed last.
    pub(super) fn is_as_noted(&self, local: &Local) -> bool {
        let noted = self.tags.as_ref().and_then(|tags| tags.get(&local.source.code));
        noted.and_then(|noted| noted.hash.as_ref()) == Some(&local.hash)
    }

    pub(super) fn write_tags(&self, tags: &Tags) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(tags).context("tags are texts")? + "\n";
        replace(&self.dir.join(TAGS), &text)
    }
}

fn hash(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// Writes a file that has the old text or the new one, whatever happens.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(body: &str) -> TemplateSource {
        serde_json::from_value(serde_json::json!({"code": "order", "locales": {"en": {"body": body}}}))
            .expect("a template")
    }

    #[test]
    fn a_file_that_was_edited_is_written_over_by_force_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Folder::open(dir.path()).expect("read");
        let note = |hash: Option<String>| {
            let tag = Tag { tag: "\"1\"".to_owned(), hash };
            open().write_tags(&Tags::from([("order".into(), tag)])).expect("noted");
        };
        let Pulled::Written(hash) = open().write(&source("one"), false).expect("written") else {
            panic!("not written")
        };
        note(Some(hash.clone()));
        assert_eq!(open().write(&source("one"), false).expect("looked at"), Pulled::Unchanged(hash.clone()));
        assert!(matches!(open().write(&source("two"), false).expect("written"), Pulled::Written(_)));
        // The note is of the first text: what stands there now is somebody else's.
        let path = dir.path().join("order.toml");
        assert_eq!(open().write(&source("three"), false).expect("looked at"), Pulled::Edited(path.clone()));
        note(None);
        assert_eq!(open().write(&source("three"), false).expect("looked at"), Pulled::Edited(path.clone()));
        assert!(std::fs::read_to_string(&path).expect("read").contains("two"));
        assert!(matches!(open().write(&source("three"), true).expect("written"), Pulled::Written(_)));
        let names = std::fs::read_dir(dir.path()).expect("read").count();
        assert_eq!(names, 2, "the file and the tags, and nothing half written");
    }

    #[test]
    fn tags_of_earlier_versions_are_read() {
        let tags: Tags = serde_json::from_str(r#"{"a": "\"1\"", "b": {"tag": "\"2\"", "hash": "ff"}}"#).expect("tags");
        assert_eq!(tags["a"], Tag { tag: "\"1\"".to_owned(), hash: None });
        assert_eq!(tags["b"], Tag { tag: "\"2\"".to_owned(), hash: Some("ff".to_owned()) });
    }
}
