//! Numbers for what is made without a retry key.

use ring::rand::{SecureRandom, SystemRandom};

use super::problem::{Kind, Problem};

/// A number that nothing else has.
pub(super) fn fresh_number() -> Result<u128, Problem> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Problem::new(Kind::Internal, "the system gives no random numbers"))?;
    Ok(u128::from_be_bytes(bytes))
}
