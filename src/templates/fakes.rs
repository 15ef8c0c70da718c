//! Rendering for tests: knows `{{name}}` and `{{> code}}`, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{
    BuiltIn, CompiledTemplates, Preview, PreviewParts, PreviewWish, SavedTemplate, SmsSize, TemplateOrigin,
    TemplateProblem,
};
use crate::domain::{PartSources, TemplateKey, TemplateSource};

/// What would be rendered from.
#[derive(Debug, Default)]
pub(crate) struct FakeCompiled {
    saved: Mutex<HashMap<TemplateKey, SavedTemplate>>,
    built_ins: Mutex<Vec<BuiltIn>>,
    /// The codes of each step.
    steps: Mutex<Vec<Vec<Box<str>>>>,
}

impl FakeCompiled {
    pub(crate) fn with_built_in(source: TemplateSource) -> Arc<Self> {
        let fake = Self::default();
        let built_in = BuiltIn { source: Arc::new(source), origin: TemplateOrigin::Shipped };
        fake.built_ins.lock().expect("not poisoned").push(built_in);
        Arc::new(fake)
    }

    pub(crate) fn saved(&self, tenant: &str, code: &str) -> Option<SavedTemplate> {
        let key = TemplateKey { tenant: tenant.into(), code: code.into() };
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(crate) fn steps(&self) -> Vec<Vec<Box<str>>> {
        self.steps.lock().expect("not poisoned").clone()
    }

    fn is_there(&self, tenant: &str, code: &str) -> bool {
        matches!(self.saved(tenant, code), Some(SavedTemplate::Current(_))) || self.built_in(code).is_some()
    }
}

impl CompiledTemplates for FakeCompiled {
    fn replace(&self, changes: Vec<(TemplateKey, SavedTemplate)>) {
        self.steps.lock().expect("not poisoned").push(changes.iter().map(|(key, _)| key.code.clone()).collect());
        self.saved.lock().expect("not poisoned").extend(changes);
    }

    fn problem(&self, key: &TemplateKey) -> Option<String> {
        match self.saved(&key.tenant, &key.code)? {
            SavedTemplate::Current(current) => {
                self.validate(&key.tenant, &current.source).err().map(|problems| problems[0].detail.to_string())
            }
            SavedTemplate::Unreadable(reason) => Some(reason.into()),
            SavedTemplate::Nothing => None,
        }
    }

    fn validate(&self, tenant: &str, source: &TemplateSource) -> Result<Vec<TemplateProblem>, Vec<TemplateProblem>> {
        let mut problems = Vec::new();
        for (locale, name, text) in parts(source) {
            let mut problem = |detail: &str| {
                problems.push(TemplateProblem {
                    pointer: format!("/locales/{locale}/{name}").into(),
                    part: Some(name.into()),
                    locale: Some(locale.into()),
                    line: Some(1),
                    column: Some(1),
                    detail: detail.into(),
                    ..TemplateProblem::default()
                });
            };
            if text.matches("{{").count() != text.matches("}}").count() {
                problem("an expression that is not closed");
            }
            for code in included(text) {
                if !self.is_there(tenant, code) {
                    problem(&format!("there is no partial `{code}`"));
                }
            }
        }
        if problems.is_empty() { Ok(Vec::new()) } else { Err(problems) }
    }

    fn users_of(&self, tenant: &str, code: &str) -> Vec<Box<str>> {
        let saved = self.saved.lock().expect("not poisoned");
        let includes =
            |source: &TemplateSource| parts(source).any(|(_, _, text)| included(text).any(|one| one == code));
        let users = saved.iter().filter_map(|(key, saved)| match saved {
            SavedTemplate::Current(current) if *key.tenant == *tenant && includes(&current.source) => {
                Some(key.code.clone())
            }
            _ => None,
        });
        users.collect()
    }

    fn preview(&self, _: &str, source: &TemplateSource, wish: &PreviewWish) -> Result<Preview, Vec<TemplateProblem>> {
        let locale = wish.locale.clone().filter(|locale| source.locales.contains_key(locale));
        let locale = locale.unwrap_or_else(|| source.default_locale.clone());
        let Some(own) = source.locales.get(&locale) else {
            return Err(vec![TemplateProblem::new("/locales", "has none of the default locale")]);
        };
        let fill = |text: &Option<Box<str>>| {
            let mut text = text.as_deref()?.to_owned();
            for (name, value) in wish.data.as_ref().and_then(Value::as_object).into_iter().flatten() {
                text = text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default());
            }
            Some(text)
        };
        let parts = PreviewParts {
            title: fill(&own.title),
            body: fill(&own.body),
            sms: fill(&own.sms),
            ..PreviewParts::default()
        };
        let sms =
            parts.sms.as_ref().map(|text| SmsSize { segments: 1, encoding: "gsm7", characters: text.len() as u32 });
        Ok(Preview { parts, is_right_to_left: &*locale == "ar", locale, sms, warnings: Vec::new() })
    }

    fn built_in(&self, code: &str) -> Option<BuiltIn> {
        self.built_ins().into_iter().find(|built_in| &*built_in.source.code == code)
    }

    fn built_ins(&self) -> Vec<BuiltIn> {
        self.built_ins.lock().expect("not poisoned").clone()
    }
}

fn parts(source: &TemplateSource) -> impl Iterator<Item = (&str, &'static str, &str)> {
    source.locales.iter().flat_map(|(locale, own)| {
        let PartSources { title, body, html, sms, voice, .. } = own;
        let parts = [("title", title), ("body", body), ("html", html), ("sms", sms), ("voice", voice)];
        parts.into_iter().filter_map(move |(name, text)| Some((&**locale, name, text.as_deref()?)))
    })
}

fn included(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{> ").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(code, _)| code)
}
