//! Measures what a fleet of sidecars costs the aggregator, over TLS with tokens: memory, CPU, the time of the turns of
//! its control loop, per second and per 1,000 decisions, file descriptors, the time of a push, and how long a new
//! aggregator takes until all pods have reported again.
//!
//! The aggregator is a process of its own. Every sidecar connects from its own address (127.x.y.z). Processes may open
//! too few files for 50,000 connections and more: then several pods share one, and memory is less than in a cluster by
//! the printed cost of a connection.

mod client;
mod server;
pub(crate) mod soak;

use std::time::Duration;

use client::Pushed;
use server::Server;

pub(crate) use server::{SERVE, serve};

use crate::environment::number;

/// How long the fleet is measured.
const MEASURED: Duration = Duration::from_secs(20);

/// How long it pushes before: pods that are asked for longer intervals are counted over half a minute.
const WARM_UP: Duration = Duration::from_secs(10);
const WARM_UP_PACED: Duration = Duration::from_secs(200);

/// With more pods at one push per second, the aggregator asks for longer intervals.
const UNPACED: usize = 20_000;

/// Maximum number of connections: both ends are limited by the files that a process may open, often 20,000.
const MAX_CONNECTIONS: usize = 10_000;

/// A fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    pods: usize,
    scalers: usize,
}

const FLEETS: [Fleet; 6] = [
    Fleet {
        pods: 1_000,
        scalers: 1,
    },
    Fleet {
        pods: 1_000,
        scalers: 1_000,
    },
    Fleet {
        pods: 10_000,
        scalers: 1,
    },
    Fleet {
        pods: 10_000,
        scalers: 100,
    },
    Fleet {
        pods: 50_000,
        scalers: 100,
    },
    Fleet {
        pods: 150_000,
        scalers: 1_000,
    },
];

/// Prints a table, of the fleets with `PODS` pods if that is set.
pub(crate) fn run() {
    let pods = number::<usize>("PODS");
    println!(
        "| pods | PushScalers | push interval | connections | memory | memory, no pods | CPU | control loop | decisions | per 1,000 decisions | descriptors | p50 | p99 | failed pushes | recovery time |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    pushscale_daemon::open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for fleet in FLEETS
        .into_iter()
        .filter(|fleet| pods.is_none_or(|pods| fleet.pods == pods))
    {
        runtime.block_on(measure(fleet));
    }
}

async fn measure(fleet: Fleet) {
    let mut server = Server::start(fleet);
    let empty = server.usage();
    let clients = client::start(fleet, &server);
    clients.wait_until_all_accepted().await;
    tokio::time::sleep(match fleet.pods {
        ..=UNPACED => WARM_UP,
        _ => WARM_UP_PACED,
    })
    .await;
    let before = server.usage();
    clients.take();
    tokio::time::sleep(MEASURED).await;
    let after = server.usage();
    let Pushed { mut micros, failed } = clients.take();
    drop(server);
    // A new aggregator: the sidecars notice that their connections end, and connect again.
    let again = Server::start(fleet);
    let start = tokio::time::Instant::now();
    clients.connect_to(&again);
    clients.wait_until_all_accepted().await;
    let reported = start.elapsed();
    micros.sort_unstable();
    let quantile = |share: f64| {
        let index = ((micros.len() - 1) as f64 * share) as usize;
        f64::from(micros[index]) / 1000.0
    };
    let turn_seconds = after.turn_seconds - before.turn_seconds;
    let decisions = (after.decisions - before.decisions) as f64;
    println!(
        "| {} | {} | {:.1} s | {} | {:.0} MB | {:.0} MB | {:.2} cores | {:.1} ms/s | {:.0}/s | {:.1} ms | {} | {:.1} ms | {:.1} ms | {failed} | {:.1} s |",
        fleet.pods,
        fleet.scalers,
        MEASURED.as_secs_f64() * fleet.pods as f64 / micros.len() as f64,
        fleet.connections(),
        after.resident_kb as f64 / 1000.0,
        empty.resident_kb as f64 / 1000.0,
        (after.cpu_seconds - before.cpu_seconds) / MEASURED.as_secs_f64(),
        1000.0 * turn_seconds / MEASURED.as_secs_f64(),
        decisions / MEASURED.as_secs_f64(),
        1e6 * turn_seconds / decisions,
        after.descriptors,
        quantile(0.5),
        quantile(0.99),
        reported.as_secs_f64(),
    );
}

impl Fleet {
    fn connections(self) -> usize {
        self.pods.min(MAX_CONNECTIONS)
    }

    /// Returns the name of the pod with this number.
    fn pod(number: usize) -> String {
        format!("torchserve-{number}")
    }
}
