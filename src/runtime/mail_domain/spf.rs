//! Which hosts may send with a domain in the envelope (SPF, RFC 7208).

use super::names::Records;
use super::{Finding, beginning};

/// RFC 7208 section 4.6.4: a receiver that needs more gives up, and the record counts for nothing.
const LOOK_UPS_MAX: usize = 10;

pub(super) async fn check(names: &dyn Records, domain: &str) -> Finding {
    let what = format!("SPF of {domain}");
    let record = match read(names, domain).await {
        Ok(record) => record,
        Err(reason) => return Finding::bad(&what, reason),
    };
    match count(names, domain, &record).await {
        Err(reason) => Finding::bad(&what, reason),
        Ok(count) if count > LOOK_UPS_MAX => Finding::bad(
            &what,
            format!(
                "more than {LOOK_UPS_MAX} look-ups, so receivers give up: name fewer hosts, or their addresses (`ip4:`)"
            ),
        ),
        Ok(count) => judge(&what, &record, count),
    }
}

fn judge(what: &str, record: &str, count: usize) -> Finding {
    let found = format!("`{record}`, {count} of {LOOK_UPS_MAX} look-ups");
    let all = record
        .split_whitespace()
        .find(|term| term.trim_start_matches(['+', '-', '~', '?']).eq_ignore_ascii_case("all"));
    match all.map(|term| term.as_bytes()[0]) {
        Some(b'-' | b'~') => Finding::good(what, found),
        Some(b'?') => Finding::bad(what, format!("{found}: `?all` says nothing; end it with `~all` or `-all`")),
        Some(_) => Finding::bad(what, format!("{found}: everybody may send with it; end it with `~all` or `-all`")),
        None if record.to_ascii_lowercase().contains(" redirect=") => Finding::good(what, found),
        None => Finding::bad(what, format!("{found}: it has no end; end it with `~all` or `-all`")),
    }
}

async fn read(names: &dyn Records, domain: &str) -> Result<String, String> {
    let texts = names.texts(domain).await?;
    match beginning(&texts, "v=spf1")[..] {
        [record] => Ok(record.to_owned()),
        [] => Err(format!(
            "none at {domain}: publish `{domain}. TXT \"v=spf1 include:<the record of who sends for you> ~all\"`"
        )),
        _ => Err(format!("several at {domain}, which count as none: publish one `v=spf1` with all hosts")),
    }
}

/// The look-ups that a receiver may need, those of the records that it names included; stops once they are too many.
async fn count(names: &dyn Records, domain: &str, record: &str) -> Result<usize, String> {
    let (mut count, mut open) = (0, vec![record.to_owned()]);
    while let Some(record) = open.pop() {
        for term in record.split_whitespace().skip(1) {
            let term = term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
            let end = term.find([':', '/', '=']).unwrap_or(term.len());
            let (name, value) = (&term[..end], term[end..].trim_start_matches([':', '=']));
            match name {
                "a" | "mx" | "ptr" | "exists" => count += 1,
                "include" | "redirect" => count += 1,
                _ => continue,
            }
            if count > LOOK_UPS_MAX {
                return Ok(count);
            }
            // What is put together from the mail itself (macros) is known to the receiver only.
            if matches!(name, "include" | "redirect") && !value.contains('%') {
                let found = read(names, value).await;
                open.push(found.map_err(|reason| format!("{domain} names {value}, which cannot be used: {reason}"))?);
            }
        }
    }
    Ok(count)
}
