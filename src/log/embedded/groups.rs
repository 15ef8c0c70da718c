//! Records of one partition in one value. Pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Packs bodies: each with its length, four bytes big-endian, before it.
pub(super) fn pack(bodies: &[Bytes]) -> Bytes {
    let mut packed = BytesMut::with_capacity(bodies.iter().map(|body| body.len() + 4).sum());
    for body in bodies {
        packed.put_u32(body.len() as u32);
        packed.put_slice(body);
    }
    packed.freeze()
}

/// Packed values one after the other are a packed value too.
pub(super) fn concat(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() == 1 {
        return chunks.remove(0);
    }
    let mut packed = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| packed.put_slice(chunk));
    packed.freeze()
}

/// The bodies of a group, which share its memory. Ends early if the bytes are damaged.
pub(super) fn unpack(mut packed: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        if packed.len() < 4 {
            return None;
        }
        let length = packed.get_u32() as usize;
        (length <= packed.len()).then(|| packed.split_to(length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked_in_order(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let bodies: Vec<Bytes> = bodies.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(unpack(pack(&bodies)).collect::<Vec<_>>(), bodies);
        }

        #[test]
        fn groups_are_packed_together_as_one(groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5), 0..5)) {
            let groups: Vec<Vec<Bytes>> = groups.into_iter().map(|bodies| bodies.into_iter().map(Bytes::from).collect()).collect();
            let packed = concat(groups.iter().map(|bodies| pack(bodies)).collect());
            prop_assert_eq!(unpack(packed).collect::<Vec<_>>(), groups.concat());
        }

        #[test]
        fn damaged_bytes_end_the_group_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            unpack(Bytes::from(bytes)).for_each(drop);
        }
    }
}
