//! A short form of `make chaos`.

use pushscale_tests::chaos::{Harness, Outcome, short_faults, table};
use pushscale_tests::namespace::{install, permit_token_reviews};
use pushscale_tests::test_cluster::{Shape, TestCluster};

/// In its own cluster, since the faults affect everything in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_cluster_do_no_harm() {
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    install(&cluster);
    permit_token_reviews(&cluster);
    let mut harness = Harness::start(&cluster).await;
    let mut outcomes = Vec::new();
    for fault in short_faults() {
        outcomes.push(harness.run_fault(fault).await);
    }
    let table = table(&outcomes);
    println!("{table}");
    assert!(outcomes.iter().all(Outcome::is_clean), "\n{table}");
}
