//! The API of a provider: one origin that an operator chose, to which all requests go.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};
use tokio::time::Instant;

use super::{Answer, HttpClient, HttpFailure, Target};
use crate::config;
use crate::providers::BuildContext;
use crate::providers::guard::Guard;
use crate::providers::tls::client_tls;

pub(in crate::providers) struct Api {
    client: HttpClient,
    target: Arc<Target>,
    /// Of the path, where the address in the configuration has one; without a slash at its end.
    prefix: String,
}

impl Api {
    /// `usual`: the provider's own address, which `url` in the configuration overrides.
    pub(in crate::providers) fn new(
        settings: &config::Provider,
        context: &BuildContext,
        usual: &str,
    ) -> Result<Self, String> {
        let url = settings.url.as_deref().unwrap_or(usual);
        // An operator may have a proxy within the own network: the guard is against addresses that come with requests.
        let guard = Guard::new(true, context.clock.clone());
        let tls = client_tls(settings.ca_file.as_deref(), None, &[])?;
        let client =
            HttpClient::new(guard, context.clock.clone(), tls, settings.max_in_flight).within(settings.timeout);
        let target = client.target(url).map_err(|failure| format!("`url`: {}", failure.reason()))?;
        let prefix = target.path().trim_end_matches('/').to_owned();
        if prefix.contains('?') {
            return Err("`url` must have no query".into());
        }
        Ok(Self { client, target, prefix })
    }

    /// As the header `Host` has it.
    pub(in crate::providers) fn host(&self) -> &str {
        self.target.host()
    }

    /// A path of the API as it stands in the request line: what is signed.
    pub(in crate::providers) fn path(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.prefix)
    }

    /// Sends a request to a path that begins with a slash.
    pub(in crate::providers) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Answer, HttpFailure> {
        self.send_until(method, path_and_query, headers, body, self.patience()).await
    }

    /// When a send that begins now must have begun to write: well before the caller gives it up.
    pub(in crate::providers) fn patience(&self) -> Instant {
        self.client.patience()
    }

    /// The same, and begun before `until` or not at all.
    pub(in crate::providers) async fn send_until(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        until: Instant,
    ) -> Result<Answer, HttpFailure> {
        let path = self.path(path_and_query);
        let uri: Uri = path.parse().map_err(|_| HttpFailure::Refused("the path of the request is not valid".into()))?;
        self.client.request_until(&self.target, method, uri, headers, body.into(), until).await
    }

    /// Opens a connection, to see that somebody is there.
    pub(in crate::providers) async fn reach(&self) -> Result<(), String> {
        self.client.reach(&self.target).await.map_err(|failure| failure.reason().to_owned())
    }
}
