//! Takes over the load history from the other aggregators, so that an upgrade does not lose the last day.
//!
//! An aggregator that starts asks the others for the load history of each scaler, for two minutes: in a rolling update,
//! the last of the former ones exits within that time or later. What it takes over is older than what it has measured,
//! and no decision depends on it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pushscale_daemon::error::chain as error_chain;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use crate::history::{History, LoadHistory};
use crate::names::ScalerKey;

/// How long after the start the others are asked, and how often: the PushScalers become known one by one.
const WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(2);

/// The timeout of a connection, and of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The bytes of a day as CSV: 8,641 lines of at most 80 bytes.
const MAX_BYTES: usize = 1 << 20;

/// Other aggregators that are asked: a Service may have thousands of addresses by mistake.
const MAX_PEERS: usize = 16;

/// Why a load history could not be taken over.
#[derive(Debug, Error)]
enum TakeOverError {
    #[error("failed to resolve {0}")]
    Resolve(String, #[source] std::io::Error),
    #[error("failed to connect to {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    #[error("the request to {0} failed")]
    Request(SocketAddr, #[source] hyper::Error),
    #[error("{0} did not respond in time")]
    Timeout(SocketAddr),
    #[error("{0} responded with {1}")]
    Status(SocketAddr, StatusCode),
    #[error("{0} sent no load history: the aggregators may have different versions")]
    NoHistory(SocketAddr),
}

/// Asks the aggregators behind `peers`, a host and its admin port, for the load histories of all scalers.
pub(crate) async fn run(peers: String, history: History) {
    let start = Instant::now();
    let mut asked = HashSet::new();
    while start.elapsed() < WITHIN {
        if let Err(error) = ask_all(&peers, &history, &mut asked).await {
            let error = error_chain(&error);
            tracing::info!(%peers, %error, "failed to take over the load history");
        }
        sleep(PAUSE).await;
    }
    // A task that ends stops the aggregator.
    std::future::pending().await
}

/// Asks each of the other aggregators for each scaler that it has not been asked for.
async fn ask_all(
    peers: &str,
    history: &History,
    asked: &mut HashSet<(SocketAddr, ScalerKey)>,
) -> Result<(), TakeOverError> {
    let found = lookup_host(peers).await;
    let found = found.map_err(|error| TakeOverError::Resolve(peers.to_owned(), error))?;
    let mut result = Ok(());
    for address in found.take(MAX_PEERS) {
        if let Err(error) = ask(address, history, asked).await {
            result = Err(error);
        }
    }
    result
}

async fn ask(
    address: SocketAddr,
    history: &History,
    asked: &mut HashSet<(SocketAddr, ScalerKey)>,
) -> Result<(), TakeOverError> {
    let missing: Vec<ScalerKey> = history
        .all()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| !asked.contains(&(address, key.clone())))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(mut connection) = connect(address).await? else {
        // Itself.
        asked.extend(missing.into_iter().map(|key| (address, key)));
        return Ok(());
    };
    let mut seconds = 0;
    for key in missing {
        if let Some(older) = get(address, &mut connection, &key).await? {
            seconds += history.take_over_load(&key, &older);
        }
        asked.insert((address, key));
    }
    tracing::info!(%address, seconds, "took over the load history");
    Ok(())
}

/// Connects; `None` to itself, which has the same address at both ends.
async fn connect(address: SocketAddr) -> Result<Option<SendRequest<Empty<Bytes>>>, TakeOverError> {
    let failed = |error| TakeOverError::Connect(address, error);
    let late = |_| TakeOverError::Timeout(address);
    let stream = timeout(TIMEOUT, TcpStream::connect(address)).await;
    let stream = stream.map_err(late)?.map_err(failed)?;
    if stream.local_addr().map_err(failed)?.ip() == address.ip() {
        return Ok(None);
    }
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| TakeOverError::Request(address, error))?;
    // It ends with the sender, and reports its errors there.
    tokio::spawn(async move { connection.await.ok() });
    Ok(Some(sender))
}

/// Returns the other aggregator's load history of a scaler; `None` if it does not know the scaler.
async fn get(
    address: SocketAddr,
    connection: &mut SendRequest<Empty<Bytes>>,
    key: &ScalerKey,
) -> Result<Option<LoadHistory>, TakeOverError> {
    let mut request = Request::new(Empty::new());
    let path = format!("/debug/scalers/{}/{}/load.csv", key.namespace, key.name);
    // Names of objects are valid in paths.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let response = async {
        let failed = |error| TakeOverError::Request(address, error);
        let response = connection.send_request(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(TakeOverError::Status(address, status)),
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        let body = body.map_err(|_| TakeOverError::NoHistory(address))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let history = LoadHistory::parse(&text).ok_or(TakeOverError::NoHistory(address))?;
        Ok(Some(history))
    };
    let late = |_| TakeOverError::Timeout(address);
    timeout(TIMEOUT, response).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use jiff::Timestamp;
    use pushscale_daemon::shutdown::Shutdown;
    use pushscale_decision::MeasuredLoad;

    use super::*;
    use crate::history::ScalerSubject;
    use crate::history::tests::{decision, key, steps, subject};
    use crate::recorded_page::{RecordedPage, RecordedScaler};

    const NOON: i64 = 1_767_614_400;

    /// Serves the load history of a minute at this address.
    async fn former(address: Ipv4Addr, shutdown: &Shutdown) -> SocketAddr {
        let mut page = RecordedPage::start();
        let scaler = RecordedScaler::new(&key("a").namespace, &key("a").name);
        let at = Timestamp::from_second(NOON).unwrap();
        page.record(&scaler, at, &Arc::new(decision(steps(10.0))));
        for number in 0..6 {
            let start = NOON + 10 * number;
            let load = MeasuredLoad {
                rate: Some(2.0),
                service: None,
            };
            page.send_load(
                &scaler,
                u64::try_from(start / 10).unwrap(),
                Timestamp::from_second(start).unwrap(),
                load,
            );
        }
        page.serve((address, 0).into(), shutdown.clone())
            .await
            .unwrap()
    }

    fn start(subject: &Arc<ScalerSubject>) -> History {
        let history = History::default();
        let at = Timestamp::from_second(NOON + 60).unwrap();
        history.record_decision(subject, at, &Arc::new(decision(steps(10.0))));
        history
    }

    fn lines(history: &History) -> usize {
        let csv = history.get(&key("a")).unwrap().load.csv();
        csv.lines().count() - 1
    }

    #[tokio::test]
    async fn a_new_aggregator_takes_over_the_load_histories_of_the_others() {
        let shutdown = Shutdown::new();
        let history = start(&subject("a"));
        let mut asked = HashSet::new();
        let peer = former(Ipv4Addr::new(127, 0, 0, 2), &shutdown).await;
        // The queue of the former aggregator may still contain some of it.
        while lines(&history) < 6 {
            asked.clear();
            let peers = peer.to_string();
            ask_all(&peers, &history, &mut asked).await.unwrap();
        }
        assert_eq!(asked.len(), 1);
        // A scaler that the other one does not know is asked for once.
        let at = Timestamp::from_second(NOON).unwrap();
        history.record_decision(&subject("b"), at, &Arc::new(decision(steps(1.0))));
        ask_all(&peer.to_string(), &history, &mut asked)
            .await
            .unwrap();
        assert_eq!(asked.len(), 2);
    }

    #[tokio::test]
    async fn an_aggregator_does_not_ask_itself_and_repeats_what_fails() {
        let shutdown = Shutdown::new();
        let history = start(&subject("a"));
        let mut asked = HashSet::new();
        // Connections to this address come from it.
        let own = former(Ipv4Addr::LOCALHOST, &shutdown).await;
        ask_all(&own.to_string(), &history, &mut asked)
            .await
            .unwrap();
        assert_eq!((lines(&history), asked.len()), (0, 1));

        let closed = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let failed = ask_all(&address.to_string(), &history, &mut asked).await;
        let error = failed.unwrap_err().to_string();
        assert_eq!(error, format!("failed to connect to {address}"));
        assert_eq!(asked.len(), 1);
    }
}
