//! Random numbers from a seed.

use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The random number generator: small, fast, and the same on every machine.
pub type Random = Xoshiro256PlusPlus;

/// One random number generator per purpose. With a single one, an additional pod would change the load, and two
/// controllers with the same seed would not get the same load.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) arrivals: Random,
    pub(super) services: Random,
    pub(super) balancing: Random,
    pub(super) pods: Random,
    pub(super) faults: Random,
    pub(super) clients: Random,
}

impl Streams {
    pub(super) fn from_seed(seed: u64) -> Self {
        // SplitMix64 expands the seed, so that neighbouring seeds give independent streams.
        let stream = |number: u64| Random::seed_from_u64(seed.wrapping_mul(8).wrapping_add(number));
        Self {
            arrivals: stream(0),
            services: stream(1),
            balancing: stream(2),
            pods: stream(3),
            faults: stream(4),
            clients: stream(5),
        }
    }
}
