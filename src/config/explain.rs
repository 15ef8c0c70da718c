//! The configuration in force as text, for `fanfare check`: everything but the secrets.

use toml::{Table, Value};

/// Keys whose text is never shown, wherever they stand. Of a provider's own options, anything that sounds like one.
const SECRETS: [&str; 6] = ["key", "password", "signing_secret", "secret", "token", "private_key"];

const HIDDEN: &str = "(hidden)";

/// The table as TOML, secrets replaced.
pub(super) fn effective(table: &Table) -> String {
    let mut shown = Value::Table(table.clone());
    hide(&mut shown, "");
    toml::to_string_pretty(&shown).unwrap_or_default()
}

fn hide(value: &mut Value, name: &str) {
    match value {
        Value::Table(table) => table.iter_mut().for_each(|(key, value)| hide(value, key)),
        Value::Array(list) => list.iter_mut().for_each(|item| hide(item, name)),
        _ if is_secret(name) => *value = Value::String(HIDDEN.to_owned()),
        Value::String(text) => {
            if let Some(hidden) = without_credentials(text) {
                *text = hidden;
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name == *secret || name.ends_with(&format!("_{secret}")))
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_credentials(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..authority_end].rfind('@')?;
    Some(format!("{scheme}://{HIDDEN}{}", &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_the_rest_is() {
        let table: Table = r#"
            url = "smtp://me:hunter2@mail.example:25/x@y"
            [[http.keys]]
            key = "topsecret"
            tenant = "default"
            [providers.options]
            api_token = "abc123"
        "#
        .parse()
        .expect("valid TOML");
        let shown = effective(&table);
        for secret in ["hunter2", "topsecret", "abc123"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("@mail.example:25/x@y") && shown.contains("default"), "{shown}");
    }
}
