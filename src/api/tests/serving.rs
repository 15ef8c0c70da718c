use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::world::{NOW, World};
use crate::api::serve;
use crate::intake::fakes::{FakeLog, StoppedClock};

const POST: &[u8] = b"POST /v1/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer all\r\n\
    content-length: 30\r\n\r\n{\"user_id\":\"u\",\"template\":\"t\"}";

/// The head of the next answer, and its body as far as announced.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.expect("readable");
        text += std::str::from_utf8(&buffer[..length]).expect("UTF-8");
        if length == 0 || text.ends_with('}') {
            return text;
        }
    }
}

#[tokio::test]
async fn a_request_in_hand_is_answered_after_the_stop_and_then_all_is_closed() {
    let world = World::with(FakeLog::held_up(), |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, world.router.clone(), StoppedClock::at(NOW), async {
        let _ = stopped.await;
    }));
    let mut idle = TcpStream::connect(address).await.expect("connects");
    let mut busy = TcpStream::connect(address).await.expect("connects");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("writable");
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    busy.write_all(POST).await.expect("writable");
    while world.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("is listened to");
    assert_eq!(answer(&mut idle).await, "", "an idle connection is closed at once");
    world.log.gate.add_permits(1);
    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 202"));
    serving.await.expect("ended").expect("without a failure");
    assert!(TcpStream::connect(address).await.is_err());
}
