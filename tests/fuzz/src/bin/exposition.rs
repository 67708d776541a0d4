//! The metrics page of TorchServe, in the sidecar: an invalid line affects no other line, memory is bounded, and every
//! counter is finite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushscale_fuzz::within_memory;
use pushscale_sidecar::exposition::{BadLine, Sample, parse};
use pushscale_sidecar::torchserve::read_page;

fuzz_target!(|page: &[u8]| {
    let mut lines = parse(page);
    for (number, line) in (1..).zip(page.split(|byte| *byte == b'\n')) {
        let alone = parse(line)
            .next()
            .map(|result| result.map_err(|bad| BadLine { number, ..bad }));
        if let Some(alone) = alone {
            let found = lines.next().expect("the page has this line");
            assert!(is_same(&alone, &found), "{alone:?} {found:?}");
        }
    }
    assert!(lines.next().is_none(), "a line is parsed twice");

    // One value with escapes at a time.
    within_memory(page, 1, || {
        for sample in parse(page).flatten() {
            check(&sample);
        }
    });

    let read = within_memory(page, 64, || read_page(page));
    let counters = read.models.values().flat_map(|model| {
        [
            model.arrivals,
            model.wait_seconds,
            model.sojourn_seconds,
            model.service_seconds,
        ]
    });
    let host = [
        read.server.succeeded,
        read.server.failed,
        read.server.last_wait_seconds,
    ];
    for value in counters.chain(host).flatten() {
        assert!(
            (0.0..f64::INFINITY).contains(&value),
            "a counter is {value}"
        );
    }
});

fn check(sample: &Sample<'_>) {
    assert!(is_name(sample.name, ":"), "{sample:?}");
    for (name, _) in sample.labels.iter() {
        assert!(is_name(name, ""), "{sample:?}");
        assert!(sample.labels.get(name).is_some(), "{sample:?}");
    }
}

fn is_name(name: &str, marks: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || one == '_' || marks.contains(one))
}

/// Compares results of the parser. NaN equals NaN.
fn is_same(one: &Result<Sample<'_>, BadLine>, other: &Result<Sample<'_>, BadLine>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            one.value.to_bits() == other.value.to_bits()
                && (one.name, one.labels, one.timestamp_ms)
                    == (other.name, other.labels, other.timestamp_ms)
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}
