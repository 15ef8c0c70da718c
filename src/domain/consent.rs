//! What a user consented to, as it was recorded: what, when, to which text, and where that was said.

use super::Timestamp;

/// One record of a purpose. Records are added and never changed; of those of one purpose the one of the latest `at` counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// `false`: it was withdrawn, or refused.
    pub granted: bool,
    /// When the user said so.
    pub at: Timestamp,
    /// Which text they were shown.
    pub text_version: Box<str>,
    /// Where they said it.
    pub source: Box<str>,
    pub note: Option<Box<str>>,
    /// When it was written down here.
    pub recorded_at: Timestamp,
}

impl Consent {
    /// Whether this record counts where `held` did until now: what was said earlier and is written down later does not.
    pub fn follows(&self, held: Option<&Consent>) -> bool {
        held.is_none_or(|held| held.at <= self.at)
    }

    /// What was granted before is taken back, said in `source`; the text is the one that was granted.
    pub fn withdrawn(held: Option<&Consent>, source: &str, now: Timestamp) -> Self {
        Self {
            granted: false,
            // A record of the future cannot outlast it.
            at: held.map_or(now, |held| held.at.max(now)),
            text_version: held.map_or_else(|| "unknown".into(), |held| held.text_version.clone()),
            source: source.into(),
            note: None,
            recorded_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(granted: bool, at: u64) -> Consent {
        let (text_version, source) = ("2026-01".into(), "sign-up".into());
        Consent { granted, at: Timestamp(at), text_version, source, note: None, recorded_at: Timestamp(9) }
    }

    #[test]
    fn what_was_said_last_counts_in_whatever_order_it_is_recorded() {
        assert!(said(true, 1).follows(None));
        assert!(said(true, 2).follows(Some(&said(false, 1))));
        assert!(said(false, 2).follows(Some(&said(true, 2))));
        assert!(!said(true, 1).follows(Some(&said(false, 2))));
    }

    #[test]
    fn a_withdrawal_names_the_text_that_was_granted_and_follows_it() {
        let held = said(true, 5);
        let withdrawn = Consent::withdrawn(Some(&held), "unsubscribe link", Timestamp(4));
        assert!(!withdrawn.granted && withdrawn.follows(Some(&held)));
        assert_eq!(&*withdrawn.text_version, "2026-01");
    }
}
