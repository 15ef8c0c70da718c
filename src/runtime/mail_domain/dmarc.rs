//! What receivers do with mails that fail, and whether ours pass (DMARC, RFC 7489): the domain in `From` must be the signature's or
//! the envelope's.

use super::names::Records;
use super::{Finding, Sender, beginning, tag};

pub(super) async fn check(names: &dyn Records, domain: &str, senders: &[Sender]) -> Vec<Finding> {
    let what = format!("DMARC of {domain}");
    let (owner, record) = match find(names, domain).await {
        Ok(found) => found,
        Err(reason) => return vec![Finding::bad(&what, reason)],
    };
    let mut findings = vec![judge(&what, domain, &owner, &record)];
    findings.extend(senders.iter().map(|sender| alignment(sender, domain, &owner, &record)));
    findings
}

/// The record, and whose it is: the domain's own, or that of the nearest domain above it.
async fn find(names: &dyn Records, domain: &str) -> Result<(String, String), String> {
    let mut owner = domain;
    loop {
        let texts = names.texts(&format!("_dmarc.{owner}")).await?;
        match beginning(&texts, "v=DMARC1")[..] {
            [record] => return Ok((owner.to_owned(), record.to_owned())),
            [] => {}
            _ => return Err(format!("several at _dmarc.{owner}, which count as none: publish one")),
        }
        match owner.split_once('.') {
            // A top-level domain is nobody's.
            Some((_, above)) if above.contains('.') => owner = above,
            _ => break,
        }
    }
    Err(format!(
        "none, and large receivers ask for one: publish `_dmarc.{domain}. TXT \"v=DMARC1; p=none; rua=mailto:dmarc@{domain}\"`"
    ))
}

fn judge(what: &str, domain: &str, owner: &str, record: &str) -> Finding {
    let own = tag(record, "p");
    let inherited = (owner != domain).then(|| tag(record, "sp")).flatten();
    let Some(policy) = inherited.or(own) else {
        return Finding::bad(what, format!("`{record}` has no policy: add `p=none`"));
    };
    if !["none", "quarantine", "reject"].contains(&&*policy) {
        return Finding::bad(
            what,
            format!("`{record}` has a policy that nobody knows: write p=none, quarantine or reject"),
        );
    }
    let found = format!("`{record}` at {owner}");
    let mut advice = Vec::new();
    if policy == "none" {
        advice.push(
            "p=none protects nobody: once the reports show that all of your mail passes, p=quarantine and p=reject",
        );
    }
    if tag(record, "rua").is_none() {
        advice.push("without `rua=mailto:…` you do not learn who fails");
    }
    if tag(record, "pct").is_some_and(|share| share != "100") {
        advice.push("`pct` leaves some mails out: take it away");
    }
    if advice.is_empty() {
        Finding::good(what, found)
    } else {
        Finding::advice(what, format!("{found}; {}", advice.join("; ")))
    }
}

fn alignment(sender: &Sender, domain: &str, owner: &str, record: &str) -> Finding {
    let what = format!("alignment of provider `{}`", sender.provider);
    let is_strict = |name: &str| tag(record, name).is_some_and(|mode| mode == "s");
    let aligns = |other: &str, is_strict: bool| {
        other == domain || (!is_strict && is_within(other, owner)) || (!is_strict && is_within(domain, other))
    };
    let envelope = &sender.identity.envelope;
    let by_envelope = aligns(envelope, is_strict("aspf"));
    match &sender.identity.dkim {
        Some(dkim) if aligns(&dkim.domain, is_strict("adkim")) && by_envelope => {
            Finding::good(&what, format!("signature ({}) and envelope ({envelope}) fit `From`", dkim.domain))
        }
        // One of both is enough to pass (RFC 7489 section 4.2).
        Some(dkim) if aligns(&dkim.domain, is_strict("adkim")) => Finding::advice(
            &what,
            format!(
                "the signature ({}) fits `From`, the envelope ({envelope}) does not: where the signature breaks on the way, \
                 nothing is left; set `options.bounce_address` to one at {domain}",
                dkim.domain
            ),
        ),
        Some(dkim) => {
            let text = format!(
                "the signature is {}'s, which does not fit `From`: set `options.dkim_domain` to {domain}",
                dkim.domain
            );
            if by_envelope {
                Finding::advice(&what, format!("{text}; the envelope ({envelope}) fits, until a mail is forwarded"))
            } else {
                Finding::bad(&what, format!("{text}; the envelope ({envelope}) does not fit either"))
            }
        }
        None if by_envelope => Finding::advice(
            &what,
            "mails are not signed here: Gmail and others ask for a signature; the relay has to, or give `private_key`",
        ),
        None => Finding::bad(
            &what,
            format!(
                "not signed here, and the envelope ({envelope}) does not fit `From`: give `private_key`, or let the relay sign"
            ),
        ),
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}
