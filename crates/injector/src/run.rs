//! Runs the injector.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::service::service_fn;
use kube::Client;
use pushscale_daemon::admin::{Admin, NoPages};
use pushscale_daemon::body_budget::BodyBudget;
use pushscale_daemon::exit::RunError;
use pushscale_daemon::http_server::{self, Limits, Tls};
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_daemon::process_metrics;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use pushscale_daemon::tls::{self, ServerCertificate};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::config::{Config, PROGRAM};
use crate::metrics::Metrics;
use crate::server::{Admission, BODY_LIMITS, MAX_BODY_BYTES};
use crate::{events, native_sidecar};

/// The maximum number of events that wait to be written.
const MAX_WAITING_EVENTS: usize = 256;

/// The connection limit.
const CONNECTIONS: usize = 512;

/// The connection limit of one address. An API server opens a connection for each pod that is created at the same time,
/// and keeps a few of them.
const CONNECTIONS_PER_ADDRESS: usize = 256;

/// How long an API server can keep an idle connection.
const IDLE: Duration = Duration::from_secs(120);

/// How long reviews are served after a shutdown has begun. The API server calls this pod until the EndpointSlice and
/// kube-proxy have removed it, which takes up to several seconds, and a review that is refused costs a pod its sidecar.
const LINGER: Duration = Duration::from_secs(5);

/// How long a shutdown can take: `LINGER`, and six seconds for the reviews in progress and their events. The chart's
/// `terminationGracePeriodSeconds` is 15.
const GRACE: Duration = Duration::from_secs(11);

/// An injector with bound ports.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    admission: http_server::Bound,
    admin: http_server::Bound,
}

/// Binds the injector's ports.
///
/// # Errors
///
/// Fails if a port could not be bound.
pub async fn bind(config: Config) -> Result<Bound, RunError> {
    let admission = http_server::bind("admission", config.listen).await?;
    let admin = http_server::bind("admin", config.admin_listen).await?;
    Ok(Bound {
        config,
        admission,
        admin,
    })
}

impl Bound {
    /// Returns the address of the webhook.
    pub fn address(&self) -> SocketAddr {
        self.admission.address()
    }

    /// Returns the address of the admin pages.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs until `stop`, with the API server of the pod's cluster or of KUBECONFIG.
    ///
    /// # Errors
    ///
    /// Fails if there is no cluster, or if a task exited unexpectedly.
    pub async fn run(self, stop: Shutdown) -> Result<(), RunError> {
        let client = pushscale_kubernetes::client().await?;
        self.run_with(Some(client), stop).await
    }

    /// Runs until `stop` with this client. Without one, no events are written, and `native_sidecar` must be set.
    ///
    /// # Errors
    ///
    /// Fails if a task exited unexpectedly.
    pub async fn run_with(self, client: Option<Client>, stop: Shutdown) -> Result<(), RunError> {
        let mut registry = process_metrics::registry(&PROGRAM);
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let mut tasks = Tasks::default();
        let (events, waiting_events) = mpsc::channel(MAX_WAITING_EVENTS);
        let native_sidecar = Arc::new(OnceLock::new());
        let version_known = readiness.latch();
        if let Some(set) = self.config.native_sidecar {
            native_sidecar.get_or_init(|| set);
            drop(version_known);
        } else if let Some(client) = client.clone() {
            // Not one of `tasks`, since it ends once the version is known.
            let detect = native_sidecar::detect(client, Arc::clone(&native_sidecar), version_known);
            tokio::spawn(detect);
        }
        if let Some(client) = client {
            let write = events::run(client, waiting_events, metrics.clone());
            tasks.spawn("event writer", write);
        }
        let counts = metrics.clone();
        let rejected = move |rejection| counts.rejected_connections.increment(rejection);
        let admission = Arc::new(Admission {
            sidecar: self.config.sidecar,
            native_sidecar,
            events,
            metrics,
            rejection_log: LogLimiter::default(),
            stop: stop.clone(),
        });
        let budget = Arc::new(BodyBudget::new(&BODY_LIMITS, MAX_BODY_BYTES));
        let service_of = move |address, _: &_| {
            let admission = Arc::clone(&admission);
            let budget = budget.for_address(address);
            service_fn(move |request| Arc::clone(&admission).respond(budget.clone(), request))
        };
        let certificate = ServerCertificate::default();
        let transport = Tls::new(&certificate).map_err(RunError::Tls)?;
        let follow = tls::watch_directory(self.config.tls_dir, certificate, readiness.latch());
        let limits = Limits {
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            idle: IDLE,
            ..Limits::default()
        };
        let close = Shutdown::new();
        let serve =
            self.admission
                .serve_with(transport, limits, service_of, rejected, close.clone());
        tasks.spawn("admission server", serve);
        let begun = stop.clone();
        tasks.spawn("admission shutdown", async move {
            begun.cancelled().await;
            sleep(LINGER).await;
            close.cancel();
        });
        let until_shutdown = stop.clone();
        tasks.spawn("certificate watch", async move {
            tokio::select! {
                () = follow => {}
                () = until_shutdown.cancelled() => {}
            }
        });
        // It stops at once, so that the pod is no longer ready.
        let pages = Admin::new(readiness, registry, NoPages);
        let admin = self.admin.serve(Limits::default(), pages, stop.clone());
        tasks.spawn("admin server", admin);

        if !tasks.run_until(&stop, GRACE).await? {
            tracing::debug!("some tasks did not end in time");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::Sender;

    use pushscale_daemon::config::Settings;
    use pushscale_daemon::tls::{CaBundle, ClientStream};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::yield_now;
    use tokio::time::{Instant, advance};

    use super::*;

    /// Only a hang takes longer.
    const TIMEOUT: Duration = Duration::from_secs(120);

    const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",
"namespace":"models","operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","metadata":{},
"spec":{"containers":[{"name":"torchserve","image":"pytorch/torchserve:0.12.0-cpu"}]}}}}"#;

    /// Stops tokio's paused clock from advancing by itself while the server and its client wait for each other, until
    /// the result is dropped.
    fn freeze() -> Sender<()> {
        let (frozen, dropped) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || dropped.recv());
        frozen
    }

    /// Calls `attempt` until it returns a value, and fails with `what` if it never does. The clock may be frozen.
    async fn until<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
        let began = std::time::Instant::now();
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            assert!(began.elapsed() < TIMEOUT, "{what}");
            yield_now().await;
        }
    }

    async fn connect(address: SocketAddr, ca: &CaBundle) -> Option<ClientStream> {
        let stream = TcpStream::connect(address).await.ok()?;
        ca.open("127.0.0.1", stream).await.ok()
    }

    /// Sends a review, and returns the head of the response.
    async fn review(mut connection: ClientStream) -> String {
        let length = REVIEW.len();
        let request =
            format!("POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{REVIEW}");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        loop {
            let read = connection.read_buf(&mut response).await.unwrap();
            let text = String::from_utf8_lossy(&response);
            assert!(read > 0, "it ends in {text}");
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                return head.to_owned();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reviews_are_served_for_a_while_after_the_shutdown_has_begun() {
        let frozen = freeze();
        let directory =
            std::env::temp_dir().join(format!("pushscale-injector-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
        let ca = CaBundle::from_file(directory.join("tls.crt"));
        let pairs = [
            ("PUSHSCALE_INJECTOR_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_INJECTOR_ADMIN_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_INJECTOR_TLS_DIR", directory.to_str().unwrap()),
            ("PUSHSCALE_INJECTOR_NATIVE_SIDECAR", "true"),
        ];
        let settings = Settings::from_pairs(&PROGRAM, pairs).unwrap();
        let bound = bind(Config::from_settings(settings).unwrap());
        let bound = bound.await.unwrap();
        let (address, admin) = (bound.address(), bound.admin_address());
        let stop = Shutdown::new();
        let running = tokio::spawn(bound.run_with(None, stop.clone()));
        let idle = until("no certificate", async || connect(address, &ca).await).await;

        stop.cancel();
        let began = Instant::now();
        until("the pod is still ready", async || {
            TcpStream::connect(admin).await.err()
        })
        .await;
        let new = connect(address, &ca).await.expect("a connection");
        advance(LINGER - Duration::from_millis(1)).await;
        let newest = connect(address, &ca).await.expect("a connection");
        for connection in [idle, new, newest] {
            let response = review(connection).await;
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            assert!(response.contains("connection: close"), "{response}");
        }

        drop(frozen);
        running.await.unwrap().unwrap();
        assert!(began.elapsed() >= LINGER, "{:?}", began.elapsed());
        assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
        assert!(connect(address, &ca).await.is_none());
        fs::remove_dir_all(directory).unwrap();
    }
}
