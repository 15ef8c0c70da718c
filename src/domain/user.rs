//! What is known of a user: how they are reached, with which devices, and what they want.

use std::collections::BTreeMap;

use super::{Channel, Consent, Device, QuietChoice, Timestamp};

/// Whose: a user of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey {
    pub tenant: Box<str>,
    pub user_id: Box<str>,
}

/// All that is known of a user. Made of [`UserEntry`]s, each stored by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    pub created_at: Option<Timestamp>,
    pub email: Option<Box<str>>,
    /// In the form of E.164.
    pub phone: Option<Box<str>>,
    /// A language tag of BCP 47.
    pub locale: Option<Box<str>>,
    /// A name that [`super::Zone::parse`] knows.
    pub timezone: Option<Box<str>>,
    /// By name; the values are JSON texts.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// By their ids.
    pub devices: BTreeMap<Box<str>, Device>,
    /// By category and channel: what the user switched on or off.
    pub preferences: BTreeMap<Box<str>, [Option<bool>; 7]>,
    pub quiet_hours: QuietChoice,
    /// The local hour, 0 to 23, at which collected messages come.
    pub digest_hour: Option<u8>,
    pub preferred_channel: Option<Channel>,
    /// By purpose: what was said last.
    pub consents: BTreeMap<Box<str>, Consent>,
    /// When all that was known before was taken back: what was accepted until then is not sent any more.
    pub erased_at: Option<Timestamp>,
    /// What is known but cannot be read as it is. Only backends give such users out, and only to what opens them.
    pub sealed: Vec<SealedEntry>,
}

/// One thing that is known of a user, sealed under the user's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// With `name` the slot of what is sealed: see [`UserEntry::slot`].
    pub kind: u8,
    pub name: Box<str>,
    pub sealed: Box<[u8]>,
}

/// One thing that is known of a user; nothing in it means that it is not known any more. Who changes one never undoes what
/// somebody else changes at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEntry {
    Created(Option<Timestamp>),
    Email(Option<Box<str>>),
    Phone(Option<Box<str>>),
    Locale(Option<Box<str>>),
    Timezone(Option<Box<str>>),
    Attribute {
        name: Box<str>,
        value: Option<Box<str>>,
    },
    Device {
        id: Box<str>,
        device: Option<Device>,
    },
    Preference {
        category: Box<str>,
        channel: Channel,
        enabled: Option<bool>,
    },
    QuietHours(QuietChoice),
    DigestHour(Option<u8>),
    PreferredChannel(Option<Channel>),
    /// Stays when all else is taken back.
    Erased(Option<Timestamp>),
    /// What counts of a purpose.
    Consent {
        purpose: Box<str>,
        consent: Option<Consent>,
    },
    /// Any of the others, which is not readable here.
    Sealed(SealedEntry),
}

impl UserEntry {
    /// What tells the entry from others of the same user: a kind, whose numbers never change, and a name within it.
    pub fn slot(&self) -> (u8, String) {
        match self {
            UserEntry::Created(_) => (0, String::new()),
            UserEntry::Email(_) => (1, String::new()),
            UserEntry::Phone(_) => (2, String::new()),
            UserEntry::Locale(_) => (3, String::new()),
            UserEntry::Timezone(_) => (4, String::new()),
            UserEntry::Attribute { name, .. } => (5, name.to_string()),
            UserEntry::Device { id, .. } => (6, id.to_string()),
            UserEntry::Preference { category, channel, .. } => (7, format!("{channel}/{category}")),
            UserEntry::QuietHours(_) => (8, String::new()),
            UserEntry::DigestHour(_) => (9, String::new()),
            UserEntry::PreferredChannel(_) => (10, String::new()),
            UserEntry::Erased(_) => (11, String::new()),
            UserEntry::Consent { purpose, .. } => (12, purpose.to_string()),
            UserEntry::Sealed(entry) => (entry.kind, entry.name.to_string()),
        }
    }

    /// Whether there is nothing to be kept of it.
    pub fn is_taken_back(&self) -> bool {
        match self {
            UserEntry::Created(at) | UserEntry::Erased(at) => at.is_none(),
            UserEntry::Consent { consent, .. } => consent.is_none(),
            UserEntry::Email(text) | UserEntry::Phone(text) | UserEntry::Locale(text) | UserEntry::Timezone(text) => {
                text.is_none()
            }
            UserEntry::Attribute { value, .. } => value.is_none(),
            UserEntry::Device { device, .. } => device.is_none(),
            UserEntry::Preference { enabled, .. } => enabled.is_none(),
            UserEntry::QuietHours(choice) => *choice == QuietChoice::Usual,
            UserEntry::DigestHour(hour) => hour.is_none(),
            UserEntry::PreferredChannel(channel) => channel.is_none(),
            UserEntry::Sealed(_) => false,
        }
    }

    /// Whether it says something that an erasure must make unreadable: all but times of the user's own coming and going.
    pub fn is_personal(&self) -> bool {
        let is_clear = matches!(self, UserEntry::Created(_) | UserEntry::Erased(_) | UserEntry::Sealed(_));
        !is_clear && !self.is_taken_back()
    }
}

impl UserEntry {
    /// What takes the place of this one when it is taken back.
    fn cleared(self) -> Self {
        match self {
            Self::Created(_) => Self::Created(None),
            Self::Email(_) => Self::Email(None),
            Self::Phone(_) => Self::Phone(None),
            Self::Locale(_) => Self::Locale(None),
            Self::Timezone(_) => Self::Timezone(None),
            Self::Attribute { name, .. } => Self::Attribute { name, value: None },
            Self::Device { id, .. } => Self::Device { id, device: None },
            Self::Preference { category, channel, .. } => Self::Preference { category, channel, enabled: None },
            Self::QuietHours(_) => Self::QuietHours(QuietChoice::Usual),
            Self::DigestHour(_) => Self::DigestHour(None),
            Self::PreferredChannel(_) => Self::PreferredChannel(None),
            Self::Erased(_) => Self::Erased(None),
            Self::Consent { purpose, .. } => Self::Consent { purpose, consent: None },
            sealed @ Self::Sealed(_) => sealed,
        }
    }
}

impl User {
    /// `None`: nothing is known.
    pub fn from_entries(entries: impl IntoIterator<Item = UserEntry>) -> Option<Self> {
        let mut user = Self::default();
        for entry in entries {
            user.apply(entry);
        }
        (user != Self::default()).then_some(user)
    }

    /// Takes one thing in, in place of what was known of it.
    pub fn apply(&mut self, entry: UserEntry) {
        match entry {
            UserEntry::Created(at) => self.created_at = at,
            UserEntry::Email(email) => self.email = email,
            UserEntry::Phone(phone) => self.phone = phone,
            UserEntry::Locale(locale) => self.locale = locale,
            UserEntry::Timezone(timezone) => self.timezone = timezone,
            UserEntry::Attribute { name, value } => replace(&mut self.attributes, name, value),
            UserEntry::Device { id, device } => replace(&mut self.devices, id, device),
            UserEntry::Preference { category, channel, enabled } => self.prefer(category, channel, enabled),
            UserEntry::QuietHours(choice) => self.quiet_hours = choice,
            UserEntry::DigestHour(hour) => self.digest_hour = hour,
            UserEntry::PreferredChannel(channel) => self.preferred_channel = channel,
            UserEntry::Erased(at) => self.erased_at = at,
            UserEntry::Consent { purpose, consent } => replace(&mut self.consents, purpose, consent),
            UserEntry::Sealed(entry) => self.sealed.push(entry),
        }
    }

    /// Whether anything is known but that they were erased.
    pub fn is_somebody(&self) -> bool {
        *self != Self { erased_at: self.erased_at, ..Self::default() }
    }

    /// Whether they were erased since a message of theirs was accepted, or a link was made; `None`: nobody knows when that was.
    pub fn was_erased_since(&self, then: Option<Timestamp>) -> bool {
        match (self.erased_at, then) {
            (Some(erased_at), Some(then)) => then <= erased_at,
            (Some(_), None) => !self.is_somebody(),
            (None, _) => false,
        }
    }

    /// What the user said of a category on a channel; `None`: nothing, and the category's default holds.
    pub fn preference(&self, category: &str, channel: Channel) -> Option<bool> {
        self.preferences.get(category).and_then(|channels| channels[channel.index()])
    }

    /// Whether the user consented to a purpose, and did not withdraw it.
    pub fn has_consented(&self, purpose: &str) -> bool {
        self.consents.get(purpose).is_some_and(|consent| consent.granted)
    }

    /// What all of it is made of, but for the mark of an erasure and what is sealed.
    pub fn entries(&self) -> Vec<UserEntry> {
        let attributes = self
            .attributes
            .iter()
            .map(|(name, value)| UserEntry::Attribute { name: name.clone(), value: Some(value.clone()) });
        let devices =
            self.devices.iter().map(|(id, device)| UserEntry::Device { id: id.clone(), device: Some(device.clone()) });
        let preferences = self.preferences.iter().flat_map(|(category, channels)| {
            Channel::ALL.into_iter().filter_map(|channel| {
                let enabled = Some(channels[channel.index()]?);
                Some(UserEntry::Preference { category: category.clone(), channel, enabled })
            })
        });
        let consents = self
            .consents
            .iter()
            .map(|(purpose, consent)| UserEntry::Consent { purpose: purpose.clone(), consent: Some(consent.clone()) });
        let mut entries: Vec<UserEntry> = attributes.chain(devices).chain(preferences).chain(consents).collect();
        entries.extend(self.created_at.map(|at| UserEntry::Created(Some(at))));
        entries.extend(self.email.clone().map(|email| UserEntry::Email(Some(email))));
        entries.extend(self.phone.clone().map(|phone| UserEntry::Phone(Some(phone))));
        entries.extend(self.locale.clone().map(|locale| UserEntry::Locale(Some(locale))));
        entries.extend(self.timezone.clone().map(|timezone| UserEntry::Timezone(Some(timezone))));
        entries.extend((self.quiet_hours != QuietChoice::Usual).then_some(UserEntry::QuietHours(self.quiet_hours)));
        entries.extend(self.digest_hour.map(|hour| UserEntry::DigestHour(Some(hour))));
        entries.extend(self.preferred_channel.map(|channel| UserEntry::PreferredChannel(Some(channel))));
        entries
    }

    /// What takes all of it back, but for the mark of an erasure.
    pub fn taken_back(&self) -> Vec<UserEntry> {
        self.entries().into_iter().map(UserEntry::cleared).collect()
    }

    fn prefer(&mut self, category: Box<str>, channel: Channel, enabled: Option<bool>) {
        let channels = self.preferences.entry(category.clone()).or_default();
        channels[channel.index()] = enabled;
        if channels.iter().all(Option::is_none) {
            self.preferences.remove(&category);
        }
    }
}

fn replace<T>(map: &mut BTreeMap<Box<str>, T>, name: Box<str>, value: Option<T>) {
    match value {
        Some(value) => map.insert(name, value),
        None => map.remove(&name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Platform, QuietHours, TimeOfDay};

    #[test]
    fn what_is_taken_back_is_as_if_it_had_never_been_said() {
        let said = |enabled| UserEntry::Preference { category: "social".into(), channel: Channel::Push, enabled };
        let mut user = User::from_entries([UserEntry::Created(Some(Timestamp(1))), said(Some(false))]).expect("a user");
        assert_eq!(user.preference("social", Channel::Push), Some(false));
        assert_eq!(user.preference("social", Channel::Email), None);
        user.apply(said(None));
        assert_eq!(Some(user), User::from_entries([UserEntry::Created(Some(Timestamp(1)))]));
    }

    #[test]
    fn of_whom_everything_was_taken_back_nothing_is_known() {
        let entries = [UserEntry::Email(None), UserEntry::Attribute { name: "tier".into(), value: None }];
        assert_eq!(User::from_entries(entries), None);
    }

    #[test]
    fn of_whom_all_is_taken_back_nothing_is_known_any_more() {
        let quiet = QuietHours::new(TimeOfDay::MIDNIGHT, TimeOfDay::new(6, 0).expect("a time")).expect("a window");
        let at = Timestamp(1);
        let device = Device {
            platform: Platform::Web,
            token: "{}".into(),
            registered_at: at,
            seen_at: at,
            dead_since: Some(at),
        };
        let all = [
            UserEntry::Created(Some(at)),
            UserEntry::Email(Some("a@example.com".into())),
            UserEntry::Phone(Some("+4930123456".into())),
            UserEntry::Locale(Some("de".into())),
            UserEntry::Timezone(Some("Europe/Berlin".into())),
            UserEntry::Attribute { name: "tier".into(), value: Some("1".into()) },
            UserEntry::Device { id: "d".into(), device: Some(device) },
            UserEntry::Preference { category: "social".into(), channel: Channel::Sms, enabled: Some(true) },
            UserEntry::Preference { category: "social".into(), channel: Channel::Push, enabled: Some(false) },
            UserEntry::QuietHours(QuietChoice::Own(quiet)),
            UserEntry::DigestHour(Some(0)),
            UserEntry::PreferredChannel(Some(Channel::InApp)),
            UserEntry::Consent { purpose: "newsletter".into(), consent: Some(Consent::withdrawn(None, "test", at)) },
        ];
        let mut user = User::from_entries(all.clone()).expect("a user");
        assert_eq!(User::from_entries(user.entries()), Some(user.clone()), "and of these it is made");
        let back = user.taken_back();
        assert_eq!(back.len(), all.len());
        back.into_iter().for_each(|entry| user.apply(entry));
        assert_eq!(user, User::default());
    }
}
