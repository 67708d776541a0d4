//! The body of a push, in the aggregator: a valid push serializes to one that parses to the same value, an invalid one
//! has a message that fits into a log line, and memory is bounded.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_fuzz::{is_close, is_readable, within_memory};
use pushscale_protocol::{MAX_MODELS, Push};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|body: &[u8]| {
    let push = match within_memory(body, 128, || Push::parse(body)) {
        Ok(push) => push,
        Err(error) => return is_readable(&error),
    };
    assert!(
        push.models.len() <= MAX_MODELS,
        "{} models",
        push.models.len()
    );
    let written = serde_json::to_vec(&push).expect("a push serializes");
    let again = Push::parse(&written).expect("a serialized push is valid");
    let [again, push] =
        [&again, &push].map(|one| serde_json::to_value(one).expect("it serializes"));
    assert!(is_close(&again, &push), "{again} {push}");
});
