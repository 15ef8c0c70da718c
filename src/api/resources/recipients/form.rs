//! What the form of the choices sends.

use std::collections::BTreeSet;

use url::form_urlencoded;

use crate::domain::Channel;

/// Of one form: more than there are categories and channels, each twice.
const FIELDS_MAX: usize = 2_000;

/// A category on a channel, as a field writes it: `email:marketing`.
pub(super) type Choice = (Channel, Box<str>);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Action {
    /// What was shown becomes as it was ticked.
    #[default]
    Save,
    /// All that can be left.
    LeaveAll,
    /// What was ticked comes again, and the rest stays.
    Subscribe,
    /// The whole address, of who has no id.
    Leave,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) action: Action,
    /// What the page showed: a browser does not send what is not ticked.
    pub(super) shown: BTreeSet<Choice>,
    pub(super) on: BTreeSet<Choice>,
}

impl Form {
    /// `None`: it is not one of ours.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut form = Self::default();
        for (index, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if index >= FIELDS_MAX {
                return None;
            }
            match (&*name, &*value) {
                ("do", "save") => form.action = Action::Save,
                ("do", "leave_all") => form.action = Action::LeaveAll,
                ("do", "subscribe") => form.action = Action::Subscribe,
                ("do", "leave") => form.action = Action::Leave,
                ("shown", value) => _ = form.shown.insert(read_choice(value)?),
                ("on", value) => _ = form.on.insert(read_choice(value)?),
                _ => return None,
            }
        }
        Some(form)
    }
}

/// As it stands in a field.
pub(super) fn write_choice(channel: Channel, category: &str) -> String {
    format!("{}:{category}", channel.name())
}

fn read_choice(value: &str) -> Option<Choice> {
    let (channel, category) = value.split_once(':')?;
    Some((Channel::parse(channel)?, category.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_browser_writes_it_and_others_are_not() {
        let form = Form::read(b"shown=email%3Aa%26b&shown=sms%3Asocial&on=sms%3Asocial&do=save").expect("ours");
        let choice = |channel, category: &str| (channel, Box::<str>::from(category));
        assert_eq!(form.shown, [choice(Channel::Email, "a&b"), choice(Channel::Sms, "social")].into());
        assert_eq!((form.action, form.on.len()), (Action::Save, 1));
        assert_eq!(Form::read(b""), Some(Form::default()));
        for strange in ["do=erase", "on=email", "on=fax:social", "what=ever", "{\"on\": 1}"] {
            assert_eq!(Form::read(strange.as_bytes()), None, "{strange}");
        }
        assert_eq!(Form::read("on=email:a&".repeat(FIELDS_MAX + 1).as_bytes()), None);
    }
}
