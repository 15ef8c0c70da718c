//! The bare loop from Kafka to HTTP: a consumer on a thread of its own, and connections that POST what it reads.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use super::{BareLoop, id};
use crate::http_client::{Url, connect};

/// Records read ahead for each connection.
const AHEAD: usize = 64;

const LOOK: Duration = Duration::from_secs(1);

/// The longest time without a record.
const RECORD_WAIT_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(bare: &BareLoop, brokers: &str, topic: &str, target: &Url) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{topic}.bare"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .context("cannot set up a consumer")?;
    consumer.subscribe(&[topic])?;
    let mut loops = JoinSet::new();
    let mut queues = Vec::with_capacity(bare.connections);
    for _ in 0..bare.connections {
        let (queue, records) = channel(AHEAD);
        queues.push(queue);
        loops.spawn(deliver(connect(&target.authority).await?, target.clone(), records));
    }
    let count = bare.count;
    let reader = thread::spawn(move || read(&consumer, &queues, count));
    while let Some(ended) = loops.join_next().await {
        ended.context("a bare loop panicked")??;
    }
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
}

/// Gives the records out in turns.
fn read(consumer: &BaseConsumer, queues: &[Sender<(u64, Bytes)>], count: u64) -> Result<()> {
    for number in 0..count {
        let body = next(consumer)?;
        let queue = &queues[number as usize % queues.len()];
        if queue.blocking_send((number, body)).is_err() {
            // Its connection failed, and says why.
            return Ok(());
        }
    }
    Ok(())
}

/// The body of the next record. A look may end early, for what is no record.
fn next(consumer: &BaseConsumer) -> Result<Bytes> {
    let began = Instant::now();
    loop {
        match consumer.poll(LOOK) {
            Some(record) => return Ok(Bytes::copy_from_slice(record?.payload().unwrap_or_default())),
            None => ensure!(began.elapsed() < RECORD_WAIT_MAX, "the topic holds fewer records"),
        }
    }
}

async fn deliver(mut sender: SendRequest<Full<Bytes>>, target: Url, mut records: Receiver<(u64, Bytes)>) -> Result<()> {
    while let Some((number, body)) = records.recv().await {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&target.path)
            .header(HOST, &target.authority)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id(number)[..])
            .body(Full::new(body))?;
        sender.ready().await?;
        let response = sender.send_request(request).await.context("the mock does not answer")?;
        ensure!(response.status().is_success(), "the mock answers {}", response.status());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
    }
    Ok(())
}
