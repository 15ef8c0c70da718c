//! Bytes under a secret: AES-256-GCM (NIST SP 800-38D).

use std::cell::RefCell;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::store::UserSecret;

const ID_BYTES: usize = size_of::<u64>();
const HEAD_BYTES: usize = ID_BYTES + NONCE_LEN;
const TAG_BYTES: usize = 16;

/// By how much sealed bytes are longer than what they hold.
pub const OVERHEAD: usize = HEAD_BYTES + TAG_BYTES;

/// Why bytes were not sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    #[error("they are too short to be sealed bytes")]
    Short,
    #[error("they were changed, moved from another place, or sealed under another secret")]
    Damaged,
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// Appends `plain`, sealed. `place` says what it is and where it stands: it opens nowhere else.
pub fn seal(secret: &UserSecret, place: &[u8], plain: &[u8], into: &mut Vec<u8>) -> Result<(), SealError> {
    let nonce = fresh_nonce()?;
    into.reserve(OVERHEAD + plain.len());
    into.extend(secret.id.to_le_bytes());
    into.extend(nonce);
    let begin = into.len();
    into.extend_from_slice(plain);
    let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(place));
    let tag = key(secret).seal_in_place_separate_tag(nonce, aad, &mut into[begin..]);
    into.extend(tag.map_err(|_| SealError::Damaged)?.as_ref());
    Ok(())
}

/// The bytes that [`seal_in_place`] needs between the place and what is to be sealed.
pub const ROOM: usize = HEAD_BYTES;

/// Seals what stands in `buffer` from `place + ROOM` on, where it stands; the first `place` bytes say what it is, and the [`ROOM`] bytes
/// between are overwritten. What comes of it from `place` on is as [`seal`] appends it.
pub fn seal_in_place(secret: &UserSecret, place: usize, buffer: &mut Vec<u8>) -> Result<(), SealError> {
    let nonce = fresh_nonce()?;
    let (aad, rest) = buffer.split_at_mut_checked(place).ok_or(SealError::Short)?;
    let (head, plain) = rest.split_at_mut_checked(HEAD_BYTES).ok_or(SealError::Short)?;
    head[..ID_BYTES].copy_from_slice(&secret.id.to_le_bytes());
    head[ID_BYTES..].copy_from_slice(&nonce);
    let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(&*aad));
    let tag = key(secret).seal_in_place_separate_tag(nonce, aad, plain).map_err(|_| SealError::Damaged)?;
    buffer.extend(tag.as_ref());
    Ok(())
}

/// The id of the secret that bytes were sealed under.
pub fn secret_of(sealed: &[u8]) -> Result<u64, SealError> {
    let id = sealed.first_chunk().filter(|_| sealed.len() >= OVERHEAD);
    id.map(|id| u64::from_le_bytes(*id)).ok_or(SealError::Short)
}

/// What was sealed under `secret` for `place`.
pub fn open(secret: &UserSecret, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    secret_of(sealed)?;
    let nonce = sealed[ID_BYTES..HEAD_BYTES].try_into().map_err(|_| SealError::Short)?;
    let mut bytes = sealed[HEAD_BYTES..].to_vec();
    let opened = key(secret).open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut bytes);
    let length = opened.map_err(|_| SealError::Damaged)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

fn key(secret: &UserSecret) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &secret.bytes);
    LessSafeKey::new(key.expect("a secret has as many bytes as the algorithm asks for"))
}

/// No two are the same: eight random bytes of the thread, and a number. SP 800-38D, 8.2.1: a fixed field and a counter; the field is as
/// long as a random one must be not to occur twice among all threads that ever were.
fn fresh_nonce() -> Result<[u8; NONCE_LEN], SealError> {
    thread_local! {
        static NEXT: RefCell<Option<([u8; 8], u32)>> = const { RefCell::new(None) };
    }
    NEXT.with_borrow_mut(|next| {
        let (field, number) = match *next {
            Some(place) => place,
            None => (random()?, 0),
        };
        // Behind the last number a new field begins.
        *next = number.checked_add(1).map(|number| (field, number));
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&field);
        nonce[8..].copy_from_slice(&number.to_be_bytes());
        Ok(nonce)
    })
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::NoRandom)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: UserSecret = UserSecret { id: 7, bytes: [1; 32] };

    fn sealed(place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        seal(&SECRET, place, plain, &mut bytes).expect("sealed");
        bytes
    }

    #[test]
    fn what_was_sealed_is_opened_under_its_secret_and_at_its_place_alone() {
        let bytes = sealed(b"a", b"alice@example.org");
        assert_eq!(bytes.len(), OVERHEAD + 17);
        assert_eq!(secret_of(&bytes), Ok(7));
        assert_eq!(open(&SECRET, b"a", &bytes).as_deref(), Ok(&b"alice@example.org"[..]));
        assert_eq!(open(&SECRET, b"b", &bytes), Err(SealError::Damaged));
        assert_eq!(open(&UserSecret { bytes: [2; 32], ..SECRET }, b"a", &bytes), Err(SealError::Damaged));
    }

    #[test]
    fn what_was_sealed_where_it_stood_is_opened_like_the_rest() {
        let mut buffer = b"place".to_vec();
        buffer.resize(5 + ROOM, 0);
        buffer.extend(b"alice@example.org");
        seal_in_place(&SECRET, 5, &mut buffer).expect("sealed");
        assert_eq!(buffer.len(), 5 + OVERHEAD + 17);
        assert_eq!(open(&SECRET, b"place", &buffer[5..]).as_deref(), Ok(&b"alice@example.org"[..]));
        assert_eq!(seal_in_place(&SECRET, 5, &mut vec![0; 5 + ROOM - 1]), Err(SealError::Short));
    }

    #[test]
    fn damaged_and_cut_bytes_are_told() {
        let bytes = sealed(b"a", b"secret");
        for index in 8..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert_eq!(open(&SECRET, b"a", &damaged), Err(SealError::Damaged), "byte {index}");
        }
        for length in 0..bytes.len() {
            assert!(open(&SECRET, b"a", &bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_same_is_never_sealed_the_same_way() {
        let all: std::collections::BTreeSet<_> = (0..1000).map(|_| sealed(b"a", b"b")).collect();
        assert_eq!(all.len(), 1000);
    }
}
