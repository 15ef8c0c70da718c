//! What a body says of a user: read field by field, so that everything that is wrong is said at once, each with its pointer.
//!
//! In: the text of a body, and what is known of the user. Out: the entries that change; what stays as it is is not written. Pure.

mod address;
mod consent;
mod contact;
mod device;
mod fields;
mod line;
mod merge_patch;
mod preferences;
mod subscription;
mod suppression;
mod zone;

#[cfg(test)]
mod tests;

pub(super) use address::{email, phone};
pub(super) use consent::{PURPOSES_MAX, purpose, read_consent};
pub(super) use contact::{Contact, How};
pub(super) use device::{DeviceSaid, device_entries};
pub(super) use fields::{Fields, Problems};
pub(super) use line::{ImportLine, UserLine};
pub(super) use preferences::Preferences;
pub(super) use subscription::{SubscriptionSaid, follower_line};
pub(super) use suppression::{SuppressionSaid, SuppressionTerms};

use crate::intake::{FieldProblem, addresses, limits};

/// A name in an address or a line: 1 to 256 bytes of one line.
pub(super) fn name(text: &str, pointer: &'static str) -> Result<Box<str>, FieldProblem> {
    let bytes_max = limits::USER_ID_BYTES_MAX;
    if text.is_empty() || text.len() > bytes_max {
        return Err(FieldProblem::new(pointer, format!("must have 1 to {bytes_max} bytes")));
    }
    addresses::one_line(text).map_err(|detail| FieldProblem::new(pointer, detail))?;
    Ok(text.into())
}

/// A user's id. One is taken by the address of the import.
pub(super) fn user_id(text: &str, pointer: &'static str) -> Result<Box<str>, FieldProblem> {
    if text == "import" {
        return Err(FieldProblem::new(pointer, "`import` cannot be a user's id: /v1/users/import is another call"));
    }
    name(text, pointer)
}
