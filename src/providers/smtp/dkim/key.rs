//! The keys of signatures, read once.

use mail_auth::common::crypto::Algorithm;
use mail_auth::common::headers::{Writable, Writer};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::config::Secret;

pub(super) struct Key {
    pair: Pair,
    random: SystemRandom,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// From PEM: PKCS #8 (`openssl genpkey`) or, for RSA, PKCS #1. What is wrong with a key is said without quoting it.
    pub(super) fn read(pem: &Secret) -> Result<Self, String> {
        let unread = "`private_key` is no private key as PEM: begin with `-----BEGIN PRIVATE KEY-----`";
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| unread.to_owned())?;
        let unfit = "`private_key` signs no mail: take RSA with 2048 to 4096 bits, or Ed25519";
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Pair::Rsa),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(Pair::Rsa);
                // As OpenSSL writes them: without the public half.
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519).or_else(rsa)
            }
            _ => None,
        };
        Ok(Self { pair: pair.ok_or(unfit)?, random: SystemRandom::new() })
    }

    pub(super) fn is_rsa(&self) -> bool {
        matches!(self.pair, Pair::Rsa(_))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        if self.is_rsa() { Algorithm::RsaSha256 } else { Algorithm::Ed25519Sha256 }
    }

    pub(super) fn sign(&self, input: impl Writable) -> Result<Vec<u8>, String> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut text = Vec::with_capacity(2 << 10);
                input.write(&mut text);
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, &text, &mut signature)
                    .map_err(|_| "the mail cannot be signed".to_owned())?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => {
                // Of the hash, not of the text: RFC 8463 section 3.
                let mut hash = Hash::new();
                input.write(&mut hash);
                Ok(pair.sign(&hash.finish()).as_ref().to_vec())
            }
        }
    }

    /// As it is published.
    pub(super) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => subject_public_key_info(pair.public().as_ref()),
        }
    }
}

/// `rsaEncryption` without parameters (RFC 8017 appendix A.1), as DER.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The frame that OpenSSL and most name servers' tools put around an RSA key (RFC 5280 section 4.1.2.7).
fn subject_public_key_info(key: &[u8]) -> Vec<u8> {
    // The zero: no bit of the last byte is unused.
    let bits: Vec<u8> = std::iter::once(0).chain(key.iter().copied()).collect();
    let mut content = RSA_ENCRYPTION.to_vec();
    content.extend(tagged(BIT_STRING, &bits));
    tagged(SEQUENCE, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let leading = length.iter().take_while(|byte| **byte == 0).count();
    let mut der = vec![tag];
    match length[leading..] {
        [] => der.push(0),
        [short] if short < 0x80 => der.push(short),
        // Lengths of lengths are at most eight.
        _ => {
            der.push(0x80 | u8::try_from(length.len() - leading).unwrap_or_default());
            der.extend_from_slice(&length[leading..]);
        }
    }
    der.extend_from_slice(content);
    der
}

/// SHA-256 of what mail-auth writes a byte at a time.
pub(super) struct Hash {
    context: digest::Context,
    waiting: Vec<u8>,
}

const WAITING_MAX: usize = 4 << 10;

impl Hash {
    pub(super) fn new() -> Self {
        Self { context: digest::Context::new(&digest::SHA256), waiting: Vec::with_capacity(WAITING_MAX) }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.context.update(&self.waiting);
        self.context.finish().as_ref().to_vec()
    }
}

impl Writer for Hash {
    fn write(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_MAX {
            self.context.update(&self.waiting);
            self.waiting.clear();
        }
        self.waiting.extend_from_slice(bytes);
    }
}
