//! `pushscale trace import` in every format: no panic, a trace that `pushscale simulate` reads, or a readable error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushscale_cli::fuzzing::import;
use pushscale_fuzz::is_readable;
use pushscale_simulator::traffic::parse_trace;

fuzz_target!(|text: &[u8]| {
    for (format, is_counter) in [
        ("access-log", false),
        ("csv", false),
        ("prometheus", false),
        ("prometheus", true),
    ] {
        match import(format, text, is_counter) {
            Ok(trace) => {
                parse_trace("trace.csv", &trace).expect("the trace is valid");
            }
            Err(error) => is_readable(&error),
        }
    }
});
