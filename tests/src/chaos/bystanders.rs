//! The other programs, whose ports are attacked as well.

use std::path::PathBuf;

use pushscale_daemon::shutdown::Shutdown;

use super::port::{Port, Transport};
use crate::injector::{Injector, certify};
use crate::process::Process;
use crate::programs;
use crate::sidecar::TestSidecar;
use crate::test_cluster::TestCluster;

const CERTIFICATES: &str = "pushscale-certificates";

/// Nothing listens on port 1 of loopback.
const UNREACHABLE: &str = "127.0.0.1:1";

/// A running injector, a sidecar and `pushscale-certificates`.
pub(super) struct Bystanders {
    injector: Injector,
    stop: Shutdown,
    sidecar: TestSidecar,
    certificates: Process,
    certificate: PathBuf,
}

impl Bystanders {
    pub(super) async fn start(cluster: &TestCluster) -> Self {
        let directory = cluster.logs_dir().join("chaos-injector");
        certify(&directory);
        let stop = Shutdown::new();
        let nowhere = UNREACHABLE.parse().unwrap();
        // It has no permissions, so it is never ready, but alive.
        let account = ["-n", "pushscale", "create", "serviceaccount", CERTIFICATES];
        cluster.kubectl(&account).unwrap();
        let certificates = Process::start(
            cluster,
            "pushscale",
            CERTIFICATES,
            cluster.command(programs::certificates().to_str().unwrap()),
            &[
                ("PUSHSCALE_CERTIFICATES_ADMIN_LISTEN", "127.0.0.1:0"),
                ("PUSHSCALE_CERTIFICATES_POD_NAMESPACE", "pushscale"),
            ],
        );
        Self {
            injector: Injector::start(&directory, stop.clone()).await,
            stop,
            sidecar: TestSidecar::start("bystander", nowhere, nowhere, UNREACHABLE).await,
            certificates,
            certificate: directory.join("tls.crt"),
        }
    }

    pub(super) async fn ports(&self) -> Vec<Port> {
        let webhook = Transport::Tls(self.certificate.clone());
        let certificates = self.certificates.address("admin").await;
        vec![
            Port::new("injector, webhook", self.injector.address, webhook),
            Port::new("injector, admin", self.injector.admin, Transport::Http),
            Port::new("sidecar", self.sidecar.address, Transport::Http),
            Port::new("certificates, admin", certificates, Transport::Http),
        ]
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.sidecar.end().await;
    }
}
