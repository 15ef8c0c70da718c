//! Who signs for Amazon's services, from the settings of a provider.

use super::options;
pub(super) use crate::aws::Signer;
use crate::config;

/// Reads `username` (the id of the access key), `password` (its secret), `token` (of a session, where it is one) and
/// `options.region`. `service`: as it stands in the scope of a signature.
pub(super) fn read_signer(settings: &config::Provider, service: &'static str) -> Result<Signer, String> {
    let id = settings.username.as_deref().ok_or("`username` is missing: write the id of an access key")?;
    let secret = settings.password.as_ref().ok_or("`password` is missing: write the secret of the access key")?;
    let region = options::text(settings, "region")?.ok_or("`options.region` is missing: write it as \"eu-west-1\"")?;
    if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(format!("`options.region` is no region: `{region}`"));
    }
    let token = settings.token.as_ref().map(|token| token.expose().trim().to_owned());
    Ok(Signer::new(id.trim(), secret.expose().trim(), token, region, service))
}
