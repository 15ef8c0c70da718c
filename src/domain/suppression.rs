//! Addresses that nothing is sent to, whoever asks.

use super::{Address, Timestamp};

/// Why nothing goes to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionCause {
    /// The provider said that there is no such address.
    HardBounce = 0,
    /// Somebody there reported a message as unwanted.
    Complaint = 1,
    /// Somebody there asked for nothing more.
    OptOut = 2,
    /// An operator entered it.
    Manual = 3,
}

impl SuppressionCause {
    pub const ALL: [SuppressionCause; 4] =
        [SuppressionCause::HardBounce, SuppressionCause::Complaint, SuppressionCause::OptOut, SuppressionCause::Manual];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["hard_bounce", "complaint", "opt_out", "manual"][self as usize]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == text)
    }
}

/// What is known of a suppressed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// For people to read; `None` once the person it belonged to was erased.
    pub address: Option<Box<str>>,
    /// The address as it is stored; what was read through what opens it has none.
    pub sealed_address: Option<Box<[u8]>>,
    pub cause: SuppressionCause,
    pub since: Timestamp,
    /// It ends then; `None`: never.
    pub until: Option<Timestamp>,
}

impl Suppression {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The kinds of addresses that can be suppressed; one telephone number is the same for texts and calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKind {
    Email = 0,
    Phone = 1,
}

impl AddressKind {
    pub const ALL: [AddressKind; 2] = [AddressKind::Email, AddressKind::Phone];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["email", "phone"][self as usize]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// An address as suppressions know it: of a tenant, and the same however it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuppressedAddress {
    pub tenant: Box<str>,
    pub kind: AddressKind,
    /// The domain of an e-mail address has no upper case, and neither has what stands before it: no provider in use tells
    /// them apart there, whatever RFC 5321 (2.4) allows.
    address: Box<str>,
}

impl SuppressedAddress {
    /// `None`: nothing of this kind can be suppressed.
    pub fn of(tenant: &str, address: &Address) -> Option<Self> {
        let (kind, text) = match address {
            Address::Email(text) => (AddressKind::Email, text),
            Address::Phone(text) => (AddressKind::Phone, text),
            _ => return None,
        };
        Some(Self::new(tenant, kind, text))
    }

    pub fn new(tenant: &str, kind: AddressKind, address: &str) -> Self {
        Self { tenant: tenant.into(), kind, address: address.to_lowercase().into() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_in_upper_and_lower_case() {
        let of = |text: &str| SuppressedAddress::of("default", &Address::Email(text.into()));
        assert_eq!(of("Alice@Example.COM"), of("alice@example.com"));
        assert_ne!(of("alice@example.com"), of("bob@example.com"));
    }

    #[test]
    fn a_suppression_with_an_end_holds_until_then() {
        let check = |until: Option<u64>, expected| {
            let since = Timestamp(1);
            let cause = SuppressionCause::Manual;
            let suppression =
                Suppression { address: None, sealed_address: None, cause, since, until: until.map(Timestamp) };
            assert_eq!(suppression.holds(Timestamp(10)), expected);
        };
        check(None, true);
        check(Some(11), true);
        check(Some(10), false);
    }
}
