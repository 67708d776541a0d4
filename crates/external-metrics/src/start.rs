//! Starts the server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use pushscale_daemon::http_server::{Bound, Limits, Tls, Transport};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::{self, ServerCertificate, TlsError};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::access::{Authorizer, KubeReviewer};
use crate::authentication;
use crate::documents::Documents;
use crate::server::Server;
use crate::store::Store;

/// The clients are API servers, of which a cluster has a few, and probes. HTTP/1.1 needs a connection for each
/// concurrent request.
const LIMITS: Limits = Limits {
    connections: 256,
    connections_per_address: 192,
    // Longer than the API server keeps an idle connection, 90 s, so that it does not use one that is being closed.
    idle: Duration::from_secs(120),
    // The headers name all groups of a user.
    head_bytes: 64 << 10,
    grace: Duration::from_secs(5),
    detect_hang_up: true,
};

/// Where the API is served.
#[derive(Debug)]
pub struct Endpoint {
    /// The port.
    pub bound: Bound,
    /// The directory of the certificate.
    pub tls_dir: PathBuf,
}

/// Serves `store` over TLS at the endpoint, until shutdown. `on_response` is called for each request for a metric, with
/// how long its response took and whether it has a value. `readiness` waits for the certificate and for the CA of the
/// API servers: a pod without them must not get their requests.
///
/// # Errors
/// If TLS could not be set up.
pub fn start(
    tasks: &mut Tasks,
    client: Client,
    store: Store,
    endpoint: Endpoint,
    on_response: impl Fn(Duration, bool) + Send + Sync + 'static,
    readiness: &Readiness,
    shutdown: Shutdown,
) -> Result<(), TlsError> {
    let certificate = ServerCertificate::default();
    let transport = Tls::with_client_certificates(&certificate)?;
    let watch = tls::watch_directory(endpoint.tls_dir, certificate, readiness.latch());
    tasks.spawn_endless("external metrics certificate watch", watch);
    let (newest, request_header) = watch::channel(None);
    tasks.spawn_endless(
        "request-header authentication",
        authentication::follow(client.clone(), newest, readiness.latch()),
    );
    let server = Arc::new(Server {
        store,
        request_header,
        authorizer: Authorizer::new(Arc::new(KubeReviewer(client))),
        documents: Documents::new(),
        on_response: Box::new(on_response),
    });
    let service_for = move |_: IpAddr, stream: &<Tls as Transport>::Stream| {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Arc<[CertificateDer<'static>]> = chain.into();
        let server = Arc::clone(&server);
        service_fn(move |request| Arc::clone(&server).handle(Arc::clone(&chain), request))
    };
    let serve = endpoint
        .bound
        .serve_with(transport, LIMITS, service_for, |_| {}, shutdown);
    tasks.spawn("external metrics server", serve);
    Ok(())
}
