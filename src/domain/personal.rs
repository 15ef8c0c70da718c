//! What is personal of a plan, and whose it is. Pure.

use super::{Address, AddressKind, Content, Disposition, Plan, SkipReason, SuppressedAddress, UserKey};

/// Where the personal part of a plan is: its own texts, data, metadata, addresses, attachments, the name of its actor. The rest, by
/// which it is found, counted and explained, is always in the plan.
#[derive(Debug, Clone)]
pub enum Personal {
    /// In the plan. `of`: whose it is, where neither the plan's user nor its tasks say so.
    Here { of: Option<Box<Owner>> },
    /// Beside it, sealed, as it stands in the row. Only those see this who write rows and who open them.
    Sealed(Box<SealedPart>),
    /// Nowhere any more: whose it was has been erased. Nothing of it may be sent.
    Erased,
}

/// The sealed part of a plan, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    pub owner: UserKey,
    pub bytes: Box<[u8]>,
}

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    User(UserKey),
    /// Of nobody whose id is known.
    Address(Box<SuppressedAddress>),
}

impl Default for Personal {
    fn default() -> Self {
        Personal::Here { of: None }
    }
}

/// Whose it is says nothing of what it is.
impl PartialEq for Personal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Personal::Here { .. }, Personal::Here { .. }) | (Personal::Erased, Personal::Erased) => true,
            (Personal::Sealed(one), Personal::Sealed(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Personal {}

impl Plan {
    /// Whose it is; `None`: nobody's who could be erased.
    pub fn owner(&self) -> Option<Owner> {
        if let Some(user_id) = &self.user_id {
            return Some(Owner::User(UserKey { tenant: self.tenant.clone(), user_id: user_id.clone() }));
        }
        if let Personal::Here { of: Some(owner) } = &self.personal {
            return Some(Owner::clone(owner));
        }
        let by = |kind, text: &str| Owner::Address(Box::new(SuppressedAddress::new(&self.tenant, kind, text)));
        let mut phone = None;
        for task in self.tasks() {
            match &task.address {
                Address::Email(text) => return Some(by(AddressKind::Email, text)),
                Address::Phone(text) => phone = phone.or(Some(text)),
                _ => {}
            }
        }
        phone.map(|text| by(AddressKind::Phone, text))
    }

    /// Whether what was personal of it is gone.
    pub fn is_erased(&self) -> bool {
        matches!(self.personal, Personal::Erased)
    }

    /// Whether nothing personal of it is to be written down: it is gone, or was not to be sent because of an erasure.
    pub fn is_to_be_bare(&self) -> bool {
        self.is_erased() || self.disposition == Disposition::Skipped(SkipReason::Erased)
    }

    /// Takes out what is personal, for good.
    pub fn erase(&mut self) {
        if let Content::Inline { .. } = self.content {
            self.content = Content::nothing();
        }
        (self.data, self.metadata) = ("{}".into(), "{}".into());
        if let Disposition::Tasks(tasks) = &mut self.disposition {
            tasks.iter_mut().for_each(|task| task.address = task.address.blank());
        }
        if let Some(group) = &mut self.group {
            (group.actor, group.gathered) = (None, None);
        }
        self.presentation.zone = None;
        self.delivery = Default::default();
        self.personal = Personal::Erased;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, Priority, ShardId};

    #[test]
    fn a_plan_is_its_users_and_without_one_its_addresses() {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let mut plan = crate::store::conformance::plan(Position::new(shard, 1));
        let Some(Owner::User(user)) = plan.owner() else { panic!("its user's") };
        assert_eq!(Some(user.user_id), plan.user_id);
        plan.user_id = None;
        let task = plan.tasks()[0].clone();
        let with = |address| crate::domain::TaskSpec { address, ..task.clone() };
        let phone = with(Address::Phone("+4930123456".into()));
        let email = with(Address::Email("a@example.org".into()));
        plan.disposition = Disposition::Tasks(vec![with(Address::Url("https://example.org".into()))]);
        assert_eq!(plan.owner(), None);
        plan.disposition = Disposition::Tasks(vec![phone, email]);
        let address = SuppressedAddress::new(&plan.tenant, AddressKind::Email, "a@example.org");
        assert_eq!(plan.owner(), Some(Owner::Address(Box::new(address))));
    }
}
