//! Version 1 of what is known of users, devices and addresses, frozen: never edit a field here, make a `users_v2.rs`.
//!
//! Closed types are numbers (those of the domain, which never change). Types named `…Out` borrow what they write.

use bincode::{Decode, Encode};

use super::CodecError;
use crate::domain::{
    self, Channel, Platform, QuietChoice, QuietHours, SealedEntry, SuppressionCause, TimeOfDay, Timestamp, UserEntry,
};

type Text = Box<str>;

pub(super) fn damaged(what: &str) -> CodecError {
    CodecError::Damaged(format!("it holds no valid {what}"))
}

fn channel(number: u8) -> Result<Channel, CodecError> {
    Channel::from_index(usize::from(number)).ok_or_else(|| damaged("channel"))
}

/// The order of the variants is their number in the row; new ones come last.
#[derive(Encode)]
pub(super) enum EntryOut<'a> {
    Created(Option<u64>),
    Email(Option<&'a str>),
    Phone(Option<&'a str>),
    Locale(Option<&'a str>),
    Timezone(Option<&'a str>),
    Attribute { name: &'a str, value: Option<&'a str> },
    Device { id: &'a str, device: Option<DeviceOut<'a>> },
    Preference { category: &'a str, channel: u8, enabled: Option<bool> },
    QuietHours(Quiet),
    DigestHour(Option<u8>),
    PreferredChannel(Option<u8>),
    Erased(Option<u64>),
    Consent { purpose: &'a str, consent: Option<ConsentOut<'a>> },
}

#[derive(Decode)]
pub(super) enum Entry {
    Created(Option<u64>),
    Email(Option<Text>),
    Phone(Option<Text>),
    Locale(Option<Text>),
    Timezone(Option<Text>),
    Attribute { name: Text, value: Option<Text> },
    Device { id: Text, device: Option<Device> },
    Preference { category: Text, channel: u8, enabled: Option<bool> },
    QuietHours(Quiet),
    DigestHour(Option<u8>),
    PreferredChannel(Option<u8>),
    Erased(Option<u64>),
    Consent { purpose: Text, consent: Option<ConsentIn> },
}

#[derive(Encode)]
pub(super) struct ConsentOut<'a> {
    granted: bool,
    at: u64,
    text_version: &'a str,
    source: &'a str,
    note: Option<&'a str>,
    recorded_at: u64,
}

#[derive(Decode)]
pub(super) struct ConsentIn {
    granted: bool,
    at: u64,
    text_version: Text,
    source: Text,
    note: Option<Text>,
    recorded_at: u64,
}

#[derive(Encode)]
pub(super) struct DeviceOut<'a> {
    platform: u8,
    token: &'a str,
    registered_at: u64,
    seen_at: u64,
    dead_since: Option<u64>,
}

#[derive(Decode)]
pub(super) struct Device {
    platform: u8,
    token: Text,
    registered_at: u64,
    seen_at: u64,
    dead_since: Option<u64>,
}

/// Times are minutes since midnight.
#[derive(Encode, Decode)]
pub(super) enum Quiet {
    Usual,
    Never,
    Own { from: u16, to: u16 },
}

impl<'a> EntryOut<'a> {
    /// What is sealed has no shape here.
    pub(super) fn new(entry: &'a UserEntry) -> Result<Self, &'a SealedEntry> {
        Ok(match entry {
            UserEntry::Created(at) => Self::Created(at.map(Timestamp::millis)),
            UserEntry::Email(text) => Self::Email(text.as_deref()),
            UserEntry::Phone(text) => Self::Phone(text.as_deref()),
            UserEntry::Locale(text) => Self::Locale(text.as_deref()),
            UserEntry::Timezone(text) => Self::Timezone(text.as_deref()),
            UserEntry::Attribute { name, value } => Self::Attribute { name, value: value.as_deref() },
            UserEntry::Device { id, device } => Self::Device { id, device: device.as_ref().map(DeviceOut::from) },
            UserEntry::Preference { category, channel, enabled } => {
                Self::Preference { category, channel: channel.index() as u8, enabled: *enabled }
            }
            UserEntry::QuietHours(choice) => Self::QuietHours((*choice).into()),
            UserEntry::DigestHour(hour) => Self::DigestHour(*hour),
            UserEntry::PreferredChannel(channel) => {
                Self::PreferredChannel(channel.map(|channel| channel.index() as u8))
            }
            UserEntry::Erased(at) => Self::Erased(at.map(Timestamp::millis)),
            UserEntry::Consent { purpose, consent } => {
                Self::Consent { purpose, consent: consent.as_ref().map(ConsentOut::from) }
            }
            UserEntry::Sealed(entry) => return Err(entry),
        })
    }
}

impl Entry {
    pub(super) fn into_domain(self) -> Result<UserEntry, CodecError> {
        Ok(match self {
            Self::Created(at) => UserEntry::Created(at.map(Timestamp)),
            Self::Email(text) => UserEntry::Email(text),
            Self::Phone(text) => UserEntry::Phone(text),
            Self::Locale(text) => UserEntry::Locale(text),
            Self::Timezone(text) => UserEntry::Timezone(text),
            Self::Attribute { name, value } => UserEntry::Attribute { name, value },
            Self::Device { id, device } => {
                UserEntry::Device { id, device: device.map(Device::into_domain).transpose()? }
            }
            Self::Preference { category, channel: number, enabled } => {
                UserEntry::Preference { category, channel: channel(number)?, enabled }
            }
            Self::QuietHours(quiet) => UserEntry::QuietHours(quiet.into_domain()?),
            Self::DigestHour(hour) => UserEntry::DigestHour(hour),
            Self::PreferredChannel(number) => UserEntry::PreferredChannel(number.map(channel).transpose()?),
            Self::Erased(at) => UserEntry::Erased(at.map(Timestamp)),
            Self::Consent { purpose, consent } => {
                UserEntry::Consent { purpose, consent: consent.map(ConsentIn::into_domain) }
            }
        })
    }
}

impl<'a> From<&'a domain::Consent> for ConsentOut<'a> {
    fn from(consent: &'a domain::Consent) -> Self {
        Self {
            granted: consent.granted,
            at: consent.at.millis(),
            text_version: &consent.text_version,
            source: &consent.source,
            note: consent.note.as_deref(),
            recorded_at: consent.recorded_at.millis(),
        }
    }
}

impl ConsentIn {
    pub(super) fn into_domain(self) -> domain::Consent {
        let Self { granted, at, text_version, source, note, recorded_at } = self;
        let (at, recorded_at) = (Timestamp(at), Timestamp(recorded_at));
        domain::Consent { granted, at, text_version, source, note, recorded_at }
    }
}

impl<'a> From<&'a domain::Device> for DeviceOut<'a> {
    fn from(device: &'a domain::Device) -> Self {
        Self {
            platform: device.platform as u8,
            token: &device.token,
            registered_at: device.registered_at.millis(),
            seen_at: device.seen_at.millis(),
            dead_since: device.dead_since.map(Timestamp::millis),
        }
    }
}

impl Device {
    fn into_domain(self) -> Result<domain::Device, CodecError> {
        Ok(domain::Device {
            platform: Platform::from_index(usize::from(self.platform)).ok_or_else(|| damaged("platform"))?,
            token: self.token,
            registered_at: Timestamp(self.registered_at),
            seen_at: Timestamp(self.seen_at),
            dead_since: self.dead_since.map(Timestamp),
        })
    }
}

impl From<QuietChoice> for Quiet {
    fn from(choice: QuietChoice) -> Self {
        match choice {
            QuietChoice::Usual => Self::Usual,
            QuietChoice::Never => Self::Never,
            QuietChoice::Own(hours) => Self::Own { from: hours.from().minutes(), to: hours.to().minutes() },
        }
    }
}

impl Quiet {
    fn into_domain(self) -> Result<QuietChoice, CodecError> {
        Ok(match self {
            Self::Usual => QuietChoice::Usual,
            Self::Never => QuietChoice::Never,
            Self::Own { from, to } => {
                let times = TimeOfDay::from_minutes(from).zip(TimeOfDay::from_minutes(to));
                let hours = times.and_then(|(from, to)| QuietHours::new(from, to));
                QuietChoice::Own(hours.ok_or_else(|| damaged("quiet hours"))?)
            }
        })
    }
}

/// A suppression; what it is of is the row's key. Nothing: it was lifted.
#[derive(Encode)]
pub(super) struct SuppressionOut<'a>(Option<HoldsOut<'a>>);

#[derive(Encode)]
struct HoldsOut<'a> {
    address: Option<&'a str>,
    cause: u8,
    since: u64,
    until: Option<u64>,
}

#[derive(Decode)]
pub(super) struct Suppression(Option<Holds>);

#[derive(Decode)]
struct Holds {
    address: Option<Text>,
    cause: u8,
    since: u64,
    until: Option<u64>,
}

impl<'a> From<Option<&'a domain::Suppression>> for SuppressionOut<'a> {
    fn from(suppression: Option<&'a domain::Suppression>) -> Self {
        Self(suppression.map(|suppression| HoldsOut {
            address: suppression.address.as_deref(),
            cause: suppression.cause as u8,
            since: suppression.since.millis(),
            until: suppression.until.map(Timestamp::millis),
        }))
    }
}

impl Suppression {
    pub(super) fn into_domain(self) -> Result<Option<domain::Suppression>, CodecError> {
        let Self(Some(Holds { address, cause, since, until })) = self else { return Ok(None) };
        let cause = SuppressionCause::from_index(usize::from(cause)).ok_or_else(|| damaged("cause"))?;
        Ok(Some(domain::Suppression {
            address,
            sealed_address: None,
            cause,
            since: Timestamp(since),
            until: until.map(Timestamp),
        }))
    }
}
