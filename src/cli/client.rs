//! A client of the API, for the commands that talk to a running server.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// The longest a call may take.
const CALL_WAIT_MAX: Duration = Duration::from_secs(60);

/// Where the server is, and in whose name to call it.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server's address
    #[arg(long, env = "FANFARE_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: String,
    /// The API key; the default is the one of the built-in configuration
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true, global = true)]
    key: String,
}

pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Server {
    pub(super) fn connect(&self) -> anyhow::Result<Client> {
        let url = self.url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(CALL_WAIT_MAX);
        // Without certificates nothing but plain HTTP can be asked for, and the system's are not everywhere.
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        let tls = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore { roots });
        let http = http.use_preconfigured_tls(tls.with_no_client_auth());
        Ok(Client { http: http.build().context("cannot set up the HTTP client")?, url, key: self.key.clone() })
    }
}

impl Client {
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// Sends the request; the answer's JSON, or an error that says what the server said.
    pub(super) async fn call(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let (status, json) = self.exchange(request).await?;
        if status.is_success() {
            return Ok(json);
        }
        bail!("{status}{}", explanation(&json));
    }

    /// Sends the request; the status, and the answer's JSON.
    pub(super) async fn exchange(&self, request: RequestBuilder) -> anyhow::Result<(StatusCode, Value)> {
        let response = request
            .send()
            .await
            // The error names the address already.
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("cannot reach the server at {}", self.url))?;
        let status = response.status();
        let body = response.text().await.context("the answer broke off")?;
        Ok((status, serde_json::from_str(&body).unwrap_or_default()))
    }
}

/// The words of a problem, fields and all.
pub(super) fn explanation(problem: &Value) -> String {
    let mut text = String::new();
    let errors = problem["errors"].as_array();
    for error in errors.into_iter().flatten() {
        let (pointer, detail) = (&error["pointer"], &error["detail"]);
        let separator = if text.is_empty() { ": " } else { "; " };
        let place = match (error["line"].as_u64(), error["column"].as_u64()) {
            (Some(line), Some(column)) => format!("line {line}, column {column}: "),
            _ => String::new(),
        };
        text += &format!("{separator}{} {place}{}", pointer.as_str().unwrap_or(""), detail.as_str().unwrap_or(""));
    }
    if text.is_empty()
        && let Some(detail) = problem["detail"].as_str()
    {
        text = format!(": {detail}");
    }
    text
}
