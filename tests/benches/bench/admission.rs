//! Measures how long an API server waits for the injector: at 50 pods per second, and at the highest rate. The limit is
//! 5 ms for 99% of the requests at 50 per second.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pushscale_daemon::shutdown::Shutdown;
use pushscale_tests::injector::{Connection, Injector, certify, review};
use serde_json::{Value, json};

use crate::cpu;

/// The rate of a large rollout, in pods per second.
const PODS_PER_SECOND: u32 = 50;
const PACED: Duration = Duration::from_secs(10);
const FLAT_OUT: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 8;

/// Prints percentiles of the latency that an API server sees, in milliseconds.
pub(crate) fn run() {
    let directory = std::env::temp_dir().join(format!("pushscale-bench-{}", std::process::id()));
    certify(&directory);
    let stop = Shutdown::new();
    let (ready_tx, injector) = mpsc::channel();
    let server = thread::spawn({
        let (directory, stop) = (directory.clone(), stop.clone());
        move || {
            cpu::pin(0);
            runtime().block_on(async {
                ready_tx
                    .send(Injector::start(&directory, stop.clone()).await)
                    .unwrap();
                stop.cancelled().await;
            });
        }
    });
    let injector = injector.recv().unwrap();
    cpu::pin(1);
    for (name, containers) in [
        ("a pod of one container", 1),
        ("a pod of a hundred containers", 100),
    ] {
        let question = review(&pod(containers));
        println!("  {name}: {} bytes of JSON", question.len());
        runtime().block_on(async {
            let waits = paced(injector, &directory, &question).await;
            report(&format!("{PODS_PER_SECOND} pods/s"), waits);
            let start = Instant::now();
            let waits = flat_out(injector, &directory, &question).await;
            let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
            report(
                &format!("maximum rate, {rate:.0} pods/s on one core"),
                waits,
            );
        });
    }
    stop.cancel();
    server.join().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn paced(injector: Injector, directory: &Path, question: &[u8]) -> Vec<Duration> {
    let mut connection = Connection::open(injector.address, directory).await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / PODS_PER_SECOND);
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < PACED {
        tick.tick().await;
        waits.push(ask(&mut connection, question).await);
    }
    waits
}

async fn flat_out(injector: Injector, directory: &Path, question: &[u8]) -> Vec<Duration> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (directory, question): (PathBuf, Vec<u8>) = (directory.to_owned(), question.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(injector.address, &directory)
                .await
                .unwrap();
            let mut waits = Vec::new();
            while start.elapsed() < FLAT_OUT {
                waits.push(ask(&mut connection, &question).await);
            }
            waits
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

async fn ask(connection: &mut Connection, question: &[u8]) -> Duration {
    let start = Instant::now();
    let answer = connection.ask("POST", "/inject", question).await;
    let took = start.elapsed();
    assert!(
        answer.status == 200 && answer.body.contains("JSONPatch"),
        "{answer:?}"
    );
    took
}

fn report(what: &str, mut waits: Vec<Duration>) {
    waits.sort();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "    {what}: {:.2} / {:.2} / {:.2} / {:.2} ms (median / 90% / 99% / max of {})",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        waits.len()
    );
}

/// A pod as the API server sends it: with the service account's volume and mount, and with all defaults.
fn pod(containers: usize) -> Value {
    let container = |index: usize| {
        json!({
            "name": if index == 0 { "torchserve".to_owned() } else { format!("helper-{index}") },
            "image": "pytorch/torchserve:0.12.0-cpu",
            "args": ["torchserve", "--start", "--model-store", "/models", "--ts-config", "/config/config.properties"],
            "ports": [ { "name": format!("inference-{index}"), "containerPort": 8080, "protocol": "TCP" } ],
            "resources": { "limits": { "memory": "4Gi" }, "requests": { "cpu": "2", "memory": "4Gi" } },
            "volumeMounts": [
                { "name": "models", "mountPath": "/models" },
                { "name": "kube-api-access-x", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" },
            ],
            "readinessProbe": { "httpGet": { "path": "/ping", "port": 8080, "scheme": "HTTP" }, "timeoutSeconds": 1,
                "periodSeconds": 2, "successThreshold": 1, "failureThreshold": 3 },
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        })
    };
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": "torchserve-7d9f5c-", "namespace": "models",
            "labels": { "app": "torchserve", "pod-template-hash": "7d9f5c" },
            "ownerReferences": [ { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "torchserve-7d9f5c",
                "uid": "1f0e0f6e-0000-4000-8000-000000000001", "controller": true, "blockOwnerDeletion": true } ],
        },
        "spec": {
            "volumes": [ { "name": "models", "emptyDir": {} }, { "name": "kube-api-access-x", "projected": { "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } } ], "defaultMode": 420 } } ],
            "containers": (0..containers).map(container).collect::<Vec<_>>(),
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {},
            "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}
