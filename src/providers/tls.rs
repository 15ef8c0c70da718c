//! How providers are spoken to over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Secret;

/// Trusts what the web trusts, and the authorities in `ca_file`; ring is the one provider of cryptography here. `identity`: a
/// certificate with its key, as PEM, where the provider asks for one. `protocols`: those of ALPN.
pub(super) fn client_tls(
    ca_file: Option<&Path>,
    identity: Option<&Secret>,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let unreadable = || format!("`ca_file`: no certificates can be read from `{}`", path.display());
        let found = CertificateDer::pem_file_iter(path).map_err(|_| unreadable())?;
        let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|_| unreadable())?;
        let (added, _) = roots.add_parsable_certificates(found);
        if added == 0 {
            return Err(unreadable());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read_identity(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| "the certificate and its key do not fit".to_owned())?
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn read_identity(pem: &Secret) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let bytes = pem.expose().as_bytes();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let chain = chain.map_err(|_| "the certificate is no PEM".to_owned())?;
    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| "no key stands beside the certificate".to_owned())?;
    if chain.is_empty() { Err("no certificate stands beside the key".to_owned()) } else { Ok((chain, key)) }
}
