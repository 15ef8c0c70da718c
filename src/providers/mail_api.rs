//! What the adapters share whose services take mails over HTTP: who sends and who gets a mail, how its files are written, and what a
//! mail that did not arrive says of its address.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use lettre::Address as MailAddress;
use lettre::message::header::{From, Header, Headers};
use lettre::message::{Mailbox, Mailboxes};
use serde::{Serialize, Serializer};

use super::outcome::Table;
use super::receipts::ReceiptKind;
use super::wire::is_code;
use crate::config::{self, OutcomeWord};
use crate::domain::{Address, Message, Outcome};

/// What our own id is called, wherever a service carries it for us.
pub(super) const TASK: &str = "task";

/// `from` of the configuration.
pub(super) struct Sender {
    mailbox: Mailbox,
}

impl Sender {
    pub(super) fn read(settings: &config::Provider) -> Result<Self, String> {
        let text = settings.from.as_deref();
        let text = text.ok_or("`from` is missing: write it as \"Shop <shop@example.com>\"")?;
        let mailbox = text.parse().map_err(|_| format!("`from` is no address: `{text}`"))?;
        Ok(Self { mailbox })
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.mailbox.name.as_deref()
    }

    pub(super) fn address(&self) -> &str {
        self.mailbox.email.as_ref()
    }

    /// The host of its address.
    pub(super) fn host(&self) -> &str {
        self.mailbox.email.domain()
    }

    /// As the header `From` has it: ASCII, in one line (RFC 2047).
    pub(super) fn encoded(&self) -> String {
        let mut headers = Headers::with_capacity(1);
        headers.insert_raw(From::from(Mailboxes::from(self.mailbox.clone())).display());
        let line = headers.to_string().replace("\r\n", "");
        line.strip_prefix("From: ").unwrap_or(&line).to_owned()
    }
}

/// Who gets it. One address and no more: some services would read a comma as the end of the first of several.
pub(super) fn recipient(message: &Message) -> Result<&str, Outcome> {
    let bad = |reason: &str| Outcome::BadRequest { reason: reason.into() };
    let Address::Email(address) = &message.address else {
        return Err(bad("a mail needs an e-mail address"));
    };
    if address.parse::<MailAddress>().is_err() {
        return Err(bad("the recipient is no e-mail address"));
    }
    if message.parts.title.chars().any(char::is_control) {
        return Err(bad("the subject has a control character"));
    }
    Ok(address)
}

/// The text of a mail, where it has one: services refuse an empty one, and an HTML part may stand alone.
pub(super) fn text(message: &Message) -> Option<&str> {
    let parts = &message.parts;
    (!parts.body.is_empty() || parts.html.is_none()).then_some(&parts.body)
}

/// Bytes as base64 in JSON, written without a copy in between.
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// What a mail that did not arrive says of its address, by the first of the codes that the table knows. With none of them it says
/// nothing: the address is as good as before.
pub(super) fn bounced(table: &Table, codes: &[String]) -> ReceiptKind {
    let word = codes.iter().find_map(|code| table.rule_of(code)).map(|rule| rule.outcome);
    ReceiptKind::Bounced {
        is_gone: word == Some(OutcomeWord::DeadRecipient),
        is_opt_out: word == Some(OutcomeWord::OptedOut),
    }
}

/// A word of a receipt, if it is one: what it says otherwise may quote an address.
pub(super) fn word(text: Option<&str>) -> Option<&str> {
    text.filter(|text| is_code(text))
}
