//! HTTP/1.1 over TLS, by certificates of a folder that may change at any time.
//!
//! One function, which the `daemon`'s own will replace: a listener, a folder, a service.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use pushscale_daemon::readiness::Pending;
use pushscale_daemon::reply::Reply;
use pushscale_daemon::shutdown::Stop;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig};

/// How often the folder is looked at. The kubelet takes up to a minute to bring a changed Secret.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Connections at a time; an API server keeps a few open.
const CONNECTIONS: usize = 512;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request's head may take, and how long a connection may be idle between two requests.
const IDLE: Duration = Duration::from_secs(120);

/// How long requests in hand may take after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// After an accept error, such as too many open files, the loop rests instead of burning a core.
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(200);

type Current = watch::Receiver<Option<Arc<ServerConfig>>>;

#[derive(Debug, Error)]
enum Unusable {
    #[error("read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is no PEM: {1}")]
    Pem(PathBuf, pem::Error),
    #[error("certificate and key cannot be served: {0}")]
    Pair(#[from] rustls::Error),
}

/// Serves until `stop`; `pending` is given back with the first certificate.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    folder: PathBuf,
    service: S,
    stop: Stop,
    pending: Pending,
) where
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let (sender, current) = watch::channel(None);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut keep = pin!(keep_current(folder, sender, pending));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
            () = &mut keep => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!("full: connection refused");
            continue;
        };
        let (current, service, stop) = (current.clone(), service.clone(), stop.clone());
        tokio::spawn(async move {
            serve_connection(stream, &current, service, stop).await;
            drop(place);
        });
    }
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    if timeout(GRACE, places.acquire_many(all)).await.is_err() {
        tracing::warn!("requests were cut off by the grace period");
    }
}

async fn serve_connection<S>(stream: TcpStream, current: &Current, service: S, stop: Stop)
where
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible>,
{
    // Small answers must not wait for the peer's delayed acknowledgement (40 ms).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let Some(config) = current.borrow().clone() else {
        tracing::debug!("no certificate yet: connection refused");
        return;
    };
    let stream = match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // Whoever does not know our certificate says so here: an API server with an old caBundle.
            tracing::warn!(%error, "a handshake failed");
            return;
        }
        Err(_) => return,
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Reads the folder again and again; what cannot be served does not replace what can.
async fn keep_current(
    folder: PathBuf,
    sender: watch::Sender<Option<Arc<ServerConfig>>>,
    pending: Pending,
) {
    let mut pending = Some(pending);
    let mut served = None;
    let mut told = String::new();
    loop {
        let found = read(&folder).await;
        match found {
            Ok(pair) if served.as_ref() == Some(&pair) => {}
            Ok(pair) => match config(&folder, &pair) {
                Ok(config) => {
                    tracing::info!(folder = %folder.display(), "a new certificate is served");
                    sender.send_replace(Some(Arc::new(config)));
                    served = Some(pair);
                    told.clear();
                    drop(pending.take());
                }
                Err(error) => tell(&mut told, &error),
            },
            Err(error) => tell(&mut told, &error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Once, and not every two seconds.
fn tell(told: &mut String, error: &Unusable) {
    let text = error.to_string();
    if *told != text {
        tracing::warn!(error = text, "the certificate is not replaced");
        *told = text;
    }
}

async fn read(folder: &Path) -> Result<(Vec<u8>, Vec<u8>), Unusable> {
    let file = |name: &str| {
        let path = folder.join(name);
        async move {
            let read = tokio::fs::read(&path).await;
            read.map_err(|error| Unusable::Read(path, error))
        }
    };
    Ok((file("tls.crt").await?, file("tls.key").await?))
}

fn config(
    folder: &Path,
    (certificates, key): &(Vec<u8>, Vec<u8>),
) -> Result<ServerConfig, Unusable> {
    let no_pem = |name: &'static str| move |error| Unusable::Pem(folder.join(name), error);
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(no_pem("tls.crt"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(no_pem("tls.key"))?;
    let provider = Arc::new(ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?)
}
