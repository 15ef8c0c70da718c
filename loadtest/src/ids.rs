//! Ids as the harness keeps them: exact, so that a lost one can be named, and without an allocation each, since
//! there are millions of them.

use std::fmt;

/// The longest id that is kept in place. A task's id has 24 bytes.
pub(crate) const SHORT_ID_MAX: usize = 31;

/// An id of at most [`SHORT_ID_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShortId {
    length: u8,
    bytes: [u8; SHORT_ID_MAX],
}

impl ShortId {
    /// `None` when the id is too long.
    pub(crate) fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_ID_MAX];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { length: id.len() as u8, bytes })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_exactly_or_not_at_all() {
        for length in 0..=SHORT_ID_MAX {
            let text = "x".repeat(length);
            assert_eq!(ShortId::new(text.as_bytes()).expect("short enough").as_bytes(), text.as_bytes());
        }
        assert!(ShortId::new(&[b'x'; SHORT_ID_MAX + 1]).is_none());
    }
}
