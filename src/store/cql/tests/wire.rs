//! What is said of a database that does not answer or refuses the user: against a listener that speaks as much of the protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{afternoon, settings};
use crate::config::{Cql, Secret};
use crate::store::CqlStore;

async fn refusal(settings: &Cql) -> String {
    CqlStore::open(settings, afternoon()).await.err().expect("refused").to_string()
}

/// Asks whoever connects for a user, and refuses each.
async fn refusing_database() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(refuse(connection));
        }
    });
    address
}

/// Frames of version 4: version, flags, stream (2), opcode, length (4), body.
async fn refuse(mut connection: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) as usize;
        connection.read_exact(&mut vec![0; length]).await?;
        let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
        let (opcode, body) = match head[4] {
            // OPTIONS is answered SUPPORTED, with nothing; STARTUP is answered AUTHENTICATE; all else ERROR.
            0x05 => (0x06, vec![0, 0]),
            0x01 => (0x03, text("org.apache.cassandra.auth.PasswordAuthenticator")),
            _ => (0x00, [&0x0100_u32.to_be_bytes()[..], &text("bad credentials")].concat()),
        };
        let mut frame = vec![0x84, 0, head[2], head[3], opcode];
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        connection.write_all(&frame).await?;
    }
}

#[tokio::test]
async fn a_database_that_nobody_reaches_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("bound").to_string();
    let refused = refusal(&settings(&unused, "fanfare")).await;
    assert!(refused.starts_with(&format!("cannot reach the database at `{unused}`")), "{refused}");
    assert!(refused.contains("`store.cql.nodes`"), "{refused}");
}

#[tokio::test]
async fn a_database_that_wants_a_user_or_refuses_one_says_so_without_the_password() {
    let address = refusing_database().await;
    let mut settings = settings(&address, "fanfare");
    let missing = refusal(&settings).await;
    assert!(missing.contains("asks for a user: give `store.cql.username`"), "{missing}");
    settings.username = Some("fanfare".to_owned());
    settings.password = Some(Secret::new("hunter2"));
    let refused = refusal(&settings).await;
    assert!(refused.contains("refuses the user: check `store.cql.username`"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn a_setting_that_asks_for_tls_is_never_answered_without_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut settings = settings(&listener.local_addr().expect("bound").to_string(), "fanfare");
    settings.tls = true;
    settings.tls_ca = Some("/nowhere/ca.pem".into());
    let refused = refusal(&settings).await;
    assert!(refused.contains("`/nowhere/ca.pem` of `store.cql.tls_ca`"), "{refused}");
    settings.tls_ca = None;
    let greeted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut first = [0; 2];
        stream.read_exact(&mut first).await.expect("a greeting");
        first
    });
    let refused = refusal(&settings).await;
    assert!(refused.contains("are `store.cql.nodes` and `store.cql.tls` right"), "{refused}");
    // A handshake record of TLS (RFC 8446, 5.1), and no frame of CQL.
    assert_eq!(greeted.await.expect("it was greeted"), [0x16, 0x03]);
}
