//! How an engine is configured to deliver to the mock by the API of a provider.

use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::request::subscription;
use crate::channel::Channel;
use crate::mock::Kind;

/// The name of the provider in the configuration.
pub(crate) const NAME: &str = "load";

/// Where the providers begin in a configuration.
const SECTION: &str = "[[providers]]";

/// One of the providers of a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) name: &'a str,
    /// Where the mock listens that it ends at.
    pub(crate) mock: &'a str,
}

/// `base` with these providers of one `kind` instead of its own, all of the same weight.
pub(crate) fn only(base: &str, kind: Kind, accounts: &[Account<'_>]) -> Result<String> {
    let mut config = base.split(SECTION).next().unwrap_or_default().to_owned();
    for Account { name, mock } in accounts {
        let own = own_keys(kind, mock)?;
        // Each subscription of a browser brings its own address: with a `url` the engine would not start.
        let url = if kind == Kind::WebPush { String::new() } else { format!("url = \"http://{mock}\"\n") };
        config += &format!(
            "{SECTION}\nname = \"{name}\"\nkind = \"{}\"\n{url}max_in_flight = 64\ntimeout = \"10s\"\n{own}\n",
            kind.name()
        );
    }
    Ok(config)
}

/// Where messages go: a webhook's address, the subscription of a browser, what tokens begin with, the name of a chat's provider.
pub(crate) fn target(kind: Option<Kind>, mock: &str) -> String {
    match (kind, kind.map(Channel::of)) {
        (Some(Kind::WebPush), _) => subscription(mock),
        // Digits alone are a token of Apple's, which FCM does not take.
        (Some(Kind::Fcm), _) => "load:".to_owned(),
        (Some(Kind::WecomApp), _) => format!("{NAME}:alice"),
        (_, Some(Channel::Chat)) => NAME.to_owned(),
        (_, Some(_)) => String::new(),
        (_, None) => format!("http://{mock}/hook"),
    }
}

/// The keys that only this kind has. The secrets are those that the mock expects where none is given.
fn own_keys(kind: Kind, mock: &str) -> Result<String> {
    let mail = "from = \"Fanfare <fanfare@load.example>\"\n";
    let account = "username = \"AC00000000000000000000000000000000\"\npassword = \"mock\"\nfrom = \"+15005550006\"\n";
    let access = "username = \"mock\"\npassword = \"mock\"\n";
    Ok(match kind {
        Kind::Sendgrid => format!("{mail}api_key = \"mock\"\n"),
        Kind::Ses => format!("{mail}{access}options = {{ region = \"us-east-1\" }}\n"),
        Kind::Mailgun => {
            format!("{mail}api_key = \"mock\"\nreceipt_secret = \"mock\"\noptions = {{ domain = \"load.example\" }}\n")
        }
        Kind::TwilioSms | Kind::TwilioVoice => account.to_owned(),
        Kind::SnsSms => format!("{access}options = {{ region = \"us-east-1\" }}\n"),
        Kind::AliyunSms => format!(
            "{access}from = \"Fanfare\"\nreceipt_secret = \"mock\"\noptions = {{ templates = {{ default = {{ code = \"SMS_1\", params = [\"order_id\", \"name\"] }} }} }}\n"
        ),
        Kind::Fcm => format!("private_key = '''{}'''\n", service_account(mock)?),
        Kind::Apns => format!(
            "private_key = '''{}'''\noptions = {{ key_id = \"MOCK000000\", team_id = \"MOCK000000\", topic = \"example.load\" }}\n",
            elliptic_key()?
        ),
        Kind::WebPush => {
            format!("private_key = '''{}'''\noptions = {{ subject = \"mailto:load@load.example\" }}\n", elliptic_key()?)
        }
        Kind::Dingtalk | Kind::Wecom | Kind::Feishu => "token = \"mock\"\n".to_owned(),
        Kind::WecomApp => format!("{access}options = {{ agent_id = 1 }}\n"),
        Kind::Slack => "token = \"T00000000/B00000000/mock\"\n".to_owned(),
    })
}

/// A P-256 key as PEM. Keys are made anew for each run: none stands in the repository.
fn elliptic_key() -> Result<String> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let made = made.map_err(|_| anyhow!("cannot make a key"))?;
    let text = STANDARD.encode(made.as_ref());
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

/// What Google hands out as a file, with an RSA key of this run. `openssl` makes the key: ring cannot.
fn service_account(mock: &str) -> Result<String> {
    let made =
        Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).output();
    let made = made.context("cannot start `openssl`, which makes the key of FCM's account: install it")?;
    ensure!(made.status.success(), "`openssl` cannot make an RSA key: {}", String::from_utf8_lossy(&made.stderr));
    let account = json!({
        "type": "service_account",
        "project_id": "load",
        "private_key_id": "mock",
        "private_key": String::from_utf8(made.stdout).context("`openssl` writes no PEM")?,
        "client_email": "load@load.example",
        "token_uri": format!("http://{mock}/token"),
    });
    Ok(account.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_provider_takes_the_place_of_all() {
        let base = "[http]\nlisten = \"x\"\n\n[[providers]]\nname = \"a\"\n\n[[providers]]\nname = \"b\"\n";
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Fcm) {
            let config = only(base, kind, &[Account { name: NAME, mock: "127.0.0.1:9090" }]).expect("written");
            assert_eq!(config.matches(SECTION).count(), 1, "{config}");
            assert!(config.starts_with("[http]") && config.contains(&format!("kind = \"{}\"", kind.name())));
            let has_url = config.lines().any(|line| line.starts_with("url = "));
            assert_eq!(has_url, kind != Kind::WebPush, "{config}");
        }
    }

    #[test]
    fn several_accounts_end_at_mocks_of_their_own() {
        let accounts = [Account { name: "a", mock: "127.0.0.1:1" }, Account { name: "b", mock: "127.0.0.1:2" }];
        let config = only("[http]\n", Kind::Sendgrid, &accounts).expect("written");
        assert_eq!(config.matches(SECTION).count(), 2, "{config}");
        let (_, second) = config.split_once("name = \"b\"").expect("named");
        assert!(second.contains("127.0.0.1:2") && !second.contains("127.0.0.1:1"), "{config}");
    }
}
