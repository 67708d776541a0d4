//! The heartbeat of the control loop.

use std::pin::pin;

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
