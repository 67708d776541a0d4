//! The scrape intervals that aggregators request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;

/// The interval that each aggregator requests. The longest one applies: if the last one did, two aggregators that
/// disagree would change it with every push.
#[derive(Clone, Debug)]
pub(crate) struct RequestedIntervals(watch::Sender<BTreeMap<SocketAddr, Duration>>);

/// Receives changes of the longest interval.
#[derive(Clone, Debug)]
pub(crate) struct LongestInterval(watch::Receiver<BTreeMap<SocketAddr, Duration>>);

pub(crate) fn new() -> (RequestedIntervals, LongestInterval) {
    let (sender, receiver) = watch::channel(BTreeMap::new());
    (RequestedIntervals(sender), LongestInterval(receiver))
}

impl RequestedIntervals {
    /// Records the request of an aggregator; `None` or an invalid number if there is none or the aggregator is gone.
    pub(super) fn set(&self, aggregator: SocketAddr, seconds: Option<f64>) {
        let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.0.send_if_modified(|requested| {
            let before = match interval {
                Some(interval) => requested.insert(aggregator, interval),
                None => requested.remove(&aggregator),
            };
            before != interval
        });
    }
}

impl LongestInterval {
    /// Waits for a change and returns the longest interval. Once all clients have ended, it waits forever.
    pub(crate) async fn changed(&mut self) -> Option<Duration> {
        if self.0.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.0.borrow_and_update().values().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_interval_applies_until_its_aggregator_is_removed() {
        let (requested, mut longest) = new();
        let [first, second] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        requested.set(first, Some(2.0));
        assert_eq!(longest.changed().await, seconds(2));
        requested.set(second, Some(3.0));
        assert_eq!(longest.changed().await, seconds(3));
        requested.set(first, Some(1.0));
        assert_eq!(longest.changed().await, seconds(3));
        requested.set(second, None);
        assert_eq!(longest.changed().await, seconds(1));
        requested.set(first, Some(f64::NAN));
        assert_eq!(longest.changed().await, None);
    }
}
