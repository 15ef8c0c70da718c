//! Where the server is, and how it is spoken to.

use std::sync::Arc;

use rustls::ClientConfig;
use url::Url;

use crate::config;
use crate::config::Secret;
use crate::providers::options;
use crate::providers::outcome::Table;
use crate::providers::tls::client_tls;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) credentials: Option<(String, Secret)>,
    /// How it is encrypted, where it is.
    pub(super) tls_config: Arc<ClientConfig>,
    /// What its replies mean.
    pub(super) table: Arc<Table>,
}

/// When the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Never,
    /// With STARTTLS where the server offers it.
    Offered,
    /// With STARTTLS, or not at all.
    Required,
    /// From the first byte (RFC 8314).
    Implicit,
}

impl Settings {
    pub(super) fn read(settings: &config::Provider) -> Result<Self, String> {
        let text = settings.url.as_deref().ok_or("`url` is missing: write it as \"smtp://mail.example.com:587\"")?;
        let url = Url::parse(text).map_err(|_| "`url` is not a valid URL".to_owned())?;
        let (tls, default_port) = match url.scheme() {
            "smtp" => (Tls::Offered, 25),
            "smtp+starttls" => (Tls::Required, 587),
            "smtps" => (Tls::Implicit, 465),
            scheme => return Err(format!("`url` begins with `{scheme}`: use smtp, smtp+starttls or smtps")),
        };
        let tls = match options::text(settings, "tls")? {
            None => tls,
            Some("none") if tls == Tls::Offered => Tls::Never,
            Some("required") if tls != Tls::Implicit => Tls::Required,
            Some(_) => return Err("`options.tls` is \"none\" or \"required\", and goes with smtp://".into()),
        };
        let host = url.host_str().ok_or("`url` names no host")?.trim_matches(['[', ']']).to_owned();
        let credentials = match (&settings.username, &settings.password) {
            (Some(username), Some(password)) => Some((username.clone(), password.clone())),
            (None, None) => None,
            _ => return Err("`username` and `password` go together".into()),
        };
        let tls_config = client_tls(settings.ca_file.as_deref(), None, &[])?;
        let table = Arc::new(Table::new("smtp", &settings.outcomes));
        Ok(Self { host, port: url.port().unwrap_or(default_port), tls, credentials, tls_config, table })
    }
}
