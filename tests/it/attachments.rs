//! Files that go with mails.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use fanfare::config::{self, ByteSize};
use fanfare::domain::{AttachmentReference, Channel, NotificationRequest};
use tokio::net::TcpListener;

use crate::world::{Place, TestProvider, World, mail, on_both};

on_both! {
    a_file_is_fetched_and_goes_with_the_mail
    a_mail_whose_file_is_gone_fails_and_one_whose_file_is_late_is_tried_again
}

/// A host with files; where it is.
async fn files() -> String {
    let router = Router::new()
        .route("/invoice", get(|| async { ([("content-type", "application/pdf")], "%PDF-1.7") }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn with_file(url: String) -> NotificationRequest {
    let attachment = AttachmentReference { url: url.into(), name: "invoice.pdf".into(), media_type: None };
    NotificationRequest { attachments: vec![attachment], ..mail() }
}

async fn world(place: Place) -> (World, std::sync::Arc<TestProvider>) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry.jitter = 0.0;
    config.security.allow_private_addresses = true;
    config.attachments.max_size = ByteSize(64);
    (World::start_with(place, config, vec![provider.clone()]).await, provider)
}

async fn a_file_is_fetched_and_goes_with_the_mail(place: Place) {
    let (world, provider) = world(place).await;
    let id = world.send(with_file(format!("{}/invoice", files().await))).await;
    world.expect_states(id, &["sent"]).await;
    let attachments = &provider.taken()[0].attachments;
    assert_eq!(attachments.len(), 1);
    assert_eq!((&*attachments[0].name, &*attachments[0].media_type), ("invoice.pdf", "application/pdf"));
    assert_eq!(&attachments[0].content[..], b"%PDF-1.7");
}

async fn a_mail_whose_file_is_gone_fails_and_one_whose_file_is_late_is_tried_again(place: Place) {
    let (world, provider) = world(place).await;
    let files = files().await;
    let gone = world.send(with_file(format!("{files}/gone"))).await;
    let late = world.send(with_file(format!("{files}/busy"))).await;
    world.expect_states(gone, &["failed"]).await;
    world.expect_states(late, &["scheduled"]).await;
    assert!(provider.taken().is_empty());
}
