use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::providers::testing::{Said, Server, clock};

fn attachments(max_size: u64, allow_private: bool) -> Attachments {
    let settings = config::Attachments {
        max_size: config::ByteSize(max_size),
        memory: config::ByteSize(1 << 20),
        timeout: Duration::from_secs(5),
    };
    let clock = clock();
    Attachments::new(&settings, Guard::new(allow_private, clock.clone()), clock).expect("it is made")
}

fn reference(url: String, media_type: Option<&str>) -> AttachmentReference {
    AttachmentReference { url: url.into(), name: "invoice.pdf".into(), media_type: media_type.map(Into::into) }
}

async fn outcome(answers: &'static [Said], max_size: u64) -> Outcome {
    let server = Server::answering(answers).await;
    let fetched = attachments(max_size, true).fetch(&[reference(format!("{}/a", server.url), None)]).await;
    fetched.expect_err("it is refused")
}

#[tokio::test]
async fn a_file_is_fetched_once_for_all_who_want_it_and_its_type_is_the_requests_or_else_the_answers() {
    let mut server = Server::answering(&[(200, &["Content-Type: application/pdf; x=\"a\""], "%PDF")]).await;
    let attachments = attachments(100, true);
    let url = format!("{}/a?b=c", server.url);
    let (own, plain) = ([reference(url.clone(), Some("text/plain"))], [reference(url.clone(), None)]);
    let (one, other) = futures_util::future::join(attachments.fetch(&own), attachments.fetch(&plain)).await;
    let types: Vec<_> = [one, other, attachments.fetch(&[reference(url, None)]).await]
        .into_iter()
        .map(|fetched| fetched.expect("it is there").files.remove(0))
        .map(|file| (file.media_type, file.content))
        .collect();
    let file = |media_type: &str| (media_type.into(), Bytes::from_static(b"%PDF"));
    assert_eq!(types, [file("text/plain"), file("application/pdf"), file("application/pdf")]);
    assert_eq!(server.asked().await.line(), "GET /a?b=c HTTP/1.1");
}

#[tokio::test]
async fn what_is_too_large_or_not_there_is_refused_for_good_and_what_is_out_of_order_is_tried_again() {
    let large = outcome(&[(200, &[], "12345678901")], 10).await;
    assert!(matches!(&large, Outcome::BadRequest { reason } if reason.contains("larger than 10 bytes")), "{large:?}");
    assert_eq!(outcome(&[(404, &[], "")], 10).await.name(), "bad_request");
    assert_eq!(outcome(&[(302, &["Location: http://169.254.169.254/"], "")], 10).await.name(), "bad_request");
    assert_eq!(outcome(&[(503, &[], "")], 10).await.name(), "transient");
    assert_eq!(outcome(&[], 10).await.name(), "transient");
}

#[tokio::test]
async fn the_files_of_one_mail_have_their_size_together() {
    let server = Server::answering(&[(200, &[], "123456"), (200, &[], "123456")]).await;
    let references = ["/a", "/b"].map(|path| reference(format!("{}{path}", server.url), None));
    let refused = attachments(10, true).fetch(&references).await.expect_err("it is refused");
    assert_eq!(refused.name(), "bad_request");
}

#[tokio::test]
async fn an_address_within_our_own_network_is_not_fetched() {
    let server = Server::answering(&[(200, &[], "secret")]).await;
    let refused = attachments(10, false).fetch(&[reference(format!("{}/a", server.url), None)]).await;
    assert_eq!(refused.expect_err("it is refused").name(), "bad_request");
}

#[tokio::test]
async fn room_is_held_until_the_mail_is_gone_and_no_more_of_it_than_needed() {
    let server = Server::answering(&[(200, &[], "123456")]).await;
    let attachments = attachments(100 << 10, true);
    let before = attachments.room.available_permits();
    let fetched = attachments.fetch(&[reference(format!("{}/a", server.url), None)]).await.expect("it is there");
    assert_eq!(attachments.room.available_permits(), before - 1);
    assert!(before >= 3 * 100, "room for the largest mail");
    drop(fetched);
    assert_eq!(attachments.room.available_permits(), before);
}

/// A host that answers heads, each with as large a body to come, and counts those who asked.
async fn stalling(size: usize) -> (String, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Semaphore::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 1024]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            let _ = connection.write_all(head.as_bytes()).await;
            held.push(connection);
            counted.add_permits(1);
        }
    });
    (url, asked)
}

#[tokio::test]
async fn many_small_files_are_under_way_at_once_and_large_ones_as_many_as_there_is_room_for() {
    let start = |url: String, attachments: &Arc<Attachments>, count: usize| -> Vec<_> {
        let fetch = |number| {
            let (attachments, reference) = (attachments.clone(), reference(format!("{url}/{number}"), None));
            tokio::spawn(async move { attachments.fetch(&[reference]).await.map(drop) })
        };
        (0..count).map(fetch).collect()
    };
    let settings = config::Attachments {
        max_size: config::ByteSize(10 << 20),
        memory: config::ByteSize(64 << 20),
        timeout: Duration::from_secs(5),
    };
    let clock = clock();
    let made = || Attachments::new(&settings, Guard::new(true, clock.clone()), clock.clone()).expect("it is made");
    let attachments = Arc::new(made());
    let (url, asked) = stalling(1000).await;
    let small = start(url, &attachments, 40);
    let all = tokio::time::timeout(Duration::from_secs(5), asked.acquire_many(40)).await;
    drop(all.expect("all of them are asked for at once").expect("open"));
    small.iter().for_each(|fetch| assert!(!fetch.is_finished(), "it waits for its body"));
    small.into_iter().for_each(|fetch| fetch.abort());
    let attachments = Arc::new(made());
    let (url, _) = stalling(9 << 20).await;
    let mut refused = 0;
    for fetch in start(url, &attachments, 3) {
        let answer = fetch.await.expect("it ends").expect_err("nothing comes");
        refused += usize::from(answer.name() == "throttled");
    }
    assert_eq!(refused, 2, "there is room for one of them");
}
