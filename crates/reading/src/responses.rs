//! Separates the responses to requests from those to probes, as TorchServe counts the responses of its ports together.

use std::time::Duration;

/// Window, in seconds, of the mean rate of other responses. A kubelet probes every ten seconds by default.
const OTHERS_WINDOW: f64 = 60.0;

/// Number of scrapes with completed requests over which their responses are averaged.
const MANY_SCRAPES: f64 = 60.0;

/// The responses of one server, from scrape to scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Responses {
    last: Option<Duration>,
    /// Responses per second that no request of a model got, and the seconds of which it is the mean.
    others: f64,
    seconds: f64,
    /// The mean number of responses after the first one, and the scrapes with completed requests that it averages.
    further: f64,
    scrapes: f64,
}

impl Responses {
    /// Returns how many of the 2xx responses since the last scrape were those of completed requests. `has_completed` is
    /// whether the counters of a model show one: without any, all the responses are others.
    ///
    /// With one, the first response is that of a request, even if its status is not 2xx. The further ones are split by
    /// their means. Subtracting the mean number of others each time would be off by a part of a probe each time, which
    /// adds up to as many requests in flight as a pod has workers.
    pub fn of_requests(&mut self, at: Duration, responses: f64, has_completed: bool) -> f64 {
        let last = self.last.replace(at);
        let elapsed = last.map_or(0.0, |last| at.saturating_sub(last).as_secs_f64());
        if has_completed {
            let further = (responses - 1.0).max(0.0);
            self.scrapes = (self.scrapes + 1.0).min(MANY_SCRAPES);
            self.further += (further - self.further) / self.scrapes;
            let others = self.others * elapsed / self.further.max(f64::MIN_POSITIVE);
            return 1.0 + further * (1.0 - others.min(1.0));
        }
        if elapsed > 0.0 {
            self.seconds = (self.seconds + elapsed).min(OTHERS_WINDOW.max(elapsed));
            self.others += (responses / elapsed - self.others) * elapsed / self.seconds;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_no_responses_to_requests() {
        let mut responses = Responses::default();
        let mut counted = 0.0;
        for second in 0..36_000_u32 {
            // A probe every five seconds, and two requests at once every 17 seconds.
            let probes = f64::from(u8::from(second % 5 == 0));
            let requests = f64::from(2 * u8::from(second % 17 == 0));
            let at = Duration::from_secs(second.into());
            counted += responses.of_requests(at, probes + requests, requests > 0.0);
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
            counted += responses.of_requests(at, probes, second % 17 == 0);
        }
        let exact = 36_000.0 / 17.0;
        assert!((counted - exact).abs() < 0.01 * exact, "{counted}");
    }
}
