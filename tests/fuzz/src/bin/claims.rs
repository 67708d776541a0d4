//! The claims of a service account token, in the aggregator. The input is a token, and the payload of another one.
//! Claims are those of the JSON, for this audience and not expired for more than a day.
#![no_main]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_aggregator::fuzzing::parse_claims;
use pushscale_fuzz::within_memory;
use pushscale_protocol::TOKEN_AUDIENCE;
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if parse_claims(text).is_ok() {
        assert_eq!(text.matches('.').count(), 2, "a token has three parts");
    }

    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(data));
    let Ok((uid, expires)) = within_memory(data, 64, || parse_claims(&token)) else {
        return;
    };
    assert!(
        expires > SystemTime::now() - Duration::from_secs(24 * 3600 + 1),
        "the token expired long ago"
    );
    // Claims skip other fields without reading their numbers, which may exceed a double.
    let Ok(payload) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let pod = &payload["kubernetes.io"]["pod"];
    // serde also reads a struct from a list.
    if !pod.is_object() {
        return;
    }
    assert_eq!(pod["uid"], uid);
    let seconds = expires
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is after yesterday");
    assert_eq!(payload["exp"], seconds.as_secs());
    let is_ours = match &payload["aud"] {
        Value::Array(audiences) => audiences.iter().any(|one| one == TOKEN_AUDIENCE),
        audience => audience == TOKEN_AUDIENCE,
    };
    assert!(is_ours, "the token is for another audience");
});
