//! What comes to users in the product: a message is in the inbox and at every connection, once it is read everywhere, and nothing is
//! missed by who was away.

mod strangers;

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Method;
use fanfare::domain::{Channel, NotificationRequest, Recipient};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::world::{Place, World, mail, on_both};

on_both! {
    a_message_comes_to_all_connections_and_is_read_on_all
    what_came_while_nobody_was_there_is_sent_at_the_next_connect
}

const PATIENCE: Duration = Duration::from_secs(30);

/// A node whose API is served on a port.
struct Served {
    world: World,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Served {
    async fn new(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        let stop = CancellationToken::new();
        let clock = world.clock.clone();
        let serving = fanfare::api::serve(listener, world.router(), clock, stop.clone().cancelled_owned());
        Self { world, address, serving: tokio::spawn(serving), stop }
    }

    async fn restart(self) -> Self {
        self.stop.cancel();
        self.serving.await.expect("it does not panic").expect("it serves");
        Self::new(self.world.restart().await).await
    }

    async fn connect(&self, user: &str) -> Client {
        let path = format!("/v1/users/{user}/ws-token");
        let (_, pass) = self.world.call(Method::POST, &path, Some(&json!({}))).await;
        let token = pass["token"].as_str().expect("a token");
        let url = format!("ws://{}/v1/ws?token={token}", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("it connects");
        let mut client = Client(socket);
        assert_eq!(client.until("hello").await["user_id"], user);
        client
    }
}

impl Client {
    /// The next frame of this type.
    async fn until(&mut self, kind: &str) -> Value {
        let waiting = async {
            loop {
                let message = self.0.next().await.expect("it is open").expect("it can be read");
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes in time")
    }

    async fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("it takes it");
    }
}

fn in_app(world: &World, user: &str) -> NotificationRequest {
    NotificationRequest {
        user_id: Some(user.into()),
        to: Recipient::default(),
        channels: vec![Channel::InApp],
        dedup_window_seconds: Some(0),
        accepted_at: world.now(),
        ..mail()
    }
}

async fn a_message_comes_to_all_connections_and_is_read_on_all(place: Place) {
    let alice = place.own("alice");
    let node = Served::new(World::start(place, Vec::new()).await).await;
    let (mut phone, mut desk) = (node.connect(&alice).await, node.connect(&alice).await);
    let id = node.world.send(in_app(&node.world, &alice)).await;
    for client in [&mut phone, &mut desk] {
        assert_eq!(client.until("notification").await["notification"]["id"], id.to_string());
        assert_eq!(client.until("unread_count").await["unread_count"], 1);
    }
    node.world.expect_states(id, &["sent"]).await;
    phone.say(&json!({"type": "ack", "ids": [id.to_string()]})).await;
    node.world.expect_states(id, &["delivered"]).await;
    phone.say(&json!({"type": "notification:read", "ids": [id.to_string()]})).await;
    assert_eq!(desk.until("notification:read:ack").await["ids"], json!([id.to_string()]));
    assert_eq!(desk.until("unread_count").await["unread_count"], 0);
    let (_, inbox) = node.world.call(Method::GET, &format!("/v1/users/{alice}/inbox"), None).await;
    assert_eq!((&inbox["data"][0]["read"], &inbox["unread_count"]), (&json!(true), &json!(0)));
    node.stop.cancel();
}

async fn what_came_while_nobody_was_there_is_sent_at_the_next_connect(place: Place) {
    let alice = place.own("alice");
    let node = Served::new(World::start(place, Vec::new()).await).await;
    let first = node.world.send(in_app(&node.world, &alice)).await;
    node.world.expect_states(first, &["sent"]).await;
    let node = node.restart().await;
    let mut client = node.connect(&alice).await;
    assert_eq!(client.until("notification").await["notification"]["id"], first.to_string());
    client.say(&json!({"type": "ack", "ids": [first.to_string()]})).await;
    node.world.expect_states(first, &["delivered"]).await;
    drop(client);
    let second = node.world.send(in_app(&node.world, &alice)).await;
    node.world.expect_states(second, &["sent"]).await;
    let mut client = node.connect(&alice).await;
    assert_eq!(client.until("notification").await["notification"]["id"], second.to_string());
    node.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_one_node_takes_reaches_a_connection_at_another() {
    let Some(place) = Place::on_services().await else { return };
    let alice = place.own("alice");
    let first = World::start(place, Vec::new()).await;
    let second = Served::new(first.another().await).await;
    let mut client = second.connect(&alice).await;
    let path = format!("/v1/users/{alice}/presence");
    let online = async |expected: bool| {
        let (_, presence) = first.call(Method::GET, &path, None).await;
        (presence["online"] == expected).then_some(())
    };
    // Presence is said by the clock of the nodes, which stands still by itself.
    let moved = async |expected: bool| {
        first.advance(Duration::from_millis(50)).await;
        online(expected).await
    };
    first.until(async || moved(true).await).await;
    let id = first.send(in_app(&first, &alice)).await;
    let told = async { client.until("notification").await };
    let moving = async {
        loop {
            first.advance(Duration::from_millis(50)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let frame = tokio::select! {
        frame = told => frame,
        () = moving => unreachable!("it goes on for ever"),
    };
    assert_eq!(frame["notification"]["id"], id.to_string());
    drop(client);
    first.until(async || moved(false).await).await;
    second.stop.cancel();
}
