use std::collections::HashMap;

use async_trait::async_trait;
use openssl::rsa::Rsa;

use super::*;

/// Name servers that know these records; a name in `silent` is not answered for.
#[derive(Default)]
struct Known {
    texts: HashMap<String, Vec<String>>,
    exchanges: HashMap<String, Vec<String>>,
    silent: Vec<String>,
}

#[async_trait]
impl Records for Known {
    async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        if self.silent.iter().any(|silent| silent == name) {
            return Err(format!("no answer for {name}"));
        }
        Ok(self.texts.get(name).cloned().unwrap_or_default())
    }

    async fn exchanges(&self, name: &str) -> Result<Vec<String>, String> {
        Ok(self.exchanges.get(name).cloned().unwrap_or_default())
    }
}

impl Known {
    fn text(mut self, name: &str, text: &str) -> Self {
        self.texts.entry(name.into()).or_default().push(text.into());
        self
    }
}

/// A key as PEM, and what is published of it.
fn key(bits: u32) -> (String, String) {
    let key = Rsa::generate(bits).expect("a key");
    let pem = String::from_utf8(key.private_key_to_pem().expect("PEM")).expect("text");
    (pem, openssl::base64::encode_block(&key.public_key_to_der().expect("a public key")))
}

fn config(pem: &str, options: &str) -> Config {
    let mut config = crate::config::defaults();
    let text = format!(
        "name = \"mail\"\nkind = \"smtp\"\nurl = \"smtp://localhost\"\nfrom = \"news@example.com\"
private_key = '''{pem}'''\n[options]\ndkim_selector = \"s1\"\n{options}"
    );
    config.providers.push(toml::from_str(&text).expect("valid settings"));
    config
}

fn good(public: &str) -> Known {
    let mut known = Known::default()
        .text("example.com", "v=spf1 include:relay.example ~all")
        .text("example.com", "some-verification=1")
        .text("relay.example", "v=spf1 ip4:192.0.2.0/24 -all")
        .text("s1._domainkey.example.com", &format!("v=DKIM1; k=rsa; p={public}"))
        .text("_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:d@example.com");
    known.exchanges.insert("example.com".into(), vec!["mx.example.com.".into()]);
    known
}

async fn found(known: &Known, config: &Config, selectors: &[&str]) -> Vec<Finding> {
    let selectors: Vec<String> = selectors.iter().map(|selector| (*selector).to_owned()).collect();
    check(known, config, "example.com", &selectors).await.expect("it can be checked")
}

/// The finding that begins like this.
fn of<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.what.starts_with(what)).expect("it was looked at")
}

#[tokio::test]
async fn a_domain_that_publishes_everything_is_good_in_every_line() {
    let (pem, public) = key(2048);
    let findings = found(&good(&public), &config(&pem, ""), &[]).await;
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Good), "{findings:#?}");
    let whats: Vec<_> = findings.iter().map(|finding| &*finding.what).collect();
    assert_eq!(
        whats,
        [
            "SPF of example.com",
            "DKIM s1._domainkey.example.com",
            "DMARC of example.com",
            "alignment of provider `mail`",
            "MX of example.com"
        ]
    );
}

#[tokio::test]
async fn a_domain_that_publishes_nothing_is_told_what_to_publish() {
    let (pem, public) = key(2048);
    let findings = found(&Known::default(), &config(&pem, ""), &[]).await;
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Bad), "{findings:#?}");
    assert!(of(&findings, "SPF").text.contains("v=spf1 include:"));
    let record = format!("s1._domainkey.example.com. TXT \"v=DKIM1; k=rsa; p={public}\"");
    assert!(of(&findings, "DKIM").text.contains(&record));
    assert!(of(&findings, "DMARC").text.contains("_dmarc.example.com. TXT \"v=DMARC1; p=none"));
    assert!(of(&findings, "MX").text.contains("MX 10"));
}

#[tokio::test]
async fn records_of_hosts_that_may_send_are_counted_and_judged_by_their_end() {
    let check = async |record: &str, more: &[(&str, &str)], verdict: Verdict, part: &str| {
        let mut known = Known::default().text("example.com", record);
        for (name, text) in more {
            known = known.text(name, text);
        }
        let finding = spf::check(&known, "example.com").await;
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(finding.text.contains(part), "{finding:?}");
    };
    check("v=spf1 a mx ip4:192.0.2.1 -all", &[], Verdict::Good, "2 of 10").await;
    check("V=SPF1 redirect=b.example", &[("b.example", "v=spf1 mx ~all")], Verdict::Good, "2 of 10").await;
    check("v=spf1 exists:%{i}.b.example include:%{d}.b.example ~all", &[], Verdict::Good, "2 of 10").await;
    check("v=spf1 a +all", &[], Verdict::Bad, "everybody").await;
    check("v=spf1 a all", &[], Verdict::Bad, "everybody").await;
    check("v=spf1 a ?all", &[], Verdict::Bad, "says nothing").await;
    check("v=spf1 a", &[], Verdict::Bad, "no end").await;
    check("v=spf1 a -all", &[("example.com", "v=spf1 mx -all")], Verdict::Bad, "several").await;
    check("v=spf10 -all", &[], Verdict::Bad, "none").await;
    check("v=spf1 include:gone.example -all", &[], Verdict::Bad, "gone.example").await;
    check("v=spf1 a a a a a a mx mx mx mx mx -all", &[], Verdict::Bad, "more than 10").await;
    // One that names itself comes to an end.
    check("v=spf1 include:example.com -all", &[], Verdict::Bad, "more than 10").await;
}

#[tokio::test]
async fn a_published_key_must_be_long_enough_and_ours() {
    let (pem, public) = key(2048);
    let (_, other) = key(2048);
    let (_, short) = key(1024);
    let (_, weak) = key(512);
    let config = config(&pem, "");
    let check = async |record: &str, verdict: Verdict, part: &str| {
        let known = Known::default().text("s1._domainkey.example.com", record);
        let findings = found(&known, &config, &["s1"]).await;
        let finding = of(&findings, "DKIM");
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(finding.text.contains(part), "{finding:?}");
    };
    check(&format!("p={public}"), Verdict::Good, "2048 bits, the public half of our").await;
    check(&format!("v=DKIM1; t=y; p={public}"), Verdict::Advice, "t=y").await;
    check(&format!("v=DKIM1; p={other}"), Verdict::Bad, "not the public half").await;
    check(&format!("v=DKIM1; p={weak}"), Verdict::Bad, "512 bits").await;
    check("v=DKIM1; p=", Verdict::Bad, "revoked").await;
    check("v=DKIM1; p=%%", Verdict::Bad, "no base64").await;
    check("v=DKIM1; k=rsa", Verdict::Bad, "no key").await;
    check("v=DKIM1; k=dsa; p=AAAA", Verdict::Bad, "nobody knows").await;
    let known = Known::default().text("s2._domainkey.example.com", &format!("v=DKIM1; p={short}"));
    let findings = found(&known, &config, &["s2"]).await;
    assert_eq!(of(&findings, "DKIM s2").verdict, Verdict::Advice, "{findings:?}");
    let without = check_without_providers(&known, &[]).await;
    assert!(of(&without, "DKIM").text.contains("--selector"));
}

async fn check_without_providers(known: &Known, selectors: &[&str]) -> Vec<Finding> {
    found(known, &crate::config::defaults(), selectors).await
}

#[tokio::test]
async fn a_policy_is_inherited_and_settings_must_fit_it() {
    let (pem, public) = key(2048);
    let mut known = good(&public);
    known.texts.insert("_dmarc.example.com".into(), vec!["v=DMARC1; p=none; adkim=s; aspf=s".into()]);
    let strict = found(&known, &config(&pem, "bounce_address = \"b@bounce.example.com\""), &[]).await;
    assert_eq!(of(&strict, "DMARC").verdict, Verdict::Advice);
    assert_eq!(of(&strict, "alignment").verdict, Verdict::Advice);
    assert!(of(&strict, "alignment").text.contains("envelope (bounce.example.com) does not"), "{strict:#?}");
    assert_eq!(of(&strict, "SPF of bounce.example.com").verdict, Verdict::Bad);
    let foreign = found(&known, &config(&pem, "dkim_domain = \"mail.example.com\""), &[]).await;
    assert_eq!(of(&foreign, "alignment").verdict, Verdict::Advice, "the envelope still fits");
    let both = "bounce_address = \"b@bounce.example.com\"\ndkim_domain = \"mail.example.com\"";
    let neither = found(&known, &config(&pem, both), &[]).await;
    assert_eq!(of(&neither, "alignment").verdict, Verdict::Bad);
    assert_eq!(of(&foreign, "DKIM s1._domainkey.mail.example.com").verdict, Verdict::Bad);

    let inherited =
        Known::default().text("_dmarc.example.com", "v=DMARC1; p=reject; sp=none; rua=mailto:d@example.com");
    let found = check(&inherited, &crate::config::defaults(), "News.Example.com.", &[]).await.expect("checked");
    assert_eq!(of(&found, "DMARC of news.example.com").verdict, Verdict::Advice, "{found:#?}");
}

#[tokio::test]
async fn name_servers_that_do_not_answer_are_no_missing_record() {
    let known = Known { silent: vec!["example.com".into(), "_dmarc.example.com".into()], ..Known::default() };
    let findings = check_without_providers(&known, &["s1"]).await;
    assert!(of(&findings, "SPF").text.contains("no answer") && of(&findings, "DMARC").text.contains("no answer"));
    assert!(check(&known, &crate::config::defaults(), "not a domain", &[]).await.is_err());
    assert!(check(&known, &crate::config::defaults(), "192.0.2.1", &[]).await.is_err());
}
