//! Separates the responses to requests from those to probes, as TorchServe counts the responses of its ports together.

use std::time::Duration;

/// Window, in seconds, of the mean rate of responses to probes. A kubelet probes every ten seconds by default.
const PROBE_WINDOW_SECONDS: f64 = 60.0;

/// The number of scrapes with completed requests over which their responses are averaged.
const MEAN_SCRAPES: f64 = 60.0;

/// The responses of one server, from scrape to scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Responses {
    last: Option<Duration>,
    /// The mean number of responses per second to others than requests, and the seconds that it averages.
    probe_rate: f64,
    probe_seconds: f64,
    /// The mean number of responses after the first one, and the scrapes with completed requests that it averages.
    mean_extra: f64,
    completed_scrapes: f64,
}

impl Responses {
    /// Returns how many of the 2xx responses since the last scrape belong to completed requests. `has_completed` is
    /// whether the counters of a model show one; without any, all responses are those to probes.
    ///
    /// With one, the first response belongs to a request, even if its status is not 2xx. The other responses are split
    /// by their means. Subtracting the mean number of probes each time would be wrong by a fraction of a probe each
    /// time, and these errors would add up to one in-flight request per worker of a pod.
    pub fn count_request_responses(
        &mut self,
        at: Duration,
        responses: f64,
        has_completed: bool,
    ) -> f64 {
        let last = self.last.replace(at);
        let elapsed = last.map_or(0.0, |last| at.saturating_sub(last).as_secs_f64());
        if has_completed {
            let extra = (responses - 1.0).max(0.0);
            self.completed_scrapes = (self.completed_scrapes + 1.0).min(MEAN_SCRAPES);
            self.mean_extra += (extra - self.mean_extra) / self.completed_scrapes;
            let probes = self.probe_rate * elapsed / self.mean_extra.max(f64::MIN_POSITIVE);
            return 1.0 + extra * (1.0 - probes.min(1.0));
        }
        if elapsed > 0.0 {
            self.probe_seconds =
                (self.probe_seconds + elapsed).min(PROBE_WINDOW_SECONDS.max(elapsed));
            self.probe_rate +=
                (responses / elapsed - self.probe_rate) * elapsed / self.probe_seconds;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_responses_are_not_request_responses() {
        let mut responses = Responses::default();
        let mut counted = 0.0;
        for second in 0..36_000_u32 {
            // A probe every five seconds, and two requests at once every 17 seconds.
            let probes = f64::from(u8::from(second % 5 == 0));
            let requests = f64::from(2 * u8::from(second % 17 == 0));
            let at = Duration::from_secs(second.into());
            counted += responses.count_request_responses(at, probes + requests, requests > 0.0);
        }
        let exact = 2.0 * 36_000.0 / 17.0;
        assert!((counted - exact).abs() < 0.01 * exact, "{counted}");
    }

    #[test]
    fn a_completed_request_counts_whatever_its_status() {
        let mut responses = Responses::default();
        let mut counted = 0.0;
        for second in 0..36_000_u32 {
            // A probe every five seconds, and a request every 17 seconds whose status is 400.
            let probes = f64::from(u8::from(second % 5 == 0));
            let at = Duration::from_secs(second.into());
            counted += responses.count_request_responses(at, probes, second % 17 == 0);
        }
        let exact = 36_000.0 / 17.0;
        assert!((counted - exact).abs() < 0.01 * exact, "{counted}");
    }
}
