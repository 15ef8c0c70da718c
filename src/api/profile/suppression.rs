//! Suppressions: an address that nothing is sent to, why, and until when.

use super::address;
use super::fields::{Fields, Problems};
use crate::domain::{AddressKind, SuppressedAddress, Suppression, SuppressionCause, Timestamp};

/// What a body says besides the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct SuppressionTerms {
    cause: SuppressionCause,
    until: Option<Timestamp>,
}

impl SuppressionTerms {
    pub(in crate::api) fn read(fields: &mut Fields<'_>, now: Timestamp, problems: &mut Problems) -> Self {
        let cause = fields.text("reason", problems, |text| {
            let names = || SuppressionCause::ALL.map(SuppressionCause::name).join(", ");
            SuppressionCause::parse(text).ok_or_else(|| format!("must be one of {}", names()))
        });
        let until = fields.text("until", problems, |text| {
            let until =
                Timestamp::parse(text).ok_or("must be a time as RFC 3339 writes it: \"2027-01-31T09:00:00Z\"")?;
            if until > now { Ok(until) } else { Err("lies in the past: to lift a suppression, DELETE it") }
        });
        Self { cause: cause.flatten().unwrap_or(SuppressionCause::Manual), until: until.flatten() }
    }
}

/// A suppression with its address, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct SuppressionSaid {
    pub(in crate::api) kind: AddressKind,
    pub(in crate::api) text: Box<str>,
    pub(in crate::api) terms: SuppressionTerms,
}

impl SuppressionSaid {
    /// Reads all of an object; `None` only together with a problem.
    pub(in crate::api) fn read(mut fields: Fields<'_>, now: Timestamp, problems: &mut Problems) -> Option<Self> {
        let is_right_so_far = problems.is_empty();
        let email = fields.text("email", problems, address::email).flatten();
        let phone = fields.text("phone", problems, address::phone).flatten();
        let terms = SuppressionTerms::read(&mut fields, now, problems);
        let address = match (email, phone) {
            (Some(email), None) => Some((AddressKind::Email, email)),
            (None, Some(phone)) => Some((AddressKind::Phone, phone)),
            (Some(_), Some(_)) => {
                let detail = "`email` and `phone` exclude each other: give one of them";
                problems.add(&fields.pointer("phone"), detail);
                None
            }
            // Otherwise it is there, and wrong.
            (None, None) if is_right_so_far && problems.is_empty() => {
                problems.add(&fields.pointer("email"), "`email` or `phone` is required");
                None
            }
            (None, None) => None,
        };
        fields.end(problems);
        let (kind, text) = address?;
        Some(Self { kind, text, terms })
    }

    pub(in crate::api) fn address(&self, tenant: &str) -> SuppressedAddress {
        SuppressedAddress::new(tenant, self.kind, &self.text)
    }

    /// What is kept, where `before` was. Since when it holds stays, as long as it does.
    pub(in crate::api) fn suppression(self, before: Option<&Suppression>, now: Timestamp) -> Suppression {
        let since = before.filter(|before| before.holds(now)).map_or(now, |before| before.since);
        Suppression {
            address: Some(self.text),
            sealed_address: None,
            cause: self.terms.cause,
            since,
            until: self.terms.until,
        }
    }
}
