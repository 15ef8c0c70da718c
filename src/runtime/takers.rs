//! Which addresses the configured providers take, for planning.

use crate::planning::Takers;
use crate::providers::SharedProvider;

/// What some provider of a channel takes: each says it of each address, since some take a name alone, some only a name with a user,
/// and some only tokens of one form.
pub fn takers(providers: &[SharedProvider]) -> Takers {
    let providers = providers.to_vec();
    Takers::new(move |channel, address| {
        providers.iter().any(|provider| provider.channels().contains(&channel) && provider.takes(address))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;

    use super::*;
    use crate::clock::ManualClock;
    use crate::config;
    use crate::domain::{Address, Channel, Platform, Timestamp};
    use crate::providers::{BuildContext, Guard, Sandbox, build_all};

    const ROBOT: &str = "name = \"room\"\nkind = \"dingtalk\"\ntoken = \"tok\"";
    const SLACK: &str = "name = \"team\"\nkind = \"slack\"\ntoken = \"T0/B0/x0\"";
    const COMPANY: &str = "name = \"company\"\nkind = \"wecom_app\"\nusername = \"corp\"\npassword = \"secret\"\n\
                           options = { agent_id = 7 }";
    // The key of the example in RFC 8291 (5).
    const BROWSERS: &str = "name = \"browsers\"\nkind = \"web_push\"\n\
                            private_key = \"yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw\"\n\
                            options = { subject = \"mailto:ops@example.com\" }";

    fn iphones() -> String {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("known");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let pem = String::from_utf8(key.private_key_to_pem_pkcs8().expect("PEM")).expect("text");
        format!(
            "name = \"iphones\"\nkind = \"apns\"\nprivate_key = '''{pem}'''\n\
             options = {{ key_id = \"ABC123DEFG\", team_id = \"DEF123GHIJ\", topic = \"com.example.shop\" }}"
        )
    }

    fn of(sections: &[&str]) -> Takers {
        let clock = ManualClock::starting_at(Timestamp(1_800_000_000_000));
        let context = BuildContext {
            clock: clock.clone(),
            guard: Guard::new(true, clock.clone()),
            public_url: "https://notify.example.com".into(),
            sandbox: Arc::new(Sandbox::new(clock)),
            inbox: None,
        };
        let settings: Vec<config::Provider> =
            sections.iter().map(|section| toml::from_str(section).expect("valid settings")).collect();
        takers(&build_all(&settings, &context).expect("they are built"))
    }

    #[test]
    fn a_chat_is_taken_in_the_form_that_its_provider_knows() {
        let check = |sections: &[&str], address: Address, expected: bool| {
            assert_eq!(of(sections).take(Channel::Chat, &address), expected, "{address:?} by {sections:?}");
        };
        let chat = |name: &str| Address::Chat(name.into());
        let url = |url: &str| Address::Url(url.into());
        check(&[COMPANY], chat("company:alice"), true);
        check(&[COMPANY], chat("company"), false);
        check(&[COMPANY], Address::Provider, false);
        check(&[ROBOT], chat("room"), true);
        check(&[ROBOT], chat("room:alice"), false);
        check(&[ROBOT], chat("other"), false);
        check(&[ROBOT], Address::Provider, true);
        check(&[ROBOT, COMPANY], chat("company:alice"), true);
        check(&[ROBOT], url("https://hooks.slack.com/services/T1/B1/y1"), false);
        check(&[ROBOT, SLACK], url("https://hooks.slack.com/services/T1/B1/y1"), true);
        check(&[ROBOT, SLACK], url("https://hooks.example.com/services/T1/B1/y1"), false);
    }

    #[test]
    fn a_device_is_taken_by_its_platform_and_the_form_of_its_token() {
        let check = |sections: &[&str], address: Address, expected: bool| {
            assert_eq!(of(sections).take(Channel::Push, &address), expected, "{address:?}");
        };
        let iphones = iphones();
        let hexadecimal = "0123456789abcdef".repeat(4);
        let subscription = "{\"endpoint\":\"https://push.example.com/1\"}";
        check(&[BROWSERS], Address::Device(Platform::Web, subscription.into()), true);
        check(&[BROWSERS], Address::Device(Platform::Web, "token".into()), false);
        check(&[BROWSERS], Address::PushToken(subscription.into()), true);
        check(&[BROWSERS], Address::Device(Platform::Ios, hexadecimal.as_str().into()), false);
        check(&[&iphones], Address::Device(Platform::Ios, hexadecimal.as_str().into()), true);
        check(&[&iphones], Address::Device(Platform::Android, hexadecimal.as_str().into()), false);
        check(&[&iphones], Address::PushToken(subscription.into()), false);
        check(&[&iphones, BROWSERS], Address::PushToken(subscription.into()), true);
    }
}
