//! What a server offers.

use super::reply::Inbox;

/// What the server said to EHLO.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) chunking: bool,
    pub(super) starttls: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) plain: bool,
    pub(super) login: bool,
    /// The largest mail it takes; 0: it does not say.
    pub(super) size_max: usize,
}

impl Offers {
    /// Reads the reply to EHLO, which is the last in the inbox.
    pub(super) fn read(inbox: &Inbox) -> Self {
        let mut offers = Self::default();
        for line in inbox.said().skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("8BITMIME") => offers.eight_bit = true,
                Some("SMTPUTF8") => offers.utf8 = true,
                Some("SIZE") => offers.size_max = words.next().and_then(|size| size.parse().ok()).unwrap_or(0),
                Some("AUTH") => {
                    for word in words {
                        offers.plain |= word == "PLAIN";
                        offers.login |= word == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}
