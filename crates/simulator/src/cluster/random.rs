//! Chance, from a seed.

use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator of everything here: small, quick, and the same on every machine.
pub(crate) type Random = Xoshiro256PlusPlus;

/// A generator for each thing that is drawn. With one for all, a pod more would change the load, and two controllers
/// under the same seed would not be under the same load.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) arrivals: Random,
    pub(super) services: Random,
    pub(super) balancing: Random,
    pub(super) pods: Random,
    pub(super) faults: Random,
}

impl Streams {
    pub(super) fn of(seed: u64) -> Self {
        // The seed goes through SplitMix64, so that neighbouring ones are as good as any.
        let stream = |number: u64| Random::seed_from_u64(seed.wrapping_mul(8).wrapping_add(number));
        Self {
            arrivals: stream(0),
            services: stream(1),
            balancing: stream(2),
            pods: stream(3),
            faults: stream(4),
        }
    }
}
