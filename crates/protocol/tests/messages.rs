//! Every message in `testdata` must always parse. Every message in `testdata/rejected` is rejected with the error on
//! the first line of its file.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::error::Error as _;
use std::fs;

use golden::files;
use pushscale_protocol::{Basis, MAX_BODY_BYTES, MAX_MODELS, Model, Push, State};

#[test]
fn messages_of_version_1_parse() {
    for file in files("testdata", "-v1.json", 1) {
        let body = fs::read(&file).unwrap();
        if let Err(error) = Push::parse(&body) {
            panic!("{}: {error}", file.display());
        }
    }
}

#[test]
fn encoded_messages_parse() {
    for file in files("testdata", "-v1.json", 1) {
        let body = fs::read(&file).unwrap();
        let push = Push::parse(&body).unwrap();
        let written = serde_json::to_vec(&push).unwrap();
        // Values of a newer release are lost.
        if !file.ends_with("newer-sidecar-v1.json") {
            assert_eq!(Push::parse(&written).unwrap(), push, "{}", file.display());
        }
    }
}

#[test]
fn invalid_messages_are_rejected_with_the_expected_error() {
    for file in files("testdata/rejected", ".txt", 1) {
        let text = fs::read_to_string(&file).unwrap();
        let (expected, body) = text.split_once('\n').unwrap();
        let error = Push::parse(body.trim_end().as_bytes()).expect_err(&file.display().to_string());
        let error = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        assert!(
            error.starts_with(expected),
            "{}:\n  error    {error}\n  expected {expected}",
            file.display()
        );
    }
}

#[test]
fn unknown_values_of_a_newer_sidecar_parse_as_unknown() {
    let body = include_bytes!("../testdata/newer-sidecar-v1.json");
    let push = Push::parse(body).unwrap();
    assert_eq!(push.server.state, State::Unknown);
    assert_eq!(push.models[0].basis, Basis::Unknown);
    assert_eq!(push.models[0].queue_latency_seconds, None);
}

#[test]
fn counts_missing_from_an_older_sidecar_are_none() {
    let body = include_bytes!("../testdata/overloaded-v1.json");
    let push = Push::parse(body).unwrap();
    let model = &push.models[0];
    assert_eq!(model.arrivals_total, Some(143.0));
    assert_eq!(
        (model.rejected_total, model.completed_total, model.in_flight),
        (None, None, None),
        "absent is not zero"
    );
}

#[test]
fn the_largest_reading_fits_the_body_limit() {
    let body = include_bytes!("../testdata/queue-full-v1.json");
    let mut push = Push::parse(body).unwrap();
    let model = push.models[0].clone();
    push.models = (0..MAX_MODELS)
        .map(|index| Model {
            name: format!("a-model-name-of-usual-length-{index}").into(),
            arrivals_total: Some(9_007_199_254_740_991.0),
            rejected_total: Some(9_007_199_254_740_991.0),
            completed_total: Some(1_234_567_890_123.456_7),
            in_flight: Some(1.789_034_567_890_123),
            wait_seconds_total: Some(1_234_567_890.123_456_7),
            ..model.clone()
        })
        .collect();
    let written = serde_json::to_vec(&push).unwrap();
    assert!(written.len() <= MAX_BODY_BYTES, "{} bytes", written.len());
    assert!(Push::parse(&written).is_ok());
}
