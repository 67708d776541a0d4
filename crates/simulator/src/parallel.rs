//! Runs independent jobs on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Interval of the calls of `waiting`.
const WAIT: Duration = Duration::from_millis(200);

/// Returns the results of `work` for each number below `jobs`, in this order. The caller's thread calls `waiting` a few
/// times per second until all jobs are done.
pub fn in_parallel<T: Send>(
    jobs: usize,
    work: &(dyn Fn(usize) -> T + Sync),
    waiting: &mut dyn FnMut(),
) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<T>> = (0..jobs).map(|_| None).collect();
    thread::scope(|scope| {
        let (done, results_of) = mpsc::channel();
        for _ in 0..cores.min(jobs) {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs || done.send((job, work(job))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        loop {
            match results_of.recv_timeout(WAIT) {
                Ok((job, result)) => results[job] = Some(result),
                Err(RecvTimeoutError::Timeout) => waiting(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    // The scope propagates the panic of a worker, so no result is missing here.
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::in_parallel;

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let results = in_parallel(100, &|job| job * job, &mut || {});
        assert_eq!(results, (0..100).map(|job| job * job).collect::<Vec<_>>());
        assert!(in_parallel(0, &|job| job, &mut || {}).is_empty());
    }
}
