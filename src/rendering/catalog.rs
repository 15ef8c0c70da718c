//! The templates by their codes: compiled once when loaded, never changed afterwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::engine::Engine;
use super::error::Part;
use super::program::Program;
use super::template_file::{self, FileProblem};
use crate::config;

/// All templates. Another catalog takes its place as a whole.
#[derive(Debug, Default)]
pub struct Catalog {
    templates: HashMap<Box<str>, Template>,
}

/// One template, compiled.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) code: Box<str>,
    pub(super) category: Option<Box<str>>,
    /// By [`Part`]; title and body are always there.
    pub(super) programs: [Option<Program>; 4],
}

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

/// The templates that ship with the binary; a file of `templates.dir` with the same code takes the place of one.
const SHIPPED: [(&str, &str); 4] = [
    ("order_confirm.toml", include_str!("../../config/templates/order_confirm.toml")),
    ("user.registered.toml", include_str!("../../config/templates/user.registered.toml")),
    ("user.password_reset.toml", include_str!("../../config/templates/user.password_reset.toml")),
    ("billing.payment_succeeded.toml", include_str!("../../config/templates/billing.payment_succeeded.toml")),
];

/// The longest template file.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Catalog {
    /// Loads the shipped templates and every `*.toml` of `templates.dir`. Each is compiled and rendered once with the
    /// examples of its variables; one that cannot be used is an error, not a template less.
    pub fn load(config: &config::Templates) -> Result<Self, CatalogError> {
        let engine = Engine::new(config.max_output.as_usize());
        let shipped = SHIPPED.map(|(file, text)| (file.to_owned(), text.to_owned()));
        let mut templates = read_all(shipped.into(), &engine)?;
        if let Some(dir) = &config.dir {
            templates.extend(read_all(files(dir)?, &engine)?);
        }
        Ok(Self { templates })
    }

    /// The codes of all templates with their categories, in order.
    pub fn list(&self) -> Vec<(&str, Option<&str>)> {
        let mut list: Vec<_> =
            self.templates.values().map(|template| (&*template.code, template.category.as_deref())).collect();
        list.sort_unstable();
        list
    }

    pub(super) fn get(&self, code: &str) -> Option<&Template> {
        self.templates.get(code)
    }
}

impl Template {
    pub(super) fn program(&self, part: Part) -> Option<&Program> {
        self.programs[part as usize].as_ref()
    }
}

/// Name and text of every template file in a folder, in the order of the names.
fn files(dir: &Path) -> Result<Vec<(String, String)>, CatalogError> {
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

fn read_all(files: Vec<(String, String)>, engine: &Engine) -> Result<HashMap<Box<str>, Template>, CatalogError> {
    let mut templates = HashMap::with_capacity(files.len());
    let mut origins: HashMap<Box<str>, String> = HashMap::with_capacity(files.len());
    for (file, text) in files {
        let template = match template_file::read(&text, engine) {
            Ok(template) => template,
            Err(problem) => return Err(CatalogError::Unusable { file, problem }),
        };
        let code = template.code.clone();
        if let Some(first) = origins.insert(code.clone(), file.clone()) {
            return Err(CatalogError::Twice { code, first, second: file });
        }
        templates.insert(code, template);
    }
    Ok(templates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;

    fn load(files: &[(&str, &str)]) -> Result<Catalog, CatalogError> {
        let folder = tempfile::tempdir().expect("a folder for tests");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("writable");
        }
        Catalog::load(&config::Templates { dir: Some(folder.path().to_owned()), max_output: ByteSize(4096) })
    }

    #[test]
    fn the_shipped_templates_load_and_have_every_part() {
        let config = config::Templates { dir: None, max_output: ByteSize(256 << 10) };
        let catalog = Catalog::load(&config).expect("they are tried before each release");
        let codes: Vec<&str> = catalog.list().into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["billing.payment_succeeded", "order_confirm", "user.password_reset", "user.registered"]);
        for (code, category) in catalog.list() {
            assert!(category.is_some(), "{code}");
            let template = catalog.get(code).expect("just listed");
            assert!(Part::ALL.iter().all(|part| template.program(*part).is_some()), "{code}");
        }
    }

    #[test]
    fn a_file_of_the_folder_takes_the_place_of_a_shipped_template() {
        let text = "code = \"order_confirm\"\ntitle = \"t\"\nbody = \"b\"\n";
        let catalog = load(&[("mine.toml", text), ("notes.txt", "not a template")]).expect("usable");
        assert_eq!(catalog.list().len(), SHIPPED.len());
        let template = catalog.get("order_confirm").expect("there");
        assert!(matches!(template.program(Part::Body), Some(Program::Literal(text)) if &**text == "b"));
        assert!(template.program(Part::Html).is_none());
    }

    #[test]
    fn a_code_that_is_used_twice_is_refused() {
        let text = "code = \"a\"\ntitle = \"t\"\nbody = \"b\"\n";
        let error = load(&[("one.toml", text), ("two.toml", text)]).expect_err("ambiguous").to_string();
        assert!(error.contains("`a`") && error.contains("one.toml") && error.contains("two.toml"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_line_and_column() {
        let text = "code = \"a\"\ntitle = \"t\"\nbody = \"Hello {{frist name}}\"\n";
        let error = load(&[("one.toml", text)]).expect_err("unknown helper").to_string();
        assert!(error.contains("one.toml"), "{error}");
        assert!(error.contains("line 3, column 15: body: there is no helper `frist`"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_names_the_setting() {
        let config = config::Templates { dir: Some("/no/such/folder".into()), max_output: ByteSize(4096) };
        let error = Catalog::load(&config).expect_err("nothing there").to_string();
        assert!(error.contains("/no/such/folder") && error.contains("templates.dir"), "{error}");
    }
}
