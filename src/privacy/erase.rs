//! Taking back all that is held of a user. Each kind is a step, which may be done again: what broke off is taken up by saying the same again.

use std::time::Duration;

use super::destroying::TakenBack;
use super::{LISTS_MAX, Privacy, metrics};
use crate::domain::{
    AddressKind, Erasure, QuietChoice, SuppressedAddress, Suppression, Timestamp, User, UserEntry, UserKey,
};
use crate::users::{DirectoryError, KnownChange};

/// So long a call cancels tasks; the rest is carried on at a home.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// What was erased, as a receipt says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    pub at: Timestamp,
    /// The names of the fields that were there.
    pub contact: Vec<&'static str>,
    pub attributes: usize,
    pub devices: usize,
    pub preferences: usize,
    pub settings: Vec<&'static str>,
    /// Subjects that were followed.
    pub subscriptions: usize,
    /// Entries of the inbox.
    pub inbox: usize,
    /// Records of consent.
    pub consents: usize,
    /// Members of lists of campaigns.
    pub list_members: usize,
    /// Suppressions that stay without their address.
    pub suppressions_without_address: usize,
    /// Secrets of the user and of their addresses: what was sealed under them cannot be read any more.
    pub secrets_destroyed: usize,
    pub open_tasks: OpenTasks,
}

/// What became of tasks that were still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenTasks {
    pub cancelled: usize,
    /// At least so many are still to be cancelled. None of them is sent.
    pub pending: usize,
    /// Nothing is left to be cancelled.
    pub is_complete: bool,
}

/// Said as it is, so that nobody tells a person more than was done.
pub const NOT_ERASED: [&str; 7] = [
    "of notifications that were accepted for the user: their ids, the user's id, tenant, category, code of the template, campaign, channels, times, states and \
     costs; their contents, data, metadata and addresses were sealed, and cannot be read any more, also not in the log; what was written \
     by a version before this one was not sealed, and stays until it leaves by age",
    "that the user was erased, and when: what was accepted before and has not been sent is not sent any more",
    "that an address of the user is suppressed, as a keyed hash of the address: without it messages would go there again; and that messages \
     went to the address, as the same sort of hash: only with the secrets of this installation can an address be tried against it",
    "tokens of the user's own programs, which count until they end",
    "until the database has merged its files, the keys of rows that were taken away: the user's id beside the names of attributes and devices, \
     days in the index of days, subjects that were followed, purposes of consents, names of categories; in the index of days for longer, \
     where two calls moved a day at once",
    "that something was done to the user, in the audit log, and what the user got, for caps: both under hashes, until they leave by \
     themselves; members of lists, where a tenant has more than 1000 of a sort",
    "what was never sealed here: records that other programs wrote to Kafka, or that we wrote while the database did not answer, until its \
     retention, and dead letters of those; messages to a token or a chat address that named no user; messages of topics, events of rules and \
     what a campaign was begun with; what went to a former address alone; archived files; what others were told over webhooks and topics; \
     backups, as long as one of the secrets is kept, too",
];

/// How often it is looked whether something was written meanwhile.
const ROUNDS: usize = 3;

impl Privacy {
    /// Takes back all that is held, and leaves a mark: what was accepted before is not sent any more. Of a user of whom nothing is known it
    /// does the same. Durable on return; may be called again.
    pub async fn erase(&self, key: &UserKey) -> Result<Erased, DirectoryError> {
        let parts = &self.parts;
        let user = parts.users.user(key).await?.unwrap_or_default();
        let mut erased = counted(&user);
        // First: once the user is gone nobody knows the addresses any more.
        erased.suppressions_without_address = self.forget_addresses(key, &user).await?;
        erased.list_members = self.forget_members(key, &user).await?;
        erased.subscriptions = parts.subscriptions.remove_all(key).await?;
        erased.inbox = parts.inbox.erase(key).await?;
        erased.at = parts.clock.now();
        let address_key = self.address_key.get().await?;
        let owners = addresses(key, &user).iter().map(|address| address_key.of_address(address)).collect();
        let mut erasure = Erasure::new(key.clone(), erased.at, owners);
        // A call that broke off has taken back addresses that nobody knows any more.
        erasure.add_addresses(self.addresses_of_open(key).await?);
        // Before the mark: what is to be cancelled then is found by somebody, whatever becomes of this call.
        self.put_erasure(&erasure, true).await?;
        // Where this fails the caller comes again, and finds what is left.
        let entries = user.taken_back().into_iter().chain([UserEntry::Erased(Some(erased.at))]).collect();
        parts.users.write_known(vec![KnownChange::of(key.clone(), entries, &user)]).await?;
        self.take_back_again(&mut erasure, &mut erased).await?;
        // What came meanwhile.
        let TakenBack { inbox, subscriptions, consents } = self.take_rows(key).await?;
        erased.inbox += inbox;
        erased.subscriptions += subscriptions;
        erased.consents = consents;
        // Behind all that must be read to be taken back. Cancelling needs no contents.
        erased.secrets_destroyed = self.destroy(&mut erasure).await?;
        erased.open_tasks = self.cancel_open(&mut erasure).await?;
        metrics::erased();
        Ok(erased)
    }

    /// Takes back what was written of the user while the rest was taken back, and was answered before the mark was there.
    async fn take_back_again(&self, erasure: &mut Erasure, erased: &mut Erased) -> Result<(), DirectoryError> {
        let key = erasure.user.clone();
        for _ in 0..ROUNDS {
            let left = self.parts.users.user(&key).await?.filter(User::is_somebody);
            let Some(left) = left else { return Ok(()) };
            let address_key = self.address_key.get().await?;
            let owners = addresses(&key, &left).iter().map(|address| address_key.of_address(address)).collect();
            if erasure.add_addresses(owners) {
                self.put_erasure(erasure, true).await?;
            }
            erased.suppressions_without_address += self.forget_addresses(&key, &left).await?;
            self.parts.users.write_known(vec![KnownChange::of(key.clone(), left.taken_back(), &left)]).await?;
        }
        // Whoever still writes means somebody new.
        Ok(())
    }

    /// Cancels what is open for a while. What is left is in its row, which stays for a while in any case.
    async fn cancel_open(&self, erasure: &mut Erasure) -> Result<OpenTasks, DirectoryError> {
        let walked = self.walk(erasure, CANCEL_TIME).await?;
        erasure.is_walked = walked.is_over;
        self.put_erasure(erasure, true).await?;
        if !walked.is_over {
            self.wake.wake();
        }
        let (cancelled, pending) = (walked.cancelled, walked.pending);
        Ok(OpenTasks { cancelled, pending, is_complete: walked.is_over })
    }

    /// Takes the user's addresses out of their suppressions; how many there are.
    async fn forget_addresses(&self, key: &UserKey, user: &User) -> Result<usize, DirectoryError> {
        let addresses = addresses(key, user);
        let held = self.parts.users.suppressions(&addresses).await?;
        let without = |(address, held): (SuppressedAddress, Option<Suppression>)| {
            held.map(|held| (address, Some(Suppression { address: None, ..held })))
        };
        let changes: Vec<_> = addresses.into_iter().zip(held).filter_map(without).collect();
        let count = changes.len();
        self.parts.users.write_suppressions(changes).await?;
        Ok(count)
    }

    async fn forget_members(&self, key: &UserKey, user: &User) -> Result<usize, DirectoryError> {
        Ok(self.parts.lists.forget(&key.tenant, &list_names(key, user), LISTS_MAX).await?)
    }
}

/// The addresses of a user that can be suppressed.
pub(super) fn addresses(key: &UserKey, user: &User) -> Vec<SuppressedAddress> {
    let of = |kind, text: &Option<Box<str>>| text.as_ref().map(|text| SuppressedAddress::new(&key.tenant, kind, text));
    [of(AddressKind::Email, &user.email), of(AddressKind::Phone, &user.phone)].into_iter().flatten().collect()
}

/// What a user is called in lists.
pub(super) fn list_names<'a>(key: &'a UserKey, user: &'a User) -> Vec<&'a str> {
    [Some(&*key.user_id), user.email.as_deref(), user.phone.as_deref()].into_iter().flatten().collect()
}

fn counted(user: &User) -> Erased {
    let count = |channels: &[Option<bool>; 7]| channels.iter().flatten().count();
    Erased {
        contact: present([
            ("email", user.email.is_some()),
            ("phone", user.phone.is_some()),
            ("locale", user.locale.is_some()),
            ("timezone", user.timezone.is_some()),
        ]),
        attributes: user.attributes.len(),
        devices: user.devices.len(),
        preferences: user.preferences.values().map(count).sum(),
        settings: present([
            ("quiet_hours", user.quiet_hours != QuietChoice::Usual),
            ("digest_hour", user.digest_hour.is_some()),
            ("preferred_channel", user.preferred_channel.is_some()),
        ]),
        ..Erased::default()
    }
}

fn present<const N: usize>(names: [(&'static str, bool); N]) -> Vec<&'static str> {
    names.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}
