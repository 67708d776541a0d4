//! The sidecar's counts for a real TorchServe match what the clients saw.

#![cfg(test)]
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pushscale_protocol::{Model, Push};
use pushscale_testkit::load::{LoadOptions, Outcome, RunningLoad, Sample, Step};
use pushscale_testkit::local_torchserve::{LocalTorchServe, ServerOptions};
use pushscale_tests::sidecar::TestSidecar;
use pushscale_tests::{fleet, http};
use tokio::sync::Mutex;

/// The limit for anything that takes a second on an idle machine. Only a hang takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A scrape reads two ports, one after the other, and a batch may complete in between.
const JITTER: f64 = 2.0;

static TORCHSERVE: LazyLock<Option<LocalTorchServe>> = LazyLock::new(|| {
    // In a separate thread, since the tests' runtimes cannot be entered twice.
    std::thread::spawn(fleet::local_torchserve).join().unwrap()
});

/// Java's start keeps two cores busy for seconds, which would be waiting time for the other tests.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Returns the numbers of requests with a 200 and with a 503.
fn outcomes(samples: &[Sample]) -> (f64, f64) {
    let with = |status| {
        let found = |sample: &&Sample| sample.outcome == Outcome::Status(status);
        samples.iter().filter(found).count() as f64
    };
    (with(200), with(503))
}

/// Returns the only model in the sidecar's newest reading, once there is one.
async fn model(sidecar: &TestSidecar) -> Option<Model<'static>> {
    let answer = http::get(sidecar.address, "/reading").await;
    let push = Push::parse(answer.body.as_bytes()).ok()?;
    let model = push.models.first()?;
    Some(Model {
        name: model.name.to_string().into(),
        ..model.clone()
    })
}

/// Returns the number of the sidecar's newest reading.
async fn sequence(sidecar: &TestSidecar) -> u64 {
    let answer = http::get(sidecar.address, "/reading").await;
    Push::parse(answer.body.as_bytes()).map_or(0, |push| push.sequence)
}

/// Puts load on a server and compares the sidecar's counts with those of the clients, repeatedly and at the end.
async fn compare(options: ServerOptions, steps: &[(f64, f64)]) {
    let Some(torchserve) = &*TORCHSERVE else {
        return;
    };
    let _alone = ALONE.lock().await;
    let workers = (options.workers * options.batch_size) as f64;
    let server = torchserve.start(options).await.unwrap();
    let ports = server.addresses();
    let sidecar = TestSidecar::start_without_aggregator(&ports).await;
    http::until(TIMEOUT, || async { model(&sidecar).await.is_some() }).await;

    let planned = Duration::from_secs_f64(steps.iter().map(|(_, seconds)| seconds).sum());
    let mut steps: Vec<Step> = steps
        .iter()
        .map(|&(rate, seconds)| Step { rate, seconds })
        .collect();
    // On a busy machine, the last step continues until there are enough comparisons.
    steps.last_mut().unwrap().seconds = 3600.0;
    let load = RunningLoad::start(LoadOptions::to(ports.inference, steps)).unwrap();
    let (mut compared, mut stopped) = (0, false);
    while !stopped || load.counts().in_flight > 0 {
        let (seen, _) = outcomes(&load.samples_since(0));
        // The requests completed so far are counted soon, …
        let counted = Cell::new(0.0);
        http::until(TIMEOUT, || async {
            // A scrape that fails on a busy machine counts nothing.
            let answered = model(&sidecar)
                .await
                .and_then(|model| model.completed_total);
            counted.set(answered.unwrap_or_default());
            answered.is_some_and(|answered| answered >= seen - workers - JITTER)
        })
        .await;
        // … and no others are counted. A client on a busy machine sees its response later than the sidecar counts it.
        let counted = counted.get();
        let sent = load.counts().sent;
        assert!(
            counted <= sent as f64 + JITTER,
            "{counted} are counted as answered, {sent} were sent"
        );
        http::until(TIMEOUT, || async {
            let (seen, _) = outcomes(&load.samples_since(0));
            counted <= seen + workers + JITTER
        })
        .await;
        compared += 1;
        if compared > 10 && load.began().elapsed() >= planned {
            load.stopper().stop();
            stopped = true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (answered, turned_away) = outcomes(&load.finish().await.samples);
    assert!(answered > 0.0);
    let near = |counted: Option<f64>, seen: f64| {
        counted.is_some_and(|counted| (counted - seen).abs() <= 1.0)
    };
    http::until(TIMEOUT, || async {
        model(&sidecar).await.is_some_and(|model| {
            near(model.completed_total, answered) && near(model.rejected_total, turned_away)
        })
    })
    .await;
    sidecar.end().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn with_low_load_and_then_in_overload() {
    compare(ServerOptions::default(), &[(5.0, 4.0), (20.0, 4.0)]).await;
}

#[tokio::test]
async fn with_a_full_queue_that_rejects_most_requests() {
    let options = ServerOptions {
        job_queue_size: 10,
        ..ServerOptions::default()
    };
    compare(options, &[(40.0, 5.0)]).await;
}

#[tokio::test]
async fn with_two_workers_and_batches() {
    let options = ServerOptions {
        workers: 2,
        batch_size: 4,
        max_batch_delay: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    compare(options, &[(90.0, 4.0)]).await;
}

/// TorchServe runs `nvidia-smi` for each worker that it describes. This one takes as long as with a driver that is
/// loaded each time.
const NVIDIA_SMI: &str = r#"#!/bin/sh
case "$1" in
--query-gpu=index) printf 'index\n0\n' ;;
-i) echo >> "${0%/*}/runs"; sleep 0.4; printf 'utilization.gpu [%%]\n10 %%\n' ;;
esac
"#;

#[tokio::test]
async fn with_a_gpu_most_of_the_time_is_left_to_the_server() {
    let Some(torchserve) = &*TORCHSERVE else {
        return;
    };
    let _alone = ALONE.lock().await;
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu");
    let (program, log) = (programs.join("nvidia-smi"), programs.join("runs"));
    fs::create_dir_all(&programs).unwrap();
    fs::write(&program, NVIDIA_SMI).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::write(&log, "").unwrap();
    let options = ServerOptions {
        workers: 2,
        programs: Some(programs),
        ..ServerOptions::default()
    };
    let server = torchserve.start(options).await.unwrap();
    let sidecar = TestSidecar::start_without_aggregator(&server.addresses()).await;
    let runs = || fs::read(&log).unwrap().len();

    // The first description takes longer than the timeout of 500 ms, the next ones may take 5 s.
    http::until(TIMEOUT, || async {
        let model = model(&sidecar).await;
        model.is_some_and(|model| model.workers_ready == Some(2.0))
    })
    .await;
    let (started, before) = (Instant::now(), runs());
    http::until(TIMEOUT, || async { runs() >= before + 6 }).await;

    let share = 0.4 * 6.0 / started.elapsed().as_secs_f64();
    assert!(share < 0.4, "nvidia-smi runs for {share:.2} of the time");
    sidecar.end().await;
    server.stop().await.unwrap();
}

/// A management key expires, and TorchServe replaces it only on request.
#[tokio::test]
async fn an_expired_management_key_is_renewed() {
    let Some(torchserve) = &*TORCHSERVE else {
        return;
    };
    let _alone = ALONE.lock().await;
    let lines = [
        "disable_token_authorization=false",
        "token_expiration_min=0.3",
    ];
    let options = ServerOptions {
        extra: lines.map(str::to_owned).to_vec(),
        ..ServerOptions::default()
    };
    let server = torchserve.start(options).await.unwrap();
    let key_file = server.key_file().unwrap();
    let keys = || fs::read_to_string(&key_file).unwrap_or_default();
    let settings = [(
        "PUSHSCALE_SIDECAR_MANAGEMENT_TOKEN_FILE",
        key_file.to_str().unwrap(),
    )];
    let ports = server.addresses();
    let first = keys();
    let sidecar = TestSidecar::start_with("p", &ports, "127.0.0.1:1", &settings).await;
    http::until(TIMEOUT, || async { keys() != first }).await;
    // The next scrape but one uses the new key.
    let at_renewal = sequence(&sidecar).await;
    http::until(TIMEOUT, || async {
        let model = model(&sidecar).await;
        model.is_some_and(|model| model.workers_ready == Some(1.0))
            && sequence(&sidecar).await >= at_renewal + 2
    })
    .await;
    sidecar.end().await;
    server.stop().await.unwrap();
}
