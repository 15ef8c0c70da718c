use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Position, Priority, ShardId, Timestamp};
use crate::store::{Beat, LeaseRow, LeaseRows, NodeName, StoreError};

const SECRET: &str = "0123456789abcdef";

/// Every shard is that of one other node.
struct OneOwner {
    address: Box<str>,
}

#[async_trait]
impl LeaseRows for OneOwner {
    async fn lease(&self, _: ShardId) -> Result<Option<LeaseRow>, StoreError> {
        Ok(Some(LeaseRow { owner: NodeName("other".into()), epoch: 1, released: false }))
    }

    async fn replace_lease(&self, _: ShardId, _: Option<&LeaseRow>, _: &LeaseRow) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn beat(&self, _: &Beat) -> Result<(), StoreError> {
        Ok(())
    }

    async fn beats(&self) -> Result<Vec<Beat>, StoreError> {
        Ok(vec![Beat { node: NodeName("other".into()), count: 1, address: self.address.clone() }])
    }
}

async fn peers(address: &str) -> Arc<Peers> {
    let rows = Arc::new(OneOwner { address: beat_address(SECRET, address) });
    let clock = ManualClock::starting_at(Timestamp(0));
    let keeper = LeaseKeeper::new(rows, clock, NodeName("this".into()), "".into(), Duration::from_secs(20));
    keeper.listen().await.expect("heard");
    Arc::new(Peers::new(Arc::new(keeper)).expect("a client"))
}

fn id() -> NotificationId {
    NotificationId(Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 7))
}

#[tokio::test]
async fn a_node_that_is_gone_is_said_to_be_without_its_secret() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("bound").to_string();
    let peers = peers(&gone).await;
    let error = peers.cancel(id()).await.expect_err("nobody is there");
    assert!(matches!(&error, OperationError::Elsewhere(reason) if reason.contains("does not answer")), "{error}");
    assert!(!error.to_string().contains(SECRET), "{error}");
    let books = peers.accounting().await;
    assert_eq!(books.iter().map(|books| books.unreachable_nodes).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_node_that_stands_still_keeps_so_many_questions_waiting_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let peers = peers(&listener.local_addr().expect("bound").to_string()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, all_asked) = (asked.clone(), Arc::new(tokio::sync::Notify::new()));
    let told = all_asked.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            // Taken, and never answered.
            let _ = connection.read_u8().await;
            held.push(connection);
            if counted.fetch_add(1, Ordering::SeqCst) + 1 == ASKING_MAX {
                told.notify_one();
            }
        }
    });
    let waiting: Vec<_> = (0..ASKING_MAX)
        .map(|_| {
            let peers = peers.clone();
            tokio::spawn(async move { peers.cancel(id()).await })
        })
        .collect();
    tokio::time::timeout(ANSWER_WAIT_MAX / 2, all_asked.notified()).await.expect("all of them ask");
    let refused = peers.cancel(id()).now_or_never().expect("at once").expect_err("no place is left");
    assert!(refused.to_string().contains("too many questions"), "{refused}");
    waiting.into_iter().for_each(|waiting| waiting.abort());
}

#[test]
fn a_task_that_need_not_wait_is_the_same_at_the_other_end() {
    let early = Early {
        task: crate::domain::TaskId { position: id().0, ordinal: 3 },
        channel: crate::domain::Channel::InApp,
        endpoint: 7,
        attempt: 2,
    };
    let sent = serde_json::to_string(&[EarlyWire::new(&early)]).expect("it can be written");
    let read: Vec<EarlyWire> = serde_json::from_str(&sent).expect("as it was written");
    assert_eq!(read[0].read(), Some(early));
}

#[tokio::test]
async fn the_node_that_has_the_shard_is_asked_to_look_early_and_shown_its_secret() {
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let hear = move |headers: axum::http::HeaderMap, axum::Json(asked): axum::Json<Vec<EarlyWire>>| {
        let key = headers["authorization"].to_str().expect("text").to_owned();
        let _ = told.send((key, asked.iter().filter_map(EarlyWire::read).collect::<Vec<Early>>()));
        std::future::ready(axum::Json(()))
    };
    let router = axum::Router::new().route("/internal/early", axum::routing::post(hear));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let peers = peers(&listener.local_addr().expect("bound").to_string()).await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let early = Early {
        task: crate::domain::TaskId { position: id().0, ordinal: 1 },
        channel: crate::domain::Channel::Sms,
        endpoint: 0,
        attempt: 1,
    };
    peers.look_early(&[early]).await;
    assert_eq!(asked.try_recv().expect("it was asked"), (format!("Bearer {SECRET}"), vec![early]));
}
