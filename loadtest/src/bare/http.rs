//! The bare HTTP loops: hyper's client with nothing around it. HTTP/1.1 has one request under way on each kept connection; HTTP/2 has them all
//! on one connection, as push services want it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::task::JoinSet;

use super::shape::Shape;
use super::{BareLoop, Tickets};
use crate::http_client::{connect, connect_http2};

/// What all senders of a loop share.
struct Work {
    shape: Shape,
    tickets: Tickets,
}

pub(super) async fn run(bare: &BareLoop, shape: Shape) -> Result<Duration> {
    let authority = shape.authority().to_owned();
    let is_http2 = shape.is_http2;
    let work = Arc::new(Work { shape, tickets: Tickets::new(bare.count) });
    let mut loops = JoinSet::new();
    let started;
    if is_http2 {
        let sender = connect_http2(&authority).await?;
        started = Instant::now();
        for _ in 0..bare.connections {
            loops.spawn(deliver_http2(sender.clone(), Arc::clone(&work)));
        }
    } else {
        let mut senders = Vec::with_capacity(bare.connections);
        for _ in 0..bare.connections {
            senders.push(connect(&authority).await?);
        }
        started = Instant::now();
        for sender in senders {
            loops.spawn(deliver_http1(sender, Arc::clone(&work)));
        }
    }
    while let Some(ended) = loops.join_next().await {
        ended.context("a bare loop panicked")??;
    }
    Ok(started.elapsed())
}

async fn deliver_http1(mut sender: http1::SendRequest<Full<Bytes>>, work: Arc<Work>) -> Result<()> {
    while let Some(ticket) = work.tickets.take() {
        sender.ready().await?;
        let answer = sender.send_request(work.shape.request(ticket)?).await.context("the mock does not answer")?;
        finish(answer).await?;
    }
    Ok(())
}

async fn deliver_http2(mut sender: http2::SendRequest<Full<Bytes>>, work: Arc<Work>) -> Result<()> {
    while let Some(ticket) = work.tickets.take() {
        sender.ready().await?;
        let answer = sender.send_request(work.shape.request(ticket)?).await.context("the mock does not answer")?;
        finish(answer).await?;
    }
    Ok(())
}

async fn finish(answer: Response<Incoming>) -> Result<()> {
    ensure!(answer.status().is_success(), "the mock answers {}", answer.status());
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}
