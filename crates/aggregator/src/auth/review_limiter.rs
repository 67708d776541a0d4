//! Limits the reviews in progress, in total, of one address and of one pod, and those of denied tokens.
//!
//! When the total is reached, the address with the most reviews loses one that still waits: an attacker with a
//! hundred addresses displaces its own reviews, and not the one of a new pod.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pushscale_decision::PodUid;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::AuthError;

/// Maximum reviews in progress. One that waits holds its token, which is at most 8 KiB.
pub(super) const MAX_IN_PROGRESS: usize = 1024;

/// Reviews of one address that are in progress or ended with a denial in the current window. A well-behaved sidecar has
/// one in progress, once per token, and no denials. An address that may have several requests at a time may have this
/// many for each.
const MAX_PER_ADDRESS: usize = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Reviews in progress of tokens that claim to be of one pod, which has one, and two at a renewal. This is more than
/// one address has, so that the forged tokens of one address do not keep out the pod.
const MAX_PER_POD: usize = 16;

/// Maximum tracked addresses: more than a cluster has misconfigured pods at one time, and than reviews in progress.
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug)]
pub(super) struct ReviewLimiter {
    max_per_address: usize,
    addresses: Mutex<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    usage: HashMap<IpAddr, Usage>,
    /// The addresses of which a review waits, the one with the most reviews in progress last.
    by_usage: BTreeSet<(usize, IpAddr)>,
    /// The reviews in progress of each pod.
    by_pod: HashMap<PodUid, usize>,
    /// The reviews in progress of all addresses.
    in_progress: usize,
    /// The number of the next review.
    next: u64,
}

#[derive(Debug)]
struct Usage {
    /// Reviews that wait for their request to the API server, in order of arrival.
    waiting: VecDeque<WaitingReview>,
    /// Reviews whose request was sent.
    requests: usize,
    denials: usize,
    window_start: Instant,
}

/// A review that waits for its turn.
#[derive(Debug)]
pub(super) struct WaitingReview {
    number: u64,
    /// The token. It is kept here, so that a displaced review frees it at once.
    pub(super) token: String,
    /// Dropped when the review is displaced.
    _displaced: oneshot::Sender<Infallible>,
}

/// Completes when the review is displaced by one of another address, which only happens while it waits.
pub(super) type Displaced = oneshot::Receiver<Infallible>;

/// The permit of an address for one review. Dropping it ends the review.
#[derive(Debug)]
pub(super) struct ReviewPermit {
    limiter: Arc<ReviewLimiter>,
    address: IpAddr,
    pod: PodUid,
    number: u64,
    /// Whether the request to the API server was sent.
    started: bool,
}

impl Usage {
    fn in_progress(&self) -> usize {
        self.waiting.len() + self.requests
    }

    /// Returns the reviews in progress, if one of them waits and can be displaced.
    fn displaceable(&self) -> Option<usize> {
        (!self.waiting.is_empty()).then(|| self.in_progress())
    }

    /// Removes a review from those that wait.
    fn take(&mut self, number: u64) -> Option<WaitingReview> {
        let at = self.waiting.iter().position(|one| one.number == number)?;
        self.waiting.remove(at)
    }

    /// Starts a new window if the current one is over.
    fn advance(&mut self, now: Instant) {
        if now.duration_since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.denials = 0;
        }
    }

    /// Whether the entry can be dropped. After a restart every pod has a review, but few have a denial.
    fn is_idle(&self, now: Instant) -> bool {
        let is_over = now.duration_since(self.window_start) >= WINDOW;
        self.in_progress() == 0 && (self.denials == 0 || is_over)
    }
}

impl ReviewLimiter {
    /// Creates a limiter for addresses that may have this many concurrent requests to the API server.
    pub(super) fn new(requests_per_address: usize) -> Self {
        Self {
            max_per_address: MAX_PER_ADDRESS * requests_per_address,
            addresses: Mutex::default(),
        }
    }

    /// Reserves a review of `token`, which claims to be of `pod`, *before* it starts, so that requests in parallel
    /// cannot exceed the limits.
    pub(super) fn try_reserve(
        self: &Arc<Self>,
        address: IpAddr,
        pod: &PodUid,
        token: &str,
    ) -> Result<(ReviewPermit, Displaced), AuthError> {
        let now = Instant::now();
        let mut addresses = self.addresses.lock();
        addresses.forget_idle(address, now);
        let is_full = addresses.in_progress >= MAX_IN_PROGRESS;
        let usage = addresses.usage.entry(address).or_insert_with(|| Usage {
            waiting: VecDeque::new(),
            requests: 0,
            denials: 0,
            window_start: now,
        });
        usage.advance(now);
        let own = usage.in_progress();
        if own + usage.denials >= self.max_per_address {
            return Err(AuthError::TooManyReviews);
        }
        let of_pod = addresses.by_pod.get(pod).copied().unwrap_or_default();
        if of_pod >= MAX_PER_POD || (is_full && !addresses.displace(own + 1)) {
            return Err(AuthError::ReviewUnavailable);
        }
        addresses.by_pod.insert(pod.clone(), of_pod + 1);
        let number = addresses.next;
        addresses.next += 1;
        addresses.in_progress += 1;
        let (sender, displaced) = oneshot::channel();
        let review = WaitingReview {
            number,
            token: token.to_owned(),
            _displaced: sender,
        };
        addresses.change(address, |usage| usage.waiting.push_back(review));
        let permit = ReviewPermit {
            limiter: Arc::clone(self),
            address,
            pod: pod.clone(),
            number,
            started: false,
        };
        Ok((permit, displaced))
    }
}

impl Addresses {
    /// Makes room for `address`.
    fn forget_idle(&mut self, address: IpAddr, now: Instant) {
        if self.usage.len() < MAX_ADDRESSES || self.usage.contains_key(&address) {
            return;
        }
        self.usage.retain(|_, usage| !usage.is_idle(now));
        if self.usage.len() >= MAX_ADDRESSES {
            // Forget denials rather than reject addresses that have none.
            self.usage.retain(|_, usage| usage.in_progress() > 0);
        }
    }

    fn end_review_of(&mut self, pod: &PodUid) {
        if let Some(count) = self.by_pod.get_mut(pod) {
            *count -= 1;
            if *count == 0 {
                self.by_pod.remove(pod);
            }
        }
    }

    /// Changes the reviews of an address. Returns `None` if it has none.
    fn change<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut Usage) -> T) -> Option<T> {
        let usage = self.usage.get_mut(&address)?;
        let before = usage.displaceable();
        let changed = change(usage);
        let after = usage.displaceable();
        if before != after {
            if let Some(before) = before {
                self.by_usage.remove(&(before, address));
            }
            if let Some(after) = after {
                self.by_usage.insert((after, address));
            }
        }
        Some(changed)
    }

    /// Ends the newest waiting review of the address with the most reviews, if it has more than `own`. Returns whether
    /// there was one. While the total is reached, each new token of an attack does this: a search of 4,096 addresses
    /// takes 7 µs, in which no other token can be reviewed.
    fn displace(&mut self, own: usize) -> bool {
        let Some((_, address)) = self
            .by_usage
            .last()
            .filter(|(most, _)| *most > own)
            .copied()
        else {
            return false;
        };
        self.change(address, |usage| usage.waiting.pop_back());
        self.in_progress -= 1;
        true
    }
}

impl ReviewPermit {
    /// Returns the pod that the token claims to be of.
    pub(super) fn pod(&self) -> &PodUid {
        &self.pod
    }

    /// Begins the request to the API server: from here on the review cannot be displaced. Returns `None` if it was.
    pub(super) fn start(&mut self) -> Option<WaitingReview> {
        let number = self.number;
        let mut addresses = self.limiter.addresses.lock();
        let review = addresses.change(self.address, |usage| {
            let review = usage.take(number)?;
            usage.requests += 1;
            Some(review)
        })??;
        self.started = true;
        Some(review)
    }

    /// Counts a denial against the address.
    pub(super) fn record_denial(self) {
        if let Some(usage) = self.limiter.addresses.lock().usage.get_mut(&self.address) {
            usage.advance(Instant::now());
            usage.denials += 1;
        }
    }
}

impl Drop for ReviewPermit {
    fn drop(&mut self) {
        let mut addresses = self.limiter.addresses.lock();
        addresses.end_review_of(&self.pod);
        let ended = addresses.change(self.address, |usage| {
            if self.started {
                usage.requests -= 1;
                return true;
            }
            usage.take(self.number).is_some()
        });
        // A displaced review is not counted any more.
        if ended == Some(true) {
            addresses.in_progress -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    struct Fixture {
        limiter: Arc<ReviewLimiter>,
        reviews: Vec<(ReviewPermit, Displaced)>,
        started: Vec<WaitingReview>,
    }

    impl Fixture {
        /// Reserves `each` reviews of each of `addresses` addresses.
        fn new(addresses: u32, each: usize) -> Self {
            let mut fixture = Self {
                limiter: Arc::new(ReviewLimiter::new(1)),
                reviews: Vec::new(),
                started: Vec::new(),
            };
            for address in 0..addresses {
                for _ in 0..each {
                    assert_eq!(fixture.reserve(address), Ok(()), "{address}");
                }
            }
            fixture
        }

        fn reserve(&mut self, address: u32) -> Result<(), AuthError> {
            // Each review is of another pod.
            let pod = PodUid::from(self.reviews.len().to_string());
            let address = IpAddr::V4(Ipv4Addr::from(address));
            self.reviews
                .push(self.limiter.try_reserve(address, &pod, "t")?);
            Ok(())
        }

        fn start_all(&mut self) {
            for (permit, _) in &mut self.reviews {
                self.started.push(permit.start().unwrap());
            }
        }

        fn in_progress(&self) -> usize {
            self.limiter.addresses.lock().in_progress
        }

        /// Returns the displaced reviews: the address of each, and its index among those of the address.
        fn displaced(&mut self) -> Vec<(IpAddr, u64)> {
            let reviews = self.reviews.iter_mut();
            reviews
                .filter_map(|(permit, displaced)| {
                    let closed = oneshot::error::TryRecvError::Closed;
                    (displaced.try_recv() == Err(closed)).then_some((permit.address, permit.number))
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn the_address_with_the_most_reviews_loses_its_newest() {
        // 126 addresses have 8 reviews each, one has 9, and one has 7.
        let mut fixture = Fixture::new(127, 8);
        for _ in 0..7 {
            fixture.reserve(200).unwrap();
        }
        fixture.reserve(3).unwrap();
        assert_eq!(fixture.in_progress(), MAX_IN_PROGRESS);
        let newest = u64::try_from(MAX_IN_PROGRESS).unwrap() - 1;
        fixture.reserve(201).unwrap();
        let most = IpAddr::V4(Ipv4Addr::from(3));
        assert_eq!(fixture.displaced(), [(most, newest)]);
        assert_eq!(fixture.in_progress(), MAX_IN_PROGRESS);
        // A displaced review cannot start, and frees nothing when it ends.
        let (mut displaced, _) = fixture.reviews.remove(MAX_IN_PROGRESS - 1);
        assert!(displaced.start().is_none());
        drop(displaced);
        assert_eq!(fixture.in_progress(), MAX_IN_PROGRESS);
        fixture.reviews.clear();
        assert_eq!(fixture.in_progress(), 0);
    }

    #[tokio::test]
    async fn an_address_does_not_displace_reviews_of_an_equally_busy_one() {
        let mut fixture = Fixture::new(256, 4);
        for _ in 0..3 {
            assert_eq!(fixture.reserve(300), Ok(()));
        }
        assert_eq!(fixture.reserve(300), Err(AuthError::ReviewUnavailable));
        assert_eq!(fixture.displaced().len(), 3);
    }

    #[tokio::test]
    async fn a_review_that_has_started_is_not_displaced() {
        let mut fixture = Fixture::new(256, 4);
        fixture.start_all();
        assert_eq!(fixture.reserve(300), Err(AuthError::ReviewUnavailable));
        assert_eq!(fixture.displaced(), []);
        fixture.reviews.pop();
        assert_eq!(fixture.reserve(300), Ok(()));
    }

    #[tokio::test]
    async fn the_order_of_the_addresses_follows_each_change() {
        let mut fixture = Fixture::new(0, 0);
        let mut random: u32 = 1;
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [action, address, at, _] = random.to_be_bytes();
            match action {
                0..10 if !fixture.reviews.is_empty() => {
                    let at = usize::from(at) % fixture.reviews.len();
                    drop(fixture.reviews.swap_remove(at));
                }
                10..15 if !fixture.reviews.is_empty() => {
                    let at = usize::from(at) % fixture.reviews.len();
                    if !fixture.reviews[at].0.started {
                        fixture.started.extend(fixture.reviews[at].0.start());
                    }
                }
                _ => {
                    fixture.reserve(u32::from(address)).ok();
                }
            }
            let addresses = fixture.limiter.addresses.lock();
            let usage = addresses.usage.iter();
            let expected: BTreeSet<_> = usage
                .filter(|(_, usage)| !usage.waiting.is_empty())
                .map(|(address, usage)| (usage.waiting.len() + usage.requests, *address))
                .collect();
            assert_eq!(addresses.by_usage, expected, "{step}");
        }
        let displaced = fixture.displaced().len();
        assert!(displaced > 100, "{displaced}");
    }
}
