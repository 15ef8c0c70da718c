//! JSON Web Tokens, as we sign them (RFC 7515, RFC 7519): ES256 and RS256, both by ring. OpenSSL only reads the keys, in whatever form
//! they were handed out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;

/// Signs with a P-256 key.
pub(super) struct Es256 {
    key: EcdsaKeyPair,
    /// Uncompressed: 65 bytes.
    public: Vec<u8>,
    random: SystemRandom,
}

/// Signs with an RSA key.
pub(super) struct Rs256 {
    key: RsaKeyPair,
    random: SystemRandom,
}

/// The length of a P-256 key.
const SCALAR_BYTES: usize = 32;

impl Es256 {
    /// From PEM, PKCS #8 or SEC 1.
    pub(super) fn from_pem(pem: &str) -> Result<Self, String> {
        let wrong = "no P-256 key as PEM";
        let key = PKey::private_key_from_pem(pem.as_bytes()).map_err(|_| wrong)?;
        let key = key.ec_key().map_err(|_| wrong)?;
        if key.group().curve_name() != Some(Nid::X9_62_PRIME256V1) {
            return Err(wrong.into());
        }
        Self::from_key(&key)
    }

    /// From the 32 bytes of the key alone, as base64url: what the tools for VAPID write.
    pub(super) fn from_base64url(text: &str) -> Result<Self, String> {
        let wrong = || "no P-256 key of 32 bytes as base64url".to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).map_err(|_| wrong())?;
        if bytes.len() != SCALAR_BYTES {
            return Err(wrong());
        }
        derive(&bytes).map_err(|_| wrong()).and_then(|key| Self::from_key(&key))
    }

    fn from_key(key: &EcKey<Private>) -> Result<Self, String> {
        let unusable = |_| "the key cannot be used".to_owned();
        let scalar = key.private_key().to_vec_padded(SCALAR_BYTES as i32).map_err(unusable)?;
        let mut numbers = BigNumContext::new().map_err(unusable)?;
        let form = PointConversionForm::UNCOMPRESSED;
        let public = key.public_key().to_bytes(key.group(), form, &mut numbers).map_err(unusable)?;
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &scalar, &public, &random);
        Ok(Self { key: key.map_err(|_| "the key cannot be used")?, public, random })
    }

    /// The public key, uncompressed: 65 bytes.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// A signed token; header and claims are objects.
    pub(super) fn sign(&self, header: &impl Serialize, claims: &impl Serialize) -> Result<String, String> {
        let mut token = unsigned(header, claims)?;
        let signature = self.key.sign(&self.random, token.as_bytes()).map_err(|_| "the key does not sign")?;
        append(&mut token, signature.as_ref());
        Ok(token)
    }
}

/// The public key belongs to the private one.
fn derive(scalar: &[u8]) -> Result<EcKey<Private>, openssl::error::ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let mut numbers = BigNumContext::new()?;
    let number = BigNum::from_slice(scalar)?;
    let mut public = EcPoint::new(&group)?;
    public.mul_generator2(&group, &number, &mut numbers)?;
    let key = EcKey::from_private_components(&group, &number, &public)?;
    key.check_key()?;
    Ok(key)
}

impl Rs256 {
    /// From PEM, PKCS #8 or PKCS #1.
    pub(super) fn from_pem(pem: &str) -> Result<Self, String> {
        let wrong = |_| "no RSA key as PEM".to_owned();
        let key = PKey::private_key_from_pem(pem.as_bytes()).map_err(wrong)?.rsa().map_err(wrong)?;
        let der = key.private_key_to_der().map_err(wrong)?;
        let key = RsaKeyPair::from_der(&der).map_err(|_| "the RSA key cannot be used: it needs 2048 bits or more")?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// A signed token; header and claims are objects. It takes about a millisecond.
    pub(super) fn sign(&self, header: &impl Serialize, claims: &impl Serialize) -> Result<String, String> {
        let mut token = unsigned(header, claims)?;
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &self.random, token.as_bytes(), &mut signature);
        signed.map_err(|_| "the key does not sign")?;
        append(&mut token, &signature);
        Ok(token)
    }
}

fn unsigned(header: &impl Serialize, claims: &impl Serialize) -> Result<String, String> {
    let json = |bytes: serde_json::Result<Vec<u8>>| bytes.map_err(|_| "the token cannot be written".to_owned());
    let mut token = String::with_capacity(512);
    URL_SAFE_NO_PAD.encode_string(json(serde_json::to_vec(header))?, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(json(serde_json::to_vec(claims))?, &mut token);
    Ok(token)
}

fn append(token: &mut String, signature: &[u8]) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, token);
}

/// What tests of adapters read and check tokens with.
#[cfg(test)]
pub(super) mod testing {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use openssl::rsa::Rsa;
    use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};

    use super::*;

    /// A new P-256 key as PKCS #8 PEM.
    pub(in crate::providers) fn new_ec_pem() -> String {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("known");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        String::from_utf8(key.private_key_to_pem_pkcs8().expect("PEM")).expect("text")
    }

    /// A new RSA key as PKCS #8 PEM, and its public half as ring takes it.
    pub(in crate::providers) fn new_rsa_pem() -> (String, Vec<u8>) {
        let rsa = Rsa::generate(2048).expect("a key");
        let public = rsa.public_key_to_der_pkcs1().expect("DER");
        let key = PKey::from_rsa(rsa).expect("a key");
        (String::from_utf8(key.private_key_to_pem_pkcs8().expect("PEM")).expect("text"), public)
    }

    /// Header and claims of a token whose signature holds.
    pub(in crate::providers) fn verified(
        token: &str,
        algorithm: &'static dyn VerificationAlgorithm,
        public: &[u8],
    ) -> (serde_json::Value, serde_json::Value) {
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (header, claims) = signed.split_once('.').expect("three parts");
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        UnparsedPublicKey::new(algorithm, public).verify(signed.as_bytes(), &bytes(signature)).expect("signed");
        let json = |text: &str| serde_json::from_slice(&bytes(text)).expect("JSON");
        (json(header), json(claims))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256};
    use serde_json::json;

    use super::testing::{new_ec_pem, new_rsa_pem, verified};
    use super::*;

    #[test]
    fn a_token_by_an_elliptic_key_holds_for_its_public_half() {
        let key = Es256::from_pem(&new_ec_pem()).expect("a key");
        let token = key.sign(&json!({"alg": "ES256"}), &json!({"iss": "team"})).expect("a token");
        let (header, claims) = verified(&token, &ECDSA_P256_SHA256_FIXED, key.public());
        assert_eq!((header, claims), (json!({"alg": "ES256"}), json!({"iss": "team"})));
    }

    #[test]
    fn a_token_by_an_rsa_key_holds_for_its_public_half() {
        let (pem, public) = new_rsa_pem();
        let key = Rs256::from_pem(&pem).expect("a key");
        let token = key.sign(&json!({"alg": "RS256"}), &json!({"aud": "there"})).expect("a token");
        let (_, claims) = verified(&token, &RSA_PKCS1_2048_8192_SHA256, &public);
        assert_eq!(claims, json!({"aud": "there"}));
    }

    /// The keys of RFC 8291 section 5.
    #[test]
    fn the_public_half_of_a_bare_key_is_found() {
        let key = Es256::from_base64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").expect("a key");
        let public = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
        assert_eq!(URL_SAFE_NO_PAD.encode(key.public()), public);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for text in ["", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"] {
            for error in [Es256::from_pem(text).err(), Rs256::from_pem(text).err(), Es256::from_base64url(text).err()] {
                let error = error.expect("refused");
                assert!(!error.contains("secret") && !error.contains("c2Vj"), "{error}");
            }
        }
    }
}
