use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Parts, Position, Priority, ShardId, TaskId};
use crate::providers::{Guard, Sandbox};

/// How the scripted server answers.
#[derive(Clone)]
struct Server {
    offers: &'static [&'static str],
    recipient: &'static str,
    end: &'static str,
    /// Closes the connection after the final dot instead of answering.
    drops: bool,
}

const GOOD: Server = Server {
    offers: &["PIPELINING", "8BITMIME", "SIZE 100000"],
    recipient: "250 ok",
    end: "250 2.0.0 queued",
    drops: false,
};

impl Server {
    /// Serves connections one after the other; all lines that were received.
    async fn start(self, connections: usize) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            let mut lines = Vec::new();
            for _ in 0..connections {
                let (stream, _) = listener.accept().await.expect("a connection");
                self.serve(stream, &mut lines).await;
            }
            lines
        });
        (url, serving)
    }

    async fn serve(&self, stream: tokio::net::TcpStream, lines: &mut Vec<String>) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader).lines();
        writer.write_all(b"220 test\r\n").await.expect("it writes");
        let mut in_data = false;
        while let Ok(Some(line)) = reader.next_line().await {
            let word = line.split([' ', ':']).next().unwrap_or("").to_owned();
            lines.push(line.clone());
            let answer = match (in_data, word.as_str()) {
                (true, _) if line == "." => {
                    in_data = false;
                    if self.drops {
                        return;
                    }
                    self.end.to_owned()
                }
                (true, _) => continue,
                (false, "EHLO") => {
                    let offers = self.offers.iter().map(|offer| format!("250-{offer}\r\n")).collect::<String>();
                    format!("250-test\r\n{offers}250 HELP")
                }
                (false, "RCPT") => self.recipient.to_owned(),
                (false, "DATA") if self.recipient.starts_with("250") => {
                    in_data = true;
                    "354 go on".into()
                }
                (false, "DATA") => "503 5.5.1 no recipient".into(),
                (false, "AUTH") => "535 5.7.8 no".into(),
                _ => "250 ok".into(),
            };
            if writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn smtp(url: &str, more: &str) -> SharedProvider {
    let clock = ManualClock::starting_at(Timestamp::parse("2026-11-21T12:00:00Z").expect("a time"));
    let context = BuildContext {
        clock: clock.clone(),
        guard: Guard::new(true, clock.clone()),
        sandbox: Arc::new(Sandbox::new(clock)),
    };
    let text = format!("name = \"mail\"\nkind = \"smtp\"\nurl = \"{url}\"\nfrom = \"Shop <shop@example.com>\"\n{more}");
    let settings: config::Provider = toml::from_str(&text).expect("valid");
    Smtp::build(&settings, vec![Channel::Email], &context).expect("it is built")
}

fn message(to: &str, title: &str, body: &str) -> Message {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    Message {
        task: TaskId { position: Position::new(shard, 7), ordinal: 0 },
        attempt: 1,
        channel: Channel::Email,
        priority: Priority::Normal,
        tenant: "default".into(),
        address: Address::Email(to.into()),
        parts: Parts { title: title.into(), body: body.into(), html: None, sms: None },
        data: "{}".into(),
        metadata: "{}".into(),
        accepted_at: Timestamp(0),
        expires_at: None,
    }
}

#[tokio::test]
async fn mails_go_over_one_connection_with_headers_and_stuffed_dots() {
    let (url, serving) = GOOD.start(1).await;
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
    let (url, serving) = Server { offers: &[], ..GOOD }.start(1).await;
    let provider = smtp(&url, "");
    assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "accepted");
    drop(provider);
    assert!(serving.await.expect("served").contains(&"DATA".to_owned()));
}

#[tokio::test]
async fn a_refused_recipient_is_said_so_and_the_connection_goes_on() {
    for offers in [GOOD.offers, &[]] {
        let server = Server { recipient: "550 5.1.1 no such user", offers, ..GOOD };
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
async fn a_connection_that_breaks_after_the_final_dot_leaves_the_mail_in_doubt() {
    let (url, _serving) = Server { drops: true, ..GOOD }.start(1).await;
    assert_eq!(smtp(&url, "").send(&message("alice@example.com", "Hi", "x")).await.name(), "unknown");
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
    let (url, _serving) = Server { offers: &["PIPELINING", "AUTH PLAIN LOGIN"], ..GOOD }.start(1).await;
    let provider = smtp(&url, "username = \"u\"\npassword = \"secret\"\noptions = { tls = \"none\" }");
    let outcome = provider.send(&message("alice@example.com", "Hi", "x")).await;
    assert_eq!(outcome.name(), "config");
    assert!(!outcome.reason().contains("secret"));
}

#[tokio::test]
async fn credentials_are_not_sent_in_the_clear_unless_that_is_asked_for() {
    let (url, serving) = Server { offers: &["PIPELINING", "AUTH PLAIN LOGIN"], ..GOOD }.start(1).await;
    let provider = smtp(&url, "username = \"u\"\npassword = \"secret\"");
    assert_eq!(provider.send(&message("alice@example.com", "Hi", "x")).await.name(), "config");
    drop(provider);
    assert!(!serving.await.expect("served").iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn line_ends_in_subject_or_address_never_reach_the_wire() {
    let (url, _serving) = GOOD.start(1).await;
    let provider = smtp(&url, "");
    for (to, title) in
        [("alice@example.com", "Hi\r\nBcc: x@example.com"), ("a@example.com\r\nRCPT TO:<b@example.com>", "Hi")]
    {
        assert_eq!(provider.send(&message(to, title, "x")).await.name(), "bad_request");
    }
}

#[tokio::test]
async fn a_required_encryption_that_is_not_offered_is_a_matter_of_configuration() {
    let (url, _serving) = GOOD.start(1).await;
    let provider = smtp(&url, "options = { tls = \"required\" }");
    assert_eq!(provider.check().await, Err("the server offers no STARTTLS, and the configuration requires it".into()));
}
