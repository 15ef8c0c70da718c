//! The templates in force, by tenant and code: read and linked once, when the first message is made of them.
//!
//! What a tenant saved stands over the files of a folder, and those over what ships with the binary. A tenant that saved a partial
//! of its own has the built-in templates that include it linked anew, for itself alone.

mod linked;
mod load;
mod parsed;
mod template_file;
mod variables;
mod view;
mod warnings;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

pub(super) use linked::{Template, Text, Texts};
pub use load::CatalogError;
pub(super) use parsed::pointer;
pub use template_file::{FileProblem, locate, read as read_file};
pub(super) use variables::{check as check_variables, examples};

use self::linked::{LinkProblem, link};
use self::load::File;
use self::view::{Entries, Entry, View, in_words};
use crate::config;
use crate::domain::{CurrentTemplate, Experiment, TemplateKey, TemplateSource};
use crate::templates::{BuiltIn, SavedTemplate, TemplateOrigin, TemplateProblem};

/// How many of those that include a template are rendered when it is tried: each takes milliseconds.
const JUDGED_USERS_MAX: usize = 200;

/// How many of them are linked.
const LINKED_USERS_MAX: usize = 2000;

/// All templates in force. Another catalog takes its place as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    built_in: Shelf,
    tenants: HashMap<Arc<str>, Shelf>,
}

/// The templates of one tenant, or the built-in ones.
#[derive(Debug, Clone, Default)]
struct Shelf {
    entries: Entries,
    /// Ready to be rendered, or why not, once somebody asked. A tenant's shelf has some built-in ones, too.
    linked: HashMap<Arc<str>, Arc<OnceLock<Linked>>>,
}

type Linked = Result<Arc<Template>, Arc<str>>;

impl Catalog {
    /// The shipped templates and those of `templates.dir`, of which each is tried with `try_out`, which tells what is wrong: one that
    /// cannot be used is an error, not a template less. Those that ship were tried before the release.
    pub(super) fn load(
        config: &config::Templates,
        try_out: impl Fn(&TemplateSource, &Template) -> Vec<TemplateProblem>,
    ) -> Result<Self, CatalogError> {
        let (entries, files) = load::built_ins(config.dir.as_deref())?;
        let linked = entries.keys().map(|code| (code.clone(), Arc::default())).collect();
        let catalog = Self { built_in: Shelf { entries, linked }, ..Self::default() };
        for file in files.into_iter().filter(|file| file.origin == TemplateOrigin::File) {
            if let Some(problem) = catalog.problem_of_file(&file, &try_out) {
                let problem = template_file::locate(&file.text, &problem);
                return Err(CatalogError::Unusable { file: file.name, problem });
            }
        }
        Ok(catalog)
    }

    fn problem_of_file(
        &self,
        file: &File,
        try_out: impl Fn(&TemplateSource, &Template) -> Vec<TemplateProblem>,
    ) -> Option<TemplateProblem> {
        let entry = self.built_in.entries.get(&*file.code)?;
        let current = entry.current.as_ref()?;
        match self.tried(&self.view(""), entry) {
            Err(problem) => Some(problem),
            Ok(template) => try_out(&current.source, &template).into_iter().next(),
        }
    }

    /// The template in force under a code; `None`: there is none. An error says why it cannot be used.
    pub(super) fn get(&self, tenant: &str, code: &str) -> Option<&Linked> {
        let own = self.tenants.get(tenant).and_then(|shelf| shelf.linked.get(code));
        let place = own.or_else(|| self.built_in.linked.get(code))?;
        Some(place.get_or_init(|| {
            let linked = catch_unwind(AssertUnwindSafe(|| link_or_explain(&self.view(tenant), code)));
            linked.unwrap_or_else(|_| Err("preparing it failed: please report this with the template's source".into()))
        }))
    }

    /// Why a template cannot be used, if that was found already: nothing is read or linked for it.
    pub(super) fn known_problem(&self, tenant: &str, code: &str) -> Option<&str> {
        match self.linked(tenant, code)? {
            Some(linked) => linked.as_ref().err().map(|why| &**why),
            None => self.view(tenant).entry(code)?.known_problem(),
        }
    }

    /// What stands under a code, if it was linked; `None`: there is no such template.
    fn linked(&self, tenant: &str, code: &str) -> Option<Option<&Linked>> {
        let own = self.tenants.get(tenant).and_then(|shelf| shelf.linked.get(code));
        own.or_else(|| self.built_in.linked.get(code)).map(|place| place.get())
    }

    /// The category of a template; `None`: it has none, or there is no such template.
    pub(super) fn category(&self, tenant: &str, code: &str) -> Option<&str> {
        self.view(tenant).entry(code)?.current.as_ref()?.source.category.as_deref()
    }

    pub(super) fn experiment(&self, tenant: &str, code: &str) -> Option<&Arc<Experiment>> {
        self.view(tenant).entry(code)?.experiment.as_ref()
    }

    /// Those that include this one, directly or around corners, in order.
    pub(super) fn users_of(&self, tenant: &str, code: &str) -> Vec<&str> {
        self.view(tenant).users_of(code)
    }

    pub(super) fn built_in(&self, code: &str) -> Option<BuiltIn> {
        self.built_in.entries.get(code).and_then(|entry| entry.built_in.clone())
    }

    pub(super) fn built_ins(&self) -> Vec<BuiltIn> {
        let mut all: Vec<BuiltIn> = self.built_in.entries.values().filter_map(|entry| entry.built_in.clone()).collect();
        all.sort_by(|a, b| a.source.code.cmp(&b.source.code));
        all
    }

    /// Puts what was saved in the place of what was there. What was in use and changes by it is linked anew at once: no message
    /// waits for that.
    pub(super) fn replace(&mut self, changes: Vec<(TemplateKey, SavedTemplate)>) {
        let mut by_tenant: HashMap<Box<str>, Vec<(Box<str>, SavedTemplate)>> = HashMap::new();
        for (key, saved) in changes {
            by_tenant.entry(key.tenant).or_default().push((key.code, saved));
        }
        for (tenant, changes) in by_tenant {
            for code in self.replace_of(&tenant, changes) {
                _ = self.get(&tenant, &code);
            }
        }
    }

    /// The codes of those that were linked and are not any more.
    fn replace_of(&mut self, tenant: &str, changes: Vec<(Box<str>, SavedTemplate)>) -> Vec<Arc<str>> {
        let mut shelf = self.tenants.remove(tenant).unwrap_or_default();
        let mut changed: HashSet<Arc<str>> = HashSet::with_capacity(changes.len());
        for (code, saved) in changes {
            let code: Arc<str> = Arc::from(&*code);
            match saved {
                SavedTemplate::Current(current) => {
                    shelf.entries.insert(code.clone(), Arc::new(Entry::new(current, TemplateOrigin::Saved)));
                }
                SavedTemplate::Unreadable(why) => {
                    shelf.entries.insert(code.clone(), Arc::new(Entry::unreadable(why)));
                }
                SavedTemplate::Nothing => _ = shelf.entries.remove(&code),
            }
            changed.insert(code);
        }
        let view = View { built_in: &self.built_in.entries, own: Some(&shelf.entries), tried: None };
        let mut linked = std::mem::take(&mut shelf.linked);
        let mut unlinked = Vec::new();
        for code in view.with_users(changed) {
            let place = linked.get(&code).or_else(|| self.built_in.linked.get(&code));
            if place.is_some_and(|place| place.get().is_some()) {
                unlinked.push(code.clone());
            }
            if view.is_own(&code) {
                linked.insert(code, Arc::default());
            } else {
                linked.remove(&code);
            }
        }
        shelf.linked = linked;
        if !shelf.entries.is_empty() {
            self.tenants.insert(Arc::from(tenant), shelf);
        }
        unlinked
    }

    /// Links a template that is only tried, with the rest as it is in force for the tenant.
    pub(super) fn try_one(&self, tenant: &str, source: &TemplateSource) -> Result<Tried, Vec<TemplateProblem>> {
        parsed::parse(source)?;
        let current = CurrentTemplate { source: source.clone(), version: 0, is_active: true };
        let entry = Arc::new(Entry::new(current, TemplateOrigin::Saved));
        let view = View { tried: Some((&source.code, &entry)), ..self.view(tenant) };
        let template = self.tried(&view, &entry).map_err(|problem| vec![problem])?;
        let warnings = entry.with_parsed(|_, parsed| warnings::warnings(source, parsed, &view)).unwrap_or_default();
        Ok(Tried { template, warnings, entry })
    }

    /// Tries those that include a template that is only tried: whether they could be used as well as now. One by one, by their codes:
    /// the first 200 are judged as well, the next 1800 only linked, and the rest are not looked at, so that what many include can
    /// still be saved; what is wrong with one of those shows in its problem.
    pub(super) fn try_users(
        &self,
        tenant: &str,
        tried: &Tried,
        judge: impl Fn(&TemplateSource, &Template) -> Option<TemplateProblem>,
    ) -> Result<(), Vec<TemplateProblem>> {
        let Some(current) = &tried.entry.current else { return Ok(()) };
        let code = &*current.source.code;
        let view = View { tried: Some((code, &tried.entry)), ..self.view(tenant) };
        for (number, code) in view.users_of(code).into_iter().take(LINKED_USERS_MAX).enumerate() {
            let Some((user, Some(current))) = view.entry(code).map(|user| (user, &user.current)) else { continue };
            let judge = |template: &Template| match number < JUDGED_USERS_MAX {
                true => judge(&current.source, template),
                false => None,
            };
            let problem = match self.tried(&view, user) {
                Ok(template) => judge(&template),
                Err(problem) => Some(problem),
            };
            let Some(problem) = problem else { continue };
            // What could not be used before is no worse for it.
            let works = matches!(self.get(tenant, code), Some(Ok(template)) if judge(template).is_none());
            if works {
                let why = in_words(&[problem]);
                let detail = format!("`{code}`, which includes it, could not be used any more: {why}");
                return Err(vec![TemplateProblem::new("", detail)]);
            }
        }
        Ok(())
    }

    fn tried(&self, view: &View<'_>, entry: &Entry) -> Result<Template, TemplateProblem> {
        let linked = entry.with_parsed(|current, parsed| {
            link(current, parsed, view).map_err(|problem| problem.of_template(&current.source))
        });
        linked.unwrap_or_else(|why| Err(TemplateProblem::new("", why)))
    }

    fn view(&self, tenant: &str) -> View<'_> {
        let own = self.tenants.get(tenant).map(|shelf| &shelf.entries);
        View { built_in: &self.built_in.entries, own, tried: None }
    }
}

/// A template as it would be in force.
pub(super) struct Tried {
    pub(super) template: Template,
    pub(super) warnings: Vec<TemplateProblem>,
    entry: Arc<Entry>,
}

fn link_or_explain(view: &View<'_>, code: &str) -> Linked {
    let Some(entry) = view.entry(code) else { return Err("it is not there".into()) };
    let linked = entry.with_parsed(|current, parsed| {
        let problem = |problem: LinkProblem| in_words(&[problem.of_template(&current.source)]);
        link(current, parsed, view).map(Arc::new).map_err(|error| Arc::from(problem(error)))
    });
    linked.unwrap_or_else(|why| Err(Arc::from(why)))
}
