//! Which template there stands for which of ours, and where its parameters come from.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::Message;

/// By the code of our template; `default` stands for all others, and for texts that came with the request.
pub(super) struct Templates(BTreeMap<String, Template>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    code: String,
    /// Fields of the request's `data`, by the names of the template's variables.
    #[serde(default)]
    params: Vec<String>,
}

const DEFAULT: &str = "default";

impl Templates {
    pub(super) fn read(option: Option<&toml::Value>) -> Result<Self, String> {
        const SHAPE: &str = "`options.templates`: write { order_paid = { code = \"SMS_123\", params = [\"order_id\"] }, \
                             default = { code = \"SMS_124\" } }";
        let option = option.ok_or_else(|| format!("{SHAPE}: texts there are templates that were approved"))?;
        let templates: BTreeMap<String, Template> = option.clone().try_into().map_err(|_| SHAPE.to_owned())?;
        if templates.values().any(|template| template.code.is_empty()) || templates.is_empty() {
            return Err(SHAPE.into());
        }
        Ok(Self(templates))
    }

    /// The template's code there, and its parameters as JSON: "strings only" (`isv.INVALID_JSON_PARAM`).
    pub(super) fn filled(&self, message: &Message) -> Result<(&str, String), Box<str>> {
        let ours = message.template.as_deref().unwrap_or(DEFAULT);
        let Some(template) = self.0.get(ours).or_else(|| self.0.get(DEFAULT)) else {
            return Err("the provider has no template for this one: add it to `options.templates`".into());
        };
        let data: BTreeMap<&str, Value> = if template.params.is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_str(&message.data).map_err(|_| "`data` cannot be read")?
        };
        let mut parameters = BTreeMap::new();
        for name in &template.params {
            let value = match data.get(name.as_str()) {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                _ => return Err(format!("`data` has no text `{name}`, which the provider's template asks for").into()),
            };
            parameters.insert(name, value);
        }
        let parameters = serde_json::to_string(&parameters).map_err(|_| "the parameters cannot be written")?;
        Ok((&template.code, parameters))
    }
}
