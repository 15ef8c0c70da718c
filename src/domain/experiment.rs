//! Which users get which text of an experiment.

use xxhash_rust::xxh3::Xxh3;

/// Texts that are compared, and how the users are shared out among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Another name shares the users out anew.
    pub name: Box<str>,
    /// The weight of those who get nothing.
    pub hold_back: u32,
    /// Name and weight of each, in their order.
    pub variants: Vec<(Box<str>, u32)>,
}

/// What an experiment has for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    Variant(Box<str>),
    /// Nothing is sent: one sees by these users what sending does at all.
    HeldBack,
}

impl Experiment {
    /// The same for the same user, whoever asks and whenever, as long as name and weights stay. Where one weight grows, only users
    /// at the borders move. `None`: all weights are 0, and there is nothing to compare.
    pub fn assign(&self, tenant: &str, user: &str) -> Option<Assignment> {
        let weights = self.variants.iter().map(|(_, weight)| u128::from(*weight));
        let total = weights.sum::<u128>() + u128::from(self.hold_back);
        // A fraction of the hash's range, so that no weight is favoured.
        let mut place = (u128::from(self.hash(tenant, user)) * total) >> 64;
        for (name, weight) in &self.variants {
            let weight = u128::from(*weight);
            if place < weight {
                return Some(Assignment::Variant(name.clone()));
            }
            place -= weight;
        }
        (total > 0).then_some(Assignment::HeldBack)
    }

    fn hash(&self, tenant: &str, user: &str) -> u64 {
        let mut hash = Xxh3::new();
        for text in [&*self.name, tenant, user] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn experiment(hold_back: u32, weights: &[(&str, u32)]) -> Experiment {
        let variants = weights.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
        Experiment { name: "welcome".into(), hold_back, variants }
    }

    fn shares(experiment: &Experiment) -> BTreeMap<String, u32> {
        let mut shares = BTreeMap::new();
        for user in 0..100_000 {
            let name = match experiment.assign("t", &format!("user{user}")) {
                Some(Assignment::Variant(name)) => name.to_string(),
                Some(Assignment::HeldBack) => "nothing".to_owned(),
                None => "none".to_owned(),
            };
            *shares.entry(name).or_default() += 1;
        }
        shares
    }

    #[test]
    fn users_are_shared_out_by_weight() {
        let shares = shares(&experiment(10, &[("control", 45), ("b", 45), ("c", 0)]));
        assert_eq!(shares.len(), 3, "{shares:?}");
        // Four standard deviations of a share of 45 and of 10 in a hundred.
        assert!(shares["control"].abs_diff(45_000) < 630, "{shares:?}");
        assert!(shares["b"].abs_diff(45_000) < 630, "{shares:?}");
        assert!(shares["nothing"].abs_diff(10_000) < 380, "{shares:?}");
    }

    #[test]
    fn a_user_stays_where_they_are() {
        let one = experiment(0, &[("control", 50), ("b", 50)]);
        let more = experiment(0, &[("control", 60), ("b", 40)]);
        for user in ["alice", "bob", ""] {
            assert_eq!(one.assign("t", user), one.assign("t", user));
        }
        // Whoever was in the group that grew is still in it.
        for user in (0..1000).map(|user| format!("user{user}")) {
            if one.assign("t", &user) == Some(Assignment::Variant("control".into())) {
                assert_eq!(more.assign("t", &user), one.assign("t", &user));
            }
        }
        let renamed = Experiment { name: "again".into(), ..one.clone() };
        let moved = (0..1000).map(|user| format!("user{user}"));
        let moved = moved.filter(|user| one.assign("t", user) != renamed.assign("t", user)).count();
        assert!(moved.abs_diff(500) < 64, "{moved}");
    }

    #[test]
    fn where_nothing_has_a_weight_nothing_is_compared() {
        assert_eq!(experiment(0, &[("control", 0)]).assign("t", "alice"), None);
        assert_eq!(experiment(1, &[("control", 0)]).assign("t", "alice"), Some(Assignment::HeldBack));
    }
}
