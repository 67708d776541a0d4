//! The real sidecar, in this process, with its ports on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use pushscale_daemon::config::Settings;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_sidecar::Config;
use pushscale_testkit::Addresses;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fake_cluster::{NAMESPACE, uid};

/// A running sidecar.
pub struct TestSidecar {
    /// Address of its pages.
    pub address: SocketAddr,
    stop: Shutdown,
    running: JoinHandle<()>,
}

impl TestSidecar {
    /// Starts a sidecar for this server, with an unreachable aggregator.
    pub async fn start_without_aggregator(server: &Addresses) -> Self {
        // Nothing listens on port 1 of loopback.
        let unreachable = "127.0.0.1:1";
        Self::start(
            "torchserve-0",
            server.metrics,
            server.management,
            unreachable,
        )
        .await
    }

    /// Starts a sidecar in the pod `pod` that scrapes these ports every 100 ms and pushes to `aggregator`.
    pub async fn start(
        pod: &str,
        metrics: SocketAddr,
        management: SocketAddr,
        aggregator: &str,
    ) -> Self {
        Self::start_on(pod, metrics, management, aggregator, &[]).await
    }

    /// The same for this server, with additional settings.
    pub async fn start_with(
        pod: &str,
        server: &Addresses,
        aggregator: &str,
        more: &[(&str, &str)],
    ) -> Self {
        Self::start_on(pod, server.metrics, server.management, aggregator, more).await
    }

    async fn start_on(
        pod: &str,
        metrics: SocketAddr,
        management: SocketAddr,
        aggregator: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let metrics = format!("http://{metrics}");
        let management = format!("http://{management}");
        let uid = uid(pod);
        let pairs = [
            ("PUSHSCALE_SIDECAR_AGGREGATOR", aggregator),
            ("PUSHSCALE_SIDECAR_POD_NAMESPACE", NAMESPACE),
            ("PUSHSCALE_SIDECAR_POD_NAME", pod),
            ("PUSHSCALE_SIDECAR_POD_UID", uid.as_str()),
            ("PUSHSCALE_SIDECAR_METRICS_URL", &metrics),
            ("PUSHSCALE_SIDECAR_MANAGEMENT_URL", &management),
            ("PUSHSCALE_SIDECAR_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_SIDECAR_SCRAPE_INTERVAL", "100ms"),
            ("PUSHSCALE_SIDECAR_SCRAPE_TIMEOUT", "500ms"),
            ("PUSHSCALE_SIDECAR_PUSH_TIMEOUT", "500ms"),
            ("PUSHSCALE_SIDECAR_RESOLVE_INTERVAL", "200ms"),
        ];
        let all = pairs.iter().chain(more).copied();
        let settings =
            Settings::from_pairs(&pushscale_sidecar::PROGRAM, all).expect("settings are text");
        let config = Config::from_settings(settings).expect("settings are right");
        let bound = pushscale_sidecar::bind(config)
            .await
            .expect("a port is free");
        let address = bound.address();
        let stop = Shutdown::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move {
            bound.run(stopped).await.expect("the sidecar runs");
        });
        Self {
            address,
            stop,
            running,
        }
    }

    /// Shuts the sidecar down like SIGTERM, and waits until it has stopped.
    pub async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(60), self.running)
            .await
            .expect("the sidecar stops")
            .expect("the sidecar does not panic");
    }
}
