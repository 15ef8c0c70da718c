use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::domain::Parts;
use crate::providers::testing;

/// How the scripted server answers.
#[derive(Clone)]
struct Server {
    offers: &'static [&'static str],
    recipient: &'static str,
    end: &'static str,
    /// The answer to RSET; none: it hangs.
    reset: Option<&'static str>,
    /// Closes the connection when this word comes, or this many mails are answered, without another answer.
    drops_at: &'static str,
    mails_max: usize,
    /// What it says before it closes for `mails_max`.
    farewell: &'static str,
    /// Says nothing to MAIL and RCPT until the content is there.
    is_late: bool,
    closed: Arc<Notify>,
}

fn good() -> Server {
    Server {
        offers: PIPELINED,
        recipient: "250 ok",
        end: "250 2.0.0 queued",
        reset: Some("250 ok"),
        drops_at: "nothing",
        mails_max: usize::MAX,
        farewell: "",
        is_late: false,
        closed: Arc::default(),
    }
}

const PIPELINED: &[&str] = &["PIPELINING", "8BITMIME", "SIZE 100000"];
const CHUNKED: &[&str] = &["PIPELINING", "8BITMIME", "SIZE 100000", "CHUNKING"];
/// Each way to send a mail.
const WAYS: [&[&str]; 3] = [&[], PIPELINED, CHUNKED];

impl Server {
    /// Serves connections one after the other; all lines that were received.
    async fn start(self, connections: usize) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            let mut lines = Vec::new();
            for _ in 0..connections {
                let (stream, _) = listener.accept().await.expect("a connection");
                self.serve(BufReader::new(stream), &mut lines).await;
                self.closed.notify_one();
            }
            lines
        });
        (url, serving)
    }

    async fn serve(&self, mut stream: BufReader<TcpStream>, lines: &mut Vec<String>) {
        let (mut answers, mut mails) = ("220 test\r\n".to_owned(), 0);
        loop {
            if mails == self.mails_max {
                answers += self.farewell;
            }
            if stream.write_all(answers.as_bytes()).await.is_err() || mails == self.mails_max {
                return;
            }
            answers.clear();
            let Some(mut line) = next_line(&mut stream).await else { return };
            if self.is_late && line.starts_with("MAIL") {
                lines.push(line);
                answers += "250 ok\r\n250 ok\r\n";
                lines.extend(next_line(&mut stream).await);
                line = next_line(&mut stream).await.expect("all in one write");
            }
            let word = line.split([' ', ':']).next().unwrap_or("").to_owned();
            lines.push(line);
            if word == "BDAT" {
                let content = read_chunk(&mut stream, lines).await;
                lines.extend(content.split_inclusive("\r\n").map(|line| line.replace("\r\n", "")));
            }
            if word == "DATA" && self.recipient.starts_with("250") {
                stream.write_all(b"354 go on\r\n").await.expect("it writes");
                while let Some(line) = next_line(&mut stream).await {
                    lines.push(line);
                    if lines.last().is_some_and(|line| line == ".") {
                        break;
                    }
                }
            }
            if word == self.drops_at {
                return;
            }
            mails += usize::from(word == "BDAT" || word == "DATA");
            answers += &self.answer(&word);
        }
    }

    fn answer(&self, word: &str) -> String {
        let answer = match word {
            "EHLO" => {
                let offers = self.offers.iter().map(|offer| format!("250-{offer}\r\n")).collect::<String>();
                return format!("250-test\r\n{offers}250 HELP\r\n");
            }
            "RCPT" => self.recipient,
            "BDAT" | "DATA" if self.recipient.starts_with("250") => self.end,
            "BDAT" | "DATA" => "503 5.5.1 no recipient",
            "AUTH" => "535 5.7.8 no",
            "RSET" => return self.reset.map(|answer| format!("{answer}\r\n")).unwrap_or_default(),
            _ => "250 ok",
        };
        format!("{answer}\r\n")
    }
}

async fn next_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await.ok()?;
    (count > 0).then(|| line.trim_end().to_owned())
}

/// What belongs to the BDAT that came last.
async fn read_chunk(stream: &mut BufReader<TcpStream>, lines: &[String]) -> String {
    let command = lines.last().expect("a line was read");
    let length = command.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST")).expect("the only chunk");
    let mut content = vec![0; length.parse().expect("a length")];
    stream.read_exact(&mut content).await.expect("it is all there");
    String::from_utf8(content).expect("text")
}

fn smtp(url: &str, more: &str) -> SharedProvider {
    let text = format!(
        "name = \"mail\"
kind = \"smtp\"
url = \"{url}\"
from = \"Shop <shop@example.com>\"
{more}"
    );
    testing::provider(&text, &testing::clock()).expect("it is built")
}

pub(super) fn message(to: &str, title: &str, body: &str) -> Message {
    Message {
        parts: Parts { title: title.into(), body: body.into(), ..Parts::default() },
        ..testing::message(Channel::Email, Address::Email(to.into()))
    }
}

#[tokio::test]
async fn mails_go_over_one_connection_with_headers_and_stuffed_dots() {
    let (url, serving) = good().start(1).await;
    let provider = smtp(&url, "");
    for _ in 0..2 {
        let outcome = provider.send(&message("alice@example.com", "Grüße", "one\n.two")).await;
        assert_eq!(outcome.name(), "accepted", "{outcome:?}");
    }
    let task = message("a@example.com", "", "").task;
    drop(provider);
    let lines = serving.await.expect("served");
    assert_eq!(lines.iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    assert_eq!(lines.iter().filter(|line| *line == "RCPT TO:<alice@example.com>").count(), 2);
    assert!(lines.contains(&"..two".to_owned()));
    assert!(lines.contains(&format!("Message-ID: <{task}@example.com>")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("Subject: =?utf-8?")), "{lines:?}");
    assert!(lines.contains(&"Date: Sat, 21 Nov 2026 12:00:00 +0000".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn a_server_without_pipelining_is_spoken_to_step_by_step() {
    let (url, serving) = Server { offers: &[], ..good() }.start(1).await;
    let provider = smtp(&url, "");
    assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "accepted");
    drop(provider);
    assert!(serving.await.expect("served").contains(&"DATA".to_owned()));
}

#[tokio::test]
async fn a_refused_recipient_is_said_so_and_the_connection_goes_on() {
    for offers in WAYS {
        let server = Server { recipient: "550 5.1.1 no such user", offers, ..good() };
        let (url, serving) = server.start(1).await;
        let provider = smtp(&url, "");
        for _ in 0..2 {
            let outcome = provider.send(&message("nobody@example.com", "Hi", "x")).await;
            assert_eq!(outcome.name(), "dead_recipient");
            assert!(!outcome.reason().contains("nobody"), "no address in a reason");
        }
        drop(provider);
        assert_eq!(serving.await.expect("served").iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_whole_mail_leaves_it_in_doubt() {
    for (offers, drops_at) in [(PIPELINED, "DATA"), (CHUNKED, "BDAT")] {
        let (url, _serving) = Server { offers, drops_at, ..good() }.start(1).await;
        assert_eq!(smtp(&url, "").send(&message("alice@example.com", "Hi", "x")).await.name(), "unknown");
    }
}

#[tokio::test]
async fn a_chunk_is_not_stuffed_and_needs_one_round_trip() {
    let (url, serving) = Server { offers: CHUNKED, is_late: true, ..good() }.start(1).await;
    let provider = smtp(&url, "");
    for _ in 0..2 {
        let outcome = provider.send(&message("alice@example.com", "Grüße", "one\n.two")).await;
        assert_eq!(outcome, Outcome::Accepted { message_id: Some("2.0.0 queued".into()) });
    }
    drop(provider);
    let lines = serving.await.expect("served");
    assert_eq!(lines.iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    assert_eq!(lines.iter().filter(|line| *line == ".two").count(), 2, "{lines:?}");
    assert!(!lines.iter().any(|line| line == "DATA" || line == "."), "{lines:?}");
}

#[tokio::test]
async fn a_large_mail_is_not_sent_for_nothing() {
    let offers = &["PIPELINING", "CHUNKING"];
    let (url, serving) = Server { offers, recipient: "550 5.1.1 who", ..good() }.start(1).await;
    let provider = smtp(&url, "");
    let outcome = provider.send(&message("nobody@example.com", "Hi", &"a line\n".repeat(30_000))).await;
    assert_eq!(outcome.name(), "dead_recipient");
    drop(provider);
    assert!(!serving.await.expect("served").contains(&"a line".to_owned()));
}

#[tokio::test]
async fn a_refused_content_leaves_the_connection_for_the_next_mail() {
    for offers in WAYS {
        let (url, serving) = Server { offers, end: "554 5.6.0 no", ..good() }.start(1).await;
        let provider = smtp(&url, "");
        for _ in 0..2 {
            assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "bad_request");
        }
        drop(provider);
        assert_eq!(serving.await.expect("served").iter().filter(|line| line.starts_with("EHLO")).count(), 1);
    }
}

#[tokio::test]
async fn a_refusal_stands_when_the_server_hangs_at_what_follows_it() {
    for offers in WAYS {
        let (url, _serving) = Server { offers, recipient: "550 5.1.1 who", reset: None, ..good() }.start(1).await;
        let (provider, mail) = (smtp(&url, ""), message("nobody@example.com", "Hi", "x"));
        let outcome = tokio::time::timeout(Duration::from_secs(5), provider.send(&mail)).await;
        assert_eq!(outcome.expect("it does not wait for the server").name(), "dead_recipient");
    }
}

#[tokio::test]
async fn a_server_that_closes_at_what_follows_a_refusal_gets_the_next_mail_over_a_fresh_connection() {
    for offers in WAYS {
        let (url, serving) = Server { offers, recipient: "550 5.1.1 who", drops_at: "RSET", ..good() }.start(2).await;
        let provider = smtp(&url, "");
        for _ in 0..2 {
            assert_eq!(provider.send(&message("nobody@example.com", "Hi", "x")).await.name(), "dead_recipient");
        }
        drop(provider);
        let lines = serving.await.expect("served");
        assert_eq!(lines.iter().filter(|line| line.starts_with("EHLO")).count(), 2, "{lines:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_no_doubt() {
    for offers in WAYS {
        for farewell in ["", "421 4.4.2 you were silent for too long\r\n"] {
            let server = Server { offers, mails_max: 1, farewell, ..good() };
            let closed = server.closed.clone();
            let (url, serving) = server.start(2).await;
            let provider = smtp(&url, "");
            for _ in 0..2 {
                assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "accepted");
                closed.notified().await;
                // Lets the runtime see what has become of the connection.
                tokio::task::yield_now().await;
            }
            assert_eq!(serving.await.expect("served").iter().filter(|line| line.starts_with("RCPT")).count(), 2);
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_chunks_it_offers_gets_none_from_then_on() {
    let (url, serving) = Server { offers: CHUNKED, end: "502 5.5.1 what", ..good() }.start(2).await;
    let provider = smtp(&url, "");
    let outcome = provider.send(&message("alice@example.com", "Hi", "x")).await;
    assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
    let _ = provider.send(&message("alice@example.com", "Hi", "x")).await;
    drop(provider);
    let lines = serving.await.expect("served");
    let ways: Vec<_> = lines.iter().filter(|line| *line == "DATA" || line.starts_with("BDAT")).collect();
    assert!(ways[0].starts_with("BDAT") && *ways[1] == "DATA", "{ways:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_was_certainly_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("smtp://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = smtp(&url, "").send(&message("alice@example.com", "Hi", "x")).await;
    assert!(matches!(outcome, Outcome::Transient { unreachable: true, .. }), "{outcome:?}");
}

#[tokio::test]
async fn refused_credentials_stop_the_provider_and_not_the_message() {
    let (url, _serving) = Server { offers: &["PIPELINING", "AUTH PLAIN LOGIN"], ..good() }.start(1).await;
    let provider = smtp(&url, "username = \"u\"\npassword = \"secret\"\noptions = { tls = \"none\" }");
    let outcome = provider.send(&message("alice@example.com", "Hi", "x")).await;
    assert_eq!(outcome.name(), "config");
    assert!(!outcome.reason().contains("secret"));
}

#[tokio::test]
async fn credentials_are_not_sent_in_the_clear_unless_that_is_asked_for() {
    let (url, serving) = Server { offers: &["PIPELINING", "AUTH PLAIN LOGIN"], ..good() }.start(1).await;
    let provider = smtp(&url, "username = \"u\"\npassword = \"secret\"");
    assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "config");
    drop(provider);
    assert!(!serving.await.expect("served").iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn line_ends_in_subject_or_address_never_reach_the_wire() {
    let (url, _serving) = good().start(1).await;
    let provider = smtp(&url, "");
    for (to, title) in
        [("alice@example.com", "Hi\r\nBcc: x@example.com"), ("a@example.com\r\nRCPT TO:<b@example.com>", "Hi")]
    {
        assert_eq!(provider.send(&message(to, title, "x")).await.name(), "bad_request");
    }
}

#[tokio::test]
async fn a_required_encryption_that_is_not_offered_is_a_matter_of_configuration() {
    let (url, _serving) = good().start(1).await;
    let provider = smtp(&url, "options = { tls = \"required\" }");
    assert_eq!(provider.check().await, Err("the server offers no STARTTLS, and the configuration requires it".into()));
}

#[tokio::test]
async fn a_mail_that_takes_long_to_sign_goes_out_signed_and_from_the_bounce_address() {
    let pem = openssl::rsa::Rsa::generate(2048).and_then(|key| key.private_key_to_pem()).expect("a key");
    let pem = String::from_utf8(pem).expect("text");
    let (url, serving) = good().start(1).await;
    let options = "options = { dkim_selector = \"s1\", bounce_address = \"bounces@mail.example.com\" }";
    let provider = smtp(&url, &format!("private_key = '''{pem}'''\n{options}"));
    assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "accepted");
    drop(provider);
    let lines = serving.await.expect("served");
    assert!(lines.iter().any(|line| line.starts_with("MAIL FROM:<bounces@mail.example.com>")), "{lines:?}");
    let signature = lines.iter().position(|line| line.starts_with("DKIM-Signature: ")).expect("it is signed");
    let from = lines.iter().position(|line| line == "From: Shop <shop@example.com>").expect("it has a sender");
    assert!(signature < from, "{lines:?}");
}
