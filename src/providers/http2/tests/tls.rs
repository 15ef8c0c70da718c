//! Over TLS the server must choose HTTP/2.

use std::io::Write;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509NameBuilder};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use super::*;
use crate::providers::jwt::testing::new_ec_pem;

/// A certificate for 127.0.0.1 by itself, and its key, as PEM.
fn certificate() -> (String, String) {
    let pem = new_ec_pem();
    let key = PKey::private_key_from_pem(pem.as_bytes()).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "test").expect("a name");
    let name = name.build();
    let mut certificate = X509Builder::new().expect("a certificate");
    certificate.set_version(2).expect("set");
    certificate.set_subject_name(&name).expect("set");
    certificate.set_issuer_name(&name).expect("set");
    certificate.set_pubkey(&key).expect("set");
    certificate.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("set");
    certificate.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("set");
    let host = SubjectAlternativeName::new().ip("127.0.0.1").build(&certificate.x509v3_context(None, None));
    certificate.append_extension(host.expect("a host")).expect("set");
    certificate.sign(&key, MessageDigest::sha256()).expect("signed");
    let text = certificate.build().to_pem().expect("PEM");
    (String::from_utf8(text).expect("text"), pem)
}

/// Answers every request with 204, in HTTP/2, whatever was chosen. Its address and authority.
async fn server(protocols: &[&[u8]]) -> (String, tempfile::NamedTempFile) {
    let (certificate, key) = certificate();
    let mut authority = tempfile::NamedTempFile::new().expect("a file");
    authority.write_all(certificate.as_bytes()).expect("written");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("TLS").with_no_client_auth().with_single_cert(chain, key).expect("TLS");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = tls.accept(stream).await else { continue };
            let service = service_fn(async |_| {
                let response = hyper::Response::builder().status(204).body(Full::new(Bytes::new()));
                Ok::<_, std::convert::Infallible>(response.expect("an answer"))
            });
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    (url, authority)
}

async fn send(protocols: &[&[u8]]) -> Result<u16, HttpFailure> {
    let (url, authority) = server(protocols).await;
    let tls = client_tls(Some(authority.path()), None, PROTOCOLS).expect("TLS");
    let answer = soon(Sending::over(&url, false, tls).send()).await?;
    Ok(answer.status.as_u16())
}

#[tokio::test]
async fn a_server_that_chooses_http2_is_spoken_to() {
    assert_eq!(send(&[b"h2"]).await, Ok(204));
}

#[tokio::test]
async fn a_server_that_does_not_choose_http2_is_not_spoken_to() {
    let failure = Err(HttpFailure::Unreachable("the server does not speak HTTP/2".into()));
    assert_eq!(send(&[]).await, failure);
    assert!(matches!(send(&[b"http/1.1"]).await, Err(HttpFailure::Unreachable(_))));
}
