//! Several values in one row: each behind its offset and its length. Pure.

use crate::domain::BLOCK_OFFSETS;

/// Packs values of one block.
#[derive(Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Adds one value, which `write` appends.
    pub(super) fn add(&mut self, offset: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let within = (offset % BLOCK_OFFSETS) as u16;
        self.bytes.extend_from_slice(&within.to_be_bytes());
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - length_at - 4) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// The values of a row with their offsets within the block. Ends early if the bytes are damaged.
pub(super) fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let (within, rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some((u64::from(u16::from_be_bytes(*within)), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back_with_their_offsets(values in prop::collection::vec((0u64..1024, prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut packer = Packer::default();
            for (offset, value) in &values {
                packer.add(5 * BLOCK_OFFSETS + offset, |bytes| bytes.extend_from_slice(value));
            }
            let row = packer.done();
            let found: Vec<(u64, Vec<u8>)> = unpack(&row).map(|(offset, value)| (offset, value.to_vec())).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn damaged_bytes_end_the_row_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            unpack(&bytes).for_each(drop);
        }
    }
}
