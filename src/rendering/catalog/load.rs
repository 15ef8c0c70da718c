//! The templates that nobody saved: those that ship with the binary, and the files of a folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::template_file::{self, FileProblem};
use super::view::{Entries, Entry};
use crate::domain::CurrentTemplate;
use crate::templates::TemplateOrigin;

/// Why the templates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot read templates from `{}`: {cause}: check `templates.dir`", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("cannot use the template file `{file}`: {problem}")]
    Unusable { file: String, problem: FileProblem },
    #[error("the template `{code}` is in `{first}` and in `{second}`: remove one of them")]
    Twice { code: Box<str>, first: String, second: String },
}

/// The longest template file.
const FILE_BYTES_MAX: u64 = 2 << 20;

macro_rules! shipped {
    ($($name:literal)*) => {
        [$((concat!($name, ".toml"), include_str!(concat!("../../../config/templates/", $name, ".toml")))),*]
    };
}

/// The templates that ship with the binary; a file of `templates.dir` with the same code takes the place of one.
const SHIPPED: &[(&str, &str)] = &shipped![
    "app.failed"
    "app.installed"
    "app.updated"
    "billing.invoice"
    "billing.low_balance"
    "billing.payment_succeeded"
    "content.created"
    "content.deleted"
    "content.reviewed"
    "content.updated"
    "device.created"
    "device.deleted"
    "device.error"
    "device.expiring"
    "device.restored"
    "device.started"
    "device.stopped"
    "mail_button"
    "mail_fact"
    "mail_frame"
    "media.ready"
    "membership.expiring"
    "order_confirm"
    "recommendation.behavior_recorded"
    "recommendation.refresh"
    "scheduler.task_failed"
    "social.digest"
    "subject.general_update"
    "subject.new_episode"
    "subject.season_update"
    "system.maintenance"
    "user.email_verification"
    "user.logged_in"
    "user.login_failed"
    "user.password_reset"
    "user.registered"
    "user.updated"
    "wallet.consumed"
    "wallet.recharged"
    "wallet.withdraw_request"
];

/// A file, its text and the code of the template in it.
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) code: Box<str>,
    pub(super) origin: TemplateOrigin,
}

/// The shipped templates and every `*.toml` of the folder, as they were read; and where each of the folder's stands.
pub(super) fn built_ins(dir: Option<&Path>) -> Result<(Entries, Vec<File>), CatalogError> {
    let mut entries = Entries::new();
    let mut files = Vec::new();
    let shipped = SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    read_all(shipped.collect(), TemplateOrigin::Shipped, &mut entries, &mut files)?;
    if let Some(dir) = dir {
        read_all(texts(dir)?, TemplateOrigin::File, &mut entries, &mut files)?;
    }
    Ok((entries, files))
}

fn read_all(
    texts: Vec<(String, String)>,
    origin: TemplateOrigin,
    entries: &mut Entries,
    files: &mut Vec<File>,
) -> Result<(), CatalogError> {
    let mut origins: HashMap<Box<str>, String> = HashMap::with_capacity(texts.len());
    for (name, text) in texts {
        let source =
            template_file::read(&text).map_err(|problem| CatalogError::Unusable { file: name.clone(), problem })?;
        let code = source.code.clone();
        if let Some(first) = origins.insert(code.clone(), name.clone()) {
            return Err(CatalogError::Twice { code, first, second: name });
        }
        if origin == TemplateOrigin::File
            && let Some(problem) = super::parsed::parse(&source).err().iter().flatten().next()
        {
            let problem = template_file::locate(&text, problem);
            return Err(CatalogError::Unusable { file: name, problem });
        }
        let entry = Entry::new(CurrentTemplate { source, version: 0, is_active: true }, origin);
        entries.insert(Arc::from(&*code), Arc::new(entry));
        files.push(File { name, text, code, origin });
    }
    Ok(())
}

/// Name and text of every template file in a folder, in the order of the names.
fn texts(dir: &Path) -> Result<Vec<(String, String)>, CatalogError> {
    let unreadable = |path: &Path, cause| CatalogError::Unreadable { path: path.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|cause| unreadable(dir, cause))? {
        let path = entry.map_err(|cause| unreadable(dir, cause))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = std::fs::metadata(&path).map_err(|cause| unreadable(&path, cause))?.len();
        if bytes > FILE_BYTES_MAX {
            let detail = format!("longer than {FILE_BYTES_MAX} bytes");
            let problem = FileProblem { line: 1, column: 1, detail };
            return Err(CatalogError::Unusable { file: path.display().to_string(), problem });
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
        files.push((path.display().to_string(), text));
    }
    Ok(files)
}
