//! A service account, as the Google Cloud console hands it out.

use serde::Deserialize;

use crate::config::Secret;
use crate::providers::jwt::Rs256;

pub(super) struct Account {
    pub(super) project: String,
    pub(super) email: String,
    pub(super) key_id: String,
    /// Where access tokens are had; also whom the assertion is meant for.
    pub(super) token_uri: String,
    pub(super) key: Rs256,
}

#[derive(Deserialize)]
struct File {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    #[serde(default = "usual_token_uri")]
    token_uri: String,
}

fn usual_token_uri() -> String {
    "https://oauth2.googleapis.com/token".into()
}

impl Account {
    pub(super) fn read(secret: &Secret) -> Result<Self, String> {
        // The error of the parser may show what stands there.
        let file: File = serde_json::from_str(secret.expose()).map_err(|_| {
            "`private_key` is not the JSON file of a service account: it needs `project_id`, `private_key_id`, `private_key` and \
             `client_email`"
                .to_owned()
        })?;
        if file.project_id.is_empty() || file.project_id.bytes().any(|byte| b"/?#% ".contains(&byte)) {
            return Err("`private_key`: its `project_id` is none".into());
        }
        let key = Rs256::from_pem(&file.private_key).map_err(|error| format!("`private_key`: {error}"))?;
        Ok(Self {
            project: file.project_id,
            email: file.client_email,
            key_id: file.private_key_id,
            token_uri: file.token_uri,
            key,
        })
    }
}
