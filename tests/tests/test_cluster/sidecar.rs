//! Native sidecars: init containers that keep running. Pushscale's sidecar is one.

use std::fs;

use crate::PROBE;
use crate::node::shared_cluster;

#[test]
fn a_native_sidecar_starts_first_and_stops_last() {
    let Some(cluster) = shared_cluster() else {
        return;
    };
    // In the cluster's directory, so that it is removed with it.
    let directory = cluster.logs_dir().join("sidecar-test");
    cluster
        .api()
        .apply(&pod(&directory.display().to_string()))
        .unwrap();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod/pair",
            "--timeout=300s",
        ])
        .unwrap();
    cluster
        .kubectl(&["delete", "pod", "pair", "--timeout=300s"])
        .unwrap();

    let events = fs::read_to_string(directory.join("events")).unwrap();
    let expected = [
        "sidecar started",
        "main started",
        "main stopping",
        "main stopped",
        "sidecar stopping",
        "sidecar stopped",
    ];
    assert_eq!(events.lines().collect::<Vec<_>>(), expected);
}

/// The main container takes two seconds to terminate. Only a startup probe makes it wait until the sidecar listens.
/// Without one, it is enough that the sidecar's process exists.
fn pod(directory: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{ name: pair }}
spec:
  initContainers:
    - name: sidecar
      image: {PROBE}
      imagePullPolicy: Never
      restartPolicy: Always
      args: [serve, -name=sidecar, -port=8081, -events=/events/events]
      startupProbe: {{ httpGet: {{ path: /, port: 8081 }}, periodSeconds: 1 }}
      volumeMounts: [{{ name: events, mountPath: /events }}]
  containers:
    - name: main
      image: {PROBE}
      imagePullPolicy: Never
      args: [serve, -name=main, -linger=2s, -events=/events/events]
      readinessProbe: {{ httpGet: {{ path: /, port: 8080 }}, periodSeconds: 1 }}
      volumeMounts: [{{ name: events, mountPath: /events }}]
  volumes:
    - name: events
      hostPath: {{ path: {directory}, type: DirectoryOrCreate }}
"
    )
}
