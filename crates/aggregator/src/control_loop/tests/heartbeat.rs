//! The heartbeat of the control loop.

use std::pin::pin;

use pushscale_api::names::RESTORE_FINALIZER;
use tokio::time::timeout;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_control_loop_is_stalled_only_while_it_is_blocked() {
    let fixture = Fixture::start();
    let heartbeat = fixture.control_loop.heartbeat.clone();
    let run = fixture
        .control_loop
        .run(fixture.events, Shutdown::default());
    let mut run = pin!(run);
    // There is nothing to do.
    for _ in 0..600 {
        let second = timeout(Duration::from_secs(1), &mut run).await;
        assert!(second.is_err() && !heartbeat.is_stalled());
    }
    // A task that blocks does not run.
    tokio::time::advance(STALLED_AFTER + Duration::from_secs(1)).await;
    assert!(heartbeat.is_stalled());
    let turn = timeout(Duration::from_secs(1), &mut run).await;
    assert!(turn.is_err() && !heartbeat.is_stalled());
}

#[tokio::test(start_paused = true)]
async fn a_control_loop_whose_scalers_are_due_later_is_not_stalled() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::RejectsFinalizers;
    *fixture.target.replicas.lock() = 3;
    fixture.deletion = ScalerDeletion {
        restores: true,
        applies: true,
        deleting: true,
        finalizers: vec![RESTORE_FINALIZER.to_owned()],
        replicas_before: Some(1),
        ..ScalerDeletion::default()
    };
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 3);
    // Less than the backoff of the finalizer.
    let heartbeat = Heartbeat::new(2 * MAX_IDLE);
    fixture.control_loop.heartbeat = heartbeat.clone();
    let run = fixture
        .control_loop
        .run(fixture.events, Shutdown::default());
    let mut run = pin!(run);
    for _ in 0..600 {
        let second = timeout(Duration::from_secs(1), &mut run).await;
        assert!(second.is_err() && !heartbeat.is_stalled());
    }
}
