//! What a domain publishes for its mails (SPF, DKIM, DMARC, MX), held against what receivers ask for and against our own settings:
//! for `fanfare check --domain`. Asks the name servers of the system and nobody else.

mod names;
mod spf;
mod dkim;
mod dmarc;

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::providers::{self, MailIdentity};

use names::{Records, SystemNames};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, as `SPF of example.com`.
    pub what: String,
    pub verdict: Verdict,
    /// What was found, and what to do where that is not good.
    pub text: String,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It works, and could be better.
    Advice,
    /// Receivers refuse such mails, or put them away.
    Bad,
}

impl Finding {
    fn new(what: &str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict, text: text.into() }
    }

    fn good(what: &str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Good, text)
    }

    fn advice(what: &str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Advice, text)
    }

    fn bad(what: &str, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Bad, text)
    }
}

/// A provider of ours that sends from the domain.
struct Sender {
    provider: String,
    identity: MailIdentity,
}

/// Checks a domain. `selectors`: the names of keys to look for; none: those of the configured providers that send from it.
///
/// # Errors
/// In one line, where nothing can be looked up at all: no domain, no name servers, a provider that cannot be read.
pub async fn check_mail_domain(config: &Config, domain: &str, selectors: &[String]) -> Result<Vec<Finding>, String> {
    check(&SystemNames::new()?, config, domain, selectors).await
}

async fn check(
    names: &dyn Records,
    config: &Config,
    domain: &str,
    selectors: &[String],
) -> Result<Vec<Finding>, String> {
    let no_domain = || format!("`{domain}` is no domain: write it as example.com");
    let host = url::Host::parse(domain.trim_end_matches('.')).map_err(|_| no_domain())?;
    let url::Host::Domain(domain) = host else { return Err(no_domain()) };
    let senders = senders(config, &domain)?;
    let mut findings = Vec::new();
    // Receivers look at the envelope's domain for SPF.
    let mut envelopes = vec![&*domain];
    for sender in &senders {
        if !envelopes.contains(&&*sender.identity.envelope) {
            envelopes.push(&sender.identity.envelope);
        }
    }
    for envelope in envelopes {
        findings.push(spf::check(names, envelope).await);
    }
    findings.extend(dkim::check(names, &domain, selectors, &senders).await);
    findings.extend(dmarc::check(names, &domain, &senders).await);
    findings.push(check_exchanges(names, &domain).await);
    Ok(findings)
}

fn senders(config: &Config, domain: &str) -> Result<Vec<Sender>, String> {
    let mut senders = Vec::new();
    for settings in &config.providers {
        let identity = providers::mail_identity(settings);
        let identity = identity.map_err(|reason| format!("provider `{}`: {reason}", settings.name))?;
        if let Some(identity) = identity.filter(|identity| identity.from == domain) {
            senders.push(Sender { provider: settings.name.clone(), identity });
        }
    }
    Ok(senders)
}

/// Answers and bounces must have somewhere to go: many receivers refuse mails that cannot be answered.
async fn check_exchanges(names: &dyn Records, domain: &str) -> Finding {
    let what = format!("MX of {domain}");
    match names.exchanges(domain).await {
        Err(reason) => Finding::bad(&what, reason),
        Ok(found) if found.is_empty() => {
            Finding::bad(&what, format!("none: publish `{domain}. MX 10 <the host that takes your mail>.`"))
        }
        // RFC 7505: the domain takes no mail, and so sends none either.
        Ok(found) if found.iter().any(|host| host.trim_end_matches('.').is_empty()) => {
            Finding::bad(&what, "the null MX: it says that nobody can be answered; name a host that takes mail")
        }
        Ok(found) => Finding::good(&what, found.join(", ")),
    }
}

/// The one text among those at a name that begins like this; none, or several, is for the caller to judge.
fn beginning<'a>(texts: &'a [String], with: &str) -> Vec<&'a str> {
    let is_it = |text: &&str| {
        let head = text.get(..with.len()).unwrap_or_default();
        let next = text[head.len()..].chars().next();
        head.eq_ignore_ascii_case(with) && next.is_none_or(|letter| letter == ' ' || letter == ';')
    };
    texts.iter().map(String::as_str).filter(is_it).collect()
}

/// The value of a tag of a list as `v=DKIM1; k=rsa` (RFC 6376 section 3.2), without spaces.
fn tag(record: &str, name: &str) -> Option<String> {
    record.split(';').find_map(|part| {
        let (found, value) = part.split_once('=')?;
        (found.trim() == name).then(|| value.split_whitespace().collect())
    })
}
