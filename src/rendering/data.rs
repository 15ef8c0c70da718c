//! What a message is filled from: the data of its request, and of a template over the values that every template sees.

use std::cell::OnceCell;

use handlebars::Context;
use serde_json::{Map, Value};

use super::RenderError;

/// Read when the first expression asks for it and then only once.
pub(super) struct Data<'a> {
    json: &'a str,
    /// Where the data has no such name.
    usual: Option<&'a Map<String, Value>>,
    context: OnceCell<Context>,
}

impl<'a> Data<'a> {
    pub(super) fn new(json: &'a str, usual: Option<&'a Map<String, Value>>) -> Self {
        Self { json, usual, context: OnceCell::new() }
    }

    pub(super) fn context(&self) -> Result<&Context, RenderError> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let refuse = |detail: &str| RenderError::Data { detail: detail.into() };
        let value: Value = serde_json::from_str(self.json).map_err(|_| refuse("it is no valid JSON"))?;
        let Value::Object(mut fields) = value else { return Err(refuse("it must be a JSON object")) };
        for (name, value) in self.usual.into_iter().flatten() {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
            }
        }
        Ok(self.context.get_or_init(|| Context::from(Value::Object(fields))))
    }

    /// The fields, to be looked at one by one.
    pub(super) fn fields(&self) -> Result<&Map<String, Value>, RenderError> {
        let context = self.context()?;
        // Whatever is no object was refused.
        context.data().as_object().ok_or_else(|| RenderError::Data { detail: "it must be a JSON object".into() })
    }
}
