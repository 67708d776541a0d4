//! What is held thousandfold for months: readings and decisions of a known fleet allocate no memory, and the connection
//! of a sidecar that is between two pushes holds little.

#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::service::service_fn;
use pushscale_daemon::http_server::{Limits, bind};
use pushscale_daemon::reply::text;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::{
    Aggregate, Algorithm, Bounds, Conditions, Latency, MeasuredLoad, Moment, Percentile, Pod,
    PodUid, Policy, Scaler, Selector, TargetLatency, TargetState,
};
use pushscale_tests::readings::steady_reading;
use tokio::runtime::Builder;

const PODS: u32 = 12;

fn allocations(algorithm: Algorithm, aggregate: Aggregate) -> u64 {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let mut policy = Policy {
        algorithm,
        ..Policy::new(Bounds::new(1, 100).unwrap(), target)
    };
    policy.metrics[0].aggregate = aggregate;
    let mut scaler = Scaler::new(policy, Conditions::default());
    let uids: Vec<PodUid> = (0..PODS).map(|pod| format!("pod-{pod}").into()).collect();
    for uid in &uids {
        scaler.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running(uid.as_str()));
    }
    let facts = TargetState::Known {
        replicas: PODS,
        existing: None,
        selector: Selector::Usable,
        deletes_slow_first: true,
    };
    let mut measured = MeasuredLoad::default();
    let mut turn = |second: u64| {
        let now = Moment::from_secs(second);
        // A push is converted to a reading, which is then shared and not copied.
        let reading = Arc::new(steady_reading(second, 20, Duration::from_millis(30)));
        let counted = allocation_counter::measure(|| {
            for uid in &uids {
                scaler.learn_shared(now, uid, now, &reading).unwrap();
            }
            scaler.decide(now, &facts);
            measured = scaler.measured_load(second.saturating_sub(13)..second.saturating_sub(3));
        });
        counted.count_total
    };
    // The windows and the recent proposals are full after ten minutes.
    let first: u64 = (1..=600).map(&mut turn).sum();
    assert!(first > 0, "allocations are counted");
    let allocated = (601..=1200).map(turn).sum();
    let is_model = algorithm == Algorithm::Model;
    let rate = is_model.then_some(f64::from(PODS) * 20.0);
    assert_eq!(measured.rate.map(f64::round), rate);
    let service = measured.service.map(|service| (service * 1000.0).round());
    assert_eq!(service, is_model.then_some(100.0));
    allocated
}

#[test]
fn the_queue_model_allocates_nothing_in_the_steady_state() {
    assert_eq!(allocations(Algorithm::Model, Aggregate::Mean), 0);
    let percentile = Aggregate::Percentile(Percentile::P95);
    assert_eq!(allocations(Algorithm::Model, percentile), 0);
}

#[test]
fn the_ratio_rule_allocates_nothing_in_the_steady_state() {
    assert_eq!(allocations(Algorithm::Ratio, Aggregate::Mean), 0);
}

#[test]
fn a_connection_between_two_requests_holds_less_than_two_kilobytes() {
    const CLIENTS: usize = 50;
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bound = runtime
        .block_on(bind("test", ([127, 0, 0, 1], 0).into()))
        .unwrap();
    let address = bound.address();
    let limits = Limits {
        connections_per_address: CLIENTS + 1,
        ..Limits::default()
    };
    let ok = service_fn(|_request| async { Ok(text(StatusCode::OK, "ok")) });
    runtime.spawn(bound.serve(limits, ok, Shutdown::new()));
    // The server runs in this thread, where allocations are counted, while it waits for a client in another one.
    let connect = |count: usize| {
        let clients = move || -> Vec<TcpStream> {
            let connected = (0..count).map(|_| {
                let mut client = TcpStream::connect(address).unwrap();
                client
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    .unwrap();
                let mut response = [0; RESPONSE.len()];
                client.read_exact(&mut response).unwrap();
                assert_eq!(response, RESPONSE);
                client
            });
            connected.collect()
        };
        runtime.block_on(async { tokio::task::spawn_blocking(clients).await.unwrap() })
    };
    // The runtime's own structures are there after the first connection.
    let first = connect(1);
    let mut open = Vec::with_capacity(CLIENTS);
    let held = allocation_counter::measure(|| open = connect(CLIENTS));
    let bytes = held.bytes_current / CLIENTS as i64;
    assert!((100..2048).contains(&bytes), "{bytes} bytes");
    drop((first, open));
}
