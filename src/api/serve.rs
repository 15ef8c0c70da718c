//! Connections: bounded in number, HTTP/1.1 and HTTP/2 on one port, closed in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::clock::SharedClock;

/// Connections at once; more wait in the kernel's queue. An idle one takes about 10 kB.
const CONNECTIONS_MAX: usize = 10_000;
/// The longest a client may take for the head of a request; on an open connection also the longest between two requests.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(60);
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Bytes of a request's head, all headers together; also for HTTP/2.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long requests in hand may take to end after `shutdown`; those that take longer are cut off.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(15);
/// How long what was sent may stay unread, in milliseconds (RFC 5482): streams without an end would be kept for ever.
const UNREAD_MAX_MILLIS: u32 = 30_000;
/// The pause after the kernel refused to give a connection: it lacks descriptors or memory, and tells nobody when it has
/// them again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`; then takes no more connections, ends those that are idle, and lets requests in hand end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    clock: SharedClock,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let builder = builder();
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut shutdown => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                clock.sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_WAIT_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // An answer is one write: waiting for more to send would only delay it.
    stream.set_nodelay(true)?;
    // Who has gone without a word, or reads nothing, is given up.
    rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MAX_MILLIS)?;
    Ok((stream, permit))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT_MAX)
        .max_buf_size(HEAD_BYTES_MAX.max(64 * 1024))
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    builder
}
