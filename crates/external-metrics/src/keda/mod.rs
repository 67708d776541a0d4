//! KEDA's external-push scaler, over gRPC without TLS: `externalscaler.ExternalScaler` of KEDA's
//! `externalscaler.proto`.

mod messages;
mod scaler;
mod service;

use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pushscale_daemon::error::chain;
use pushscale_daemon::http_server::{Bound, ConnectionLimit};
use pushscale_daemon::shutdown::Shutdown;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::store::Store;
use scaler::ExternalScaler;

/// Maximum concurrent connections: KEDA's operator has one for each scaler address.
const CONNECTIONS: usize = 64;

/// Maximum concurrent connections of one address, so that no other client can keep KEDA out.
const CONNECTIONS_PER_ADDRESS: usize = 8;

/// Maximum concurrent calls of a connection: each ScaledObject has two streams, and short calls.
const CALLS: u32 = 2048;

/// Maximum bytes of a call's headers.
const HEADER_BYTES: u32 = 16 << 10;

/// How often an idle connection is tested, and how long the answer may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// How long a connection may take to send its first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the calls in progress may take at the shutdown, which ends the streams: less than the aggregator has.
const GRACE: Duration = Duration::from_secs(1);

/// Serves `store` to KEDA until shutdown, then ends the streams and finishes the other calls. Connections over the
/// limit are closed.
pub async fn serve(bound: Bound, store: Store, shutdown: Shutdown) {
    let scaler = ExternalScaler(store);
    let limit = ConnectionLimit::new(CONNECTIONS, CONNECTIONS_PER_ADDRESS);
    while let Some((stream, peer)) = bound.accept(&shutdown).await {
        let permit = match limit.acquire(peer) {
            Ok(permit) => permit,
            Err(reason) => {
                tracing::debug!(%peer, ?reason, "connection of KEDA rejected");
                continue;
            }
        };
        let (scaler, shutdown) = (scaler.clone(), shutdown.clone());
        tokio::spawn(async move {
            serve_connection(stream, scaler, shutdown).await;
            drop(permit);
        });
    }
    // Another aggregator accepts the next connections.
    drop(bound);
    if !limit.all_returned(GRACE).await {
        tracing::warn!("grace period over, calls of KEDA cut off");
    }
}

async fn serve_connection(stream: TcpStream, scaler: ExternalScaler, shutdown: Shutdown) {
    // The keep-alive begins after the client's first bytes. A port scanner sends none.
    let mut byte = [0];
    let has_first_byte = tokio::select! {
        first = timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut byte)) => matches!(first, Ok(Ok(1..))),
        () = shutdown.cancelled() => false,
    };
    if !has_first_byte {
        return;
    }
    let end = shutdown.clone();
    let service = service_fn(move |request| service::call(scaler.clone(), end.clone(), request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = %chain(&error), "connection of KEDA failed");
    }
}

#[cfg(test)]
mod tests;
