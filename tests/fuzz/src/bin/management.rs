//! The management API of TorchServe, in the sidecar: names fit into a push and a path, numbers are finite and not
//! negative, and memory is bounded.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_fuzz::within_memory;
use pushscale_protocol::{MAX_MODELS, MAX_NAME_BYTES};
use pushscale_sidecar::torchserve::{ModelList, Queues, describe_path};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|body: &[u8]| {
    if let Ok(list) = within_memory(body, 32, || serde_json::from_slice::<ModelList<'_>>(body)) {
        let names: Vec<String> = list.names().collect();
        assert!(names.len() <= MAX_MODELS, "{} models", names.len());
        for name in names {
            assert!((1..=MAX_NAME_BYTES).contains(&name.len()), "{name:?}");
            let path = describe_path(&name);
            let encoded = path
                .strip_prefix("/models/")
                .and_then(|rest| rest.strip_suffix("/all"));
            let encoded = encoded.expect("the path has this form");
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            assert!(encoded.bytes().all(is_safe), "{path:?}");
            assert_eq!(decode(encoded), name.as_bytes(), "{path:?}");
        }
    }
    if let Ok(queues) = within_memory(body, 64, || serde_json::from_slice::<Queues<'_>>(body))
        && let Some(sum) = queues.sum()
    {
        for value in [
            sum.waiting,
            sum.capacity_left,
            sum.workers_ready,
            sum.batch_size,
            sum.batch_delay_seconds,
        ] {
            assert!((0.0..f64::INFINITY).contains(&value), "{sum:?}");
        }
        assert!(sum.batch_size >= 1.0, "{sum:?}");
    }
});

/// Decodes a percent-encoded segment of a path.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = String::from_utf8(digits).expect("hexadecimal digits");
            u8::from_str_radix(&digits, 16).expect("hexadecimal digits")
        } else {
            byte
        });
    }
    decoded
}
