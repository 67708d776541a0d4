//! The clients of the pods.

/// The clients and what is between them and the pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    /// The share of gRPC requests. TorchServe counts them as arrivals, but not in its latency counters.
    pub grpc_share: GrpcShare,
    /// The number of connections that stay open; 0 if each request chooses its pod. Each request uses a random
    /// connection. A connection is opened again when its pod is no longer ready.
    pub connections: u32,
    /// The number of load balancers. Each knows only its own requests.
    pub balancers: u32,
    /// The wait after which a client gives up on a request, in seconds, and repeats it as a failed one; `None` if it
    /// waits for the response. The server does not notice.
    pub timeout: Option<f64>,
    /// How long each user waits between a response and the next request, in seconds; then the load is the number of
    /// users. `None` if requests arrive independently of responses.
    pub think_time: Option<f64>,
    /// How often a client repeats a failed request. It waits a second before the first repetition, and twice as long
    /// before each further one.
    pub retries: u32,
}

/// A share of the requests, which may change during the run.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcShare {
    /// The shares at these seconds, in order. The share changes linearly between two points, and is constant before the
    /// first and after the last.
    points: Vec<(usize, f64)>,
}

impl GrpcShare {
    /// Returns a constant share.
    pub fn constant(share: f64) -> Self {
        Self {
            points: vec![(0, share)],
        }
    }

    /// Returns a share that has these values at these seconds; `None` if there are no points or they are not in order.
    pub fn changing(points: Vec<(usize, f64)>) -> Option<Self> {
        if let [(_, share)] = points[..] {
            return Some(Self::constant(share));
        }
        let valid = !points.is_empty() && points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        valid.then_some(Self { points })
    }

    /// Returns the seconds with their shares, in order.
    pub fn points(&self) -> &[(usize, f64)] {
        &self.points
    }

    /// Returns the share in this second.
    pub fn at(&self, second: usize) -> f64 {
        let next = self.points.partition_point(|(at, _)| *at <= second);
        let before = next.checked_sub(1).map(|index| self.points[index]);
        match (before, self.points.get(next).copied()) {
            (Some((from, low)), Some((to, high))) => {
                low + (high - low) * (second - from) as f64 / (to - from) as f64
            }
            (Some((_, share)), None) | (None, Some((_, share))) => share,
            (None, None) => 0.0,
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            grpc_share: GrpcShare::constant(0.0),
            connections: 0,
            balancers: 1,
            timeout: None,
            think_time: None,
            retries: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_changes_linearly_between_two_points() {
        let share = GrpcShare::changing(vec![(100, 0.2), (200, 0.6)]).unwrap();
        let found = [0, 100, 150, 200, 300].map(|second| share.at(second));
        assert_eq!(found, [0.2, 0.2, 0.4, 0.6, 0.6]);
        assert_eq!(GrpcShare::changing(vec![(200, 0.2), (100, 0.6)]), None);
    }
}
