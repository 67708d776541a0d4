//! Measures the cost of the sidecar next to a working TorchServe, when it pushes over TLS with a token.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use pushscale_aggregator::PushSecurity;
use pushscale_daemon::tls::ServerCertificate;
use pushscale_decision::{Bounds, Latency, Policy, TargetLatency};
use pushscale_testkit::cache;
use pushscale_testkit::load::{LoadOptions, RunningLoad, Step};
use pushscale_testkit::local_torchserve::{LocalTorchServe, ServerOptions};
use pushscale_tests::authority::Authority;
use pushscale_tests::fake_cluster::{FakeCluster, NAMESPACE, uid};
use pushscale_tests::{http, programs};

use crate::cpu;
use crate::spread::Spread;

/// The argument that makes this program the baseline.
pub(crate) const TICK: &str = "tick-for-ever";

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(20);

/// The baseline: a process with the same runtime that wakes up once per second and does nothing.
pub(crate) fn tick_for_ever() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
        }
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Prints memory, CPU time, and the cost of the baseline.
pub(crate) fn run() {
    let program = programs::sidecar();
    let size = fs::metadata(&program).unwrap().len();
    println!("  static binary {:.2} MB", size as f64 / 1e6);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(beside_torchserve(&program));
}

async fn beside_torchserve(program: &std::path::Path) {
    let torchserve =
        LocalTorchServe::install(&cache::directory(), |step| println!("  {step}")).await;
    let torchserve = match torchserve {
        Ok(torchserve) => torchserve,
        Err(error) => {
            println!("  NOT MEASURED: {error}");
            return;
        }
    };
    let server = torchserve.start(ServerOptions::default()).await.unwrap();
    let target = TargetLatency::new(Latency::from_nanos(7_000_000)).unwrap();
    let policy = Policy::new(Bounds::new(1, 5).unwrap(), target);
    let (authority, certificate) = (Authority::new("bench"), ServerCertificate::default());
    authority.certify(&certificate, "127.0.0.1");
    let push_security = PushSecurity {
        certificate: Some(certificate),
        reviewer: None,
    };
    let mut cluster =
        FakeCluster::start_with_security((Ipv4Addr::LOCALHOST, 0).into(), push_security).await;
    cluster.apply(policy, 1).await;
    let directory = std::env::temp_dir().join(format!("pushscale-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (ca, token) = (directory.join("ca.crt"), directory.join("token"));
    fs::write(&ca, authority.pem()).unwrap();
    // As long as a real token, which is not checked here.
    fs::write(&token, "x".repeat(1000)).unwrap();
    cluster.add_pod("torchserve-0").await;
    let ports = server.addresses();
    let sidecar = Killed(
        Command::new(program)
            .env("PUSHSCALE_SIDECAR_AGGREGATOR", cluster.push.to_string())
            .env("PUSHSCALE_SIDECAR_POD_NAMESPACE", NAMESPACE)
            .env("PUSHSCALE_SIDECAR_POD_NAME", "torchserve-0")
            .env("PUSHSCALE_SIDECAR_POD_UID", uid("torchserve-0").as_str())
            .env(
                "PUSHSCALE_SIDECAR_METRICS_URL",
                format!("http://{}", ports.metrics),
            )
            .env(
                "PUSHSCALE_SIDECAR_MANAGEMENT_URL",
                format!("http://{}", ports.management),
            )
            .env("PUSHSCALE_SIDECAR_CA_FILE", &ca)
            .env("PUSHSCALE_SIDECAR_TOKEN_FILE", &token)
            .env("PUSHSCALE_SIDECAR_LISTEN", "127.0.0.1:0")
            .env("PUSHSCALE_SIDECAR_LOG_LEVEL", "warn")
            .spawn()
            .unwrap(),
    );
    let tick = Killed(
        Command::new(std::env::current_exe().unwrap())
            .arg(TICK)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let seconds = ROUND.as_secs_f64() * ROUNDS as f64 + 10.0;
    let steps = vec![Step { rate: 5.0, seconds }];
    let load = RunningLoad::start(LoadOptions::to(ports.inference, steps)).unwrap();
    thread::sleep(Duration::from_secs(5));

    let (mut ours, mut ticks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = (
            cpu::of_process(sidecar.0.id()),
            cpu::of_process(tick.0.id()),
        );
        tokio::time::sleep(ROUND).await;
        let after = (
            cpu::of_process(sidecar.0.id()),
            cpu::of_process(tick.0.id()),
        );
        let percent = |nanoseconds: u64| nanoseconds as f64 / ROUND.as_nanos() as f64 * 100.0;
        ours.push(percent(after.0 - before.0));
        ticks.push(percent(after.1 - before.1));
    }
    let (all, anonymous) = cpu::resident(sidecar.0.id());
    println!(
        "  resident {:.2} MiB, of which {:.2} MiB anonymous",
        all as f64 / f64::from(1 << 20),
        anonymous as f64 / f64::from(1 << 20)
    );
    let (ours, ticks) = (Spread::of(ours), Spread::of(ticks));
    println!(
        "  at 1 Hz, 5 requests/s on the server: {ours:.4}% of a core (min / median / mean / max)"
    );
    println!(
        "  {:.1} × a process that wakes up once per second and does nothing ({ticks:.4}%)",
        ours.median() / ticks.median()
    );
    let metrics = http::get(cluster.admin, "/metrics").await.body;
    assert!(
        metrics.contains("pushes_total{outcome=\"accepted\"}"),
        "{metrics}"
    );
    load.stopper().stop();
    drop((sidecar, tick));
    server.stop().await.unwrap();
    cluster.end().await;
    fs::remove_dir_all(directory).unwrap();
}
