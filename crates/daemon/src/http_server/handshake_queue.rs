//! Limits concurrent TLS handshakes.
//!
//! After a restart all sidecars connect at once. If all handshakes made progress at the same time, each would take
//! longer than its client waits. In order of arrival, the first ones complete at once, and the others soon after.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::fair_semaphore::FairSemaphore;

/// Handshakes per core. A handshake waits most of its time for the client.
const PER_CORE: usize = 4;

/// How long a handshake keeps others waiting. A slower one continues without its permit.
const PERMIT_TIME: Duration = Duration::from_millis(100);

/// Handshakes in order of arrival.
#[derive(Debug)]
pub(super) struct HandshakeQueue(pub(super) FairSemaphore);

impl HandshakeQueue {
    /// Creates a queue for this machine: four handshakes per core, one of which a single address can use.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(FairSemaphore::new(cores * PER_CORE, cores))
    }

    /// Runs a handshake when it is its turn.
    pub(super) async fn run<T>(&self, client: IpAddr, handshake: impl Future<Output = T>) -> T {
        let permit = self.0.for_client(client).acquire(1).await;
        let mut handshake = pin!(handshake);
        if let Ok(done) = timeout(PERMIT_TIME, handshake.as_mut()).await {
            return done;
        }
        drop(permit);
        handshake.await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    /// Handshakes with numbers, in the order in which they start. Each ends when the test says so.
    struct Storm {
        queue: Arc<HandshakeQueue>,
        started: Arc<Mutex<Vec<u8>>>,
    }

    impl Storm {
        fn new(total: usize, per_address: usize) -> Self {
            Self {
                queue: Arc::new(HandshakeQueue(FairSemaphore::new(total, per_address))),
                started: Arc::default(),
            }
        }

        fn connect(&self, number: u8, from: u8) -> (oneshot::Sender<()>, JoinHandle<()>) {
            let (finish, finished) = oneshot::channel();
            let (queue, started) = (Arc::clone(&self.queue), Arc::clone(&self.started));
            let task = tokio::spawn(async move {
                let handshake = async {
                    started.lock().push(number);
                    finished.await.unwrap();
                };
                let address = IpAddr::V4(Ipv4Addr::new(198, 18, 0, from));
                queue.run(address, handshake).await;
            });
            (finish, task)
        }

        /// Runs all tasks until they wait, without advancing the paused time, and returns those that have started.
        async fn started(&self) -> Vec<u8> {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.started.lock().clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_served_in_order() {
        let storm = Storm::new(2, 1);
        let mut clients: Vec<_> = (0..5).map(|number| storm.connect(number, number)).collect();
        for served in 0..3 {
            let expected: Vec<u8> = (0..served + 2).collect();
            assert_eq!(storm.started().await, expected);
            let (finish, task) = clients.remove(0);
            finish.send(()).unwrap();
            task.await.unwrap();
        }
        assert_eq!(storm.started().await, [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_handshake_keeps_others_waiting_only_briefly_and_can_still_complete() {
        let storm = Storm::new(1, 1);
        let (finish_stalled, stalled) = storm.connect(0, 0);
        let (finish, task) = storm.connect(1, 1);
        assert_eq!(storm.started().await, [0]);
        let start = Instant::now();
        finish.send(()).unwrap();
        task.await.unwrap();
        assert!(start.elapsed() < PERMIT_TIME * 2);
        finish_stalled.send(()).unwrap();
        stalled.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_handshakes_of_one_address_do_not_delay_other_addresses() {
        let storm = Storm::new(4, 1);
        let _stalled: Vec<_> = (0..50).map(|number| storm.connect(number, 0)).collect();
        let start = Instant::now();
        let (finish, task) = storm.connect(100, 1);
        finish.send(()).unwrap();
        task.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(storm.started().await, [0, 100]);
    }
}
