//! The configuration in force as text, for `fanfare check`: everything but the secrets.

use toml::{Table, Value};

/// Keys whose text is never shown, wherever they stand. Of a provider's own options, anything that sounds like one.
const SECRETS: [&str; 6] = ["key", "password", "signing_secret", "secret", "token", "private_key"];

/// The table all of whose values are secrets (see [`super::Kafka`]): which of librdkafka's settings are is not ours to know.
const SECRET_TABLE: (&str, &str) = ("kafka", "options");

const HIDDEN: &str = "(hidden)";

/// The table as TOML, secrets replaced.
pub(super) fn effective(table: &Table) -> String {
    let mut shown = Value::Table(table.clone());
    hide(&mut shown, "");
    toml::to_string_pretty(&shown).unwrap_or_default()
}

fn hide(value: &mut Value, name: &str) {
    match value {
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                match value {
                    Value::Table(secrets) if (name, key.as_str()) == SECRET_TABLE => {
                        secrets.iter_mut().for_each(|(_, secret)| *secret = Value::String(HIDDEN.to_owned()));
                    }
                    value => hide(value, key),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| hide(item, name)),
        _ if is_secret(name) => *value = Value::String(HIDDEN.to_owned()),
        Value::String(text) => {
            if let Some(hidden) = without_credentials(text, name == "url") {
                *text = hidden;
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name == *secret || name.ends_with(&format!("_{secret}")))
}

/// `scheme://user:password@host` without what stands before the `@`; of an address, also where the scheme was forgotten.
fn without_credentials(text: &str, is_address: bool) -> Option<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.rfind('@').filter(|_| is_address).map(|at| format!("{HIDDEN}{}", &text[at..]));
    };
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
            [coordination.redis]
            url = "me:forgotten@redis:6379"
            [providers.options]
            api_token = "abc123"
            [log.kafka.options]
            "sasl.password" = "sesame"
            "ssl.key.pem" = "-----BEGIN"
        "#
        .parse()
        .expect("valid TOML");
        let shown = effective(&table);
        for secret in ["hunter2", "topsecret", "abc123", "sesame", "BEGIN", "forgotten"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("@mail.example:25/x@y") && shown.contains("default"), "{shown}");
        assert!(shown.contains("sasl.password"), "what is set can be seen: {shown}");
    }
}
