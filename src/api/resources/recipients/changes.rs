//! From a form to what changes. Pure.

use std::collections::BTreeMap;

use super::form::{Action, Choice, Form};
use crate::domain::{Categories, Category, Channel, Consent, Timestamp, User, UserEntry};

/// Where it was said, in records of consent; it also stands for the text, which is the page's.
const SOURCE: &str = "preferences page";

/// A category on a channel, and whether it comes from now on.
pub(super) type Switch = (Box<str>, Channel, bool);

/// What a form changes of what is in force for a user. What stays as it is is not written, so that it follows its category's default;
/// what nobody can choose is left out, whatever the form says.
pub(super) fn changes(form: &Form, categories: &Categories, user: &User) -> Vec<Switch> {
    let choosable = || categories.all().iter().filter(|category| category.opt_out);
    let of = |(channel, name): &Choice| {
        let category = categories.get(name).filter(|category| category.opt_out)?;
        Some((category, *channel))
    };
    let wanted: Vec<(&Category, Channel, bool)> = match form.action {
        Action::Save => {
            let shown = form.shown.iter().filter_map(|choice| Some((of(choice)?, form.on.contains(choice))));
            shown.map(|((category, channel), enabled)| (category, channel, enabled)).collect()
        }
        // Also where nothing is sent today: who leaves everything means it.
        Action::LeaveAll => {
            let every = |category| Channel::ALL.into_iter().map(move |channel| (category, channel, false));
            choosable().flat_map(every).collect()
        }
        Action::Subscribe => {
            form.on.iter().filter_map(of).map(|(category, channel)| (category, channel, true)).collect()
        }
        Action::Leave => Vec::new(),
    };
    // Where consent is given with a channel, the others that stay off are to stay off.
    let has_consent = |category: &Category| {
        let is_given = |(one, _, enabled): &(&Category, Channel, bool)| one.name == category.name && *enabled;
        category.has_consent(Some(user)) || wanted.iter().any(is_given)
    };
    let differs = |(category, channel, enabled): &(&Category, Channel, bool)| match enabled {
        true => !category.is_for(user, *channel),
        false => has_consent(category) && category.is_wanted(user.preference(&category.name, *channel)),
    };
    let decided: Vec<bool> = wanted.iter().map(differs).collect();
    let wanted = wanted.into_iter().zip(decided);
    let wanted: Vec<(&Category, Channel, bool)> = wanted.filter(|(_, differs)| *differs).map(|(one, _)| one).collect();
    let changed = wanted.into_iter();
    changed.map(|(category, channel, enabled)| (category.name.clone(), channel, enabled)).collect()
}

/// What the same says of consent: who switches a channel of a category that requires it on gives it, and who switches the last one off
/// takes it back. Where the two go together by one purpose, giving counts.
pub(super) fn consents(changed: &[Switch], categories: &Categories, user: &User, now: Timestamp) -> Vec<UserEntry> {
    let mut said: BTreeMap<Box<str>, Consent> = BTreeMap::new();
    for (name, _, _) in changed {
        let Some(category) = categories.get(name) else { continue };
        let Some(purpose) = &category.requires_consent else { continue };
        let held = user.consents.get(purpose);
        let switched = |channel: Channel| {
            let switch = changed.iter().find(|(one, on, _)| one == name && *on == channel);
            switch.map_or(category.is_wanted(user.preference(name, channel)), |(_, _, enabled)| *enabled)
        };
        let is_on = changed.iter().any(|(one, _, enabled)| one == name && *enabled);
        let is_left = !Channel::ALL.into_iter().any(switched);
        let is_granted = held.is_some_and(|held| held.granted);
        if is_on && !is_granted {
            let withdrawn = Consent::withdrawn(held, SOURCE, now);
            said.insert(purpose.clone(), Consent { granted: true, text_version: SOURCE.into(), ..withdrawn });
        } else if is_left && is_granted {
            said.entry(purpose.clone()).or_insert_with(|| Consent::withdrawn(held, SOURCE, now));
        }
    }
    said.into_iter().map(|(purpose, consent)| UserEntry::Consent { purpose, consent: Some(consent) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;
    use crate::domain::UserEntry;

    fn form(body: &str) -> Form {
        Form::read(body.as_bytes()).expect("ours")
    }

    fn user(category: &str, channel: Channel, enabled: bool) -> User {
        let said = UserEntry::Preference { category: category.into(), channel, enabled: Some(enabled) };
        User::from_entries([said]).expect("something is known")
    }

    #[test]
    fn only_what_was_shown_can_be_chosen_and_differs_is_changed() {
        let categories = defaults().categories().expect("the default is there");
        let user = user("social", Channel::Sms, false);
        let check = |body: &str, expected: &[(&str, Channel, bool)]| {
            let changed = changes(&form(body), &categories, &user);
            let changed: Vec<(&str, Channel, bool)> = changed.iter().map(|(a, b, c)| (&**a, *b, *c)).collect();
            assert_eq!(changed, expected, "{body}");
        };
        check("shown=email:social&on=email:social&do=save", &[]);
        check("shown=email:social&do=save", &[("social", Channel::Email, false)]);
        check("shown=sms:social&on=sms:social", &[("social", Channel::Sms, true)]);
        check("on=sms:social&do=save", &[]);
        check("on=sms:social&on=email:social&do=subscribe", &[("social", Channel::Sms, true)]);
        check("shown=email:security&shown=email:nothing&do=save", &[]);
        let all = changes(&form("do=leave_all"), &categories, &user);
        let choosable = categories.all().iter().filter(|category| category.opt_out).count();
        assert_eq!(all.len(), choosable * Channel::ALL.len() - 1, "one is off already");
        assert!(all.iter().all(|(category, _, enabled)| !enabled && &**category != "security"));
    }
}
