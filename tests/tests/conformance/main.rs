//! Compares `algorithm: Ratio` with the recorded decisions of the real HorizontalPodAutoscaler of Kubernetes v1.37.2,
//! and with its controller.
//!
//! `conformance/*.jsonl` contain one case per line. `conformance/README.md` describes the fields.

#![cfg(test)]

mod order;
mod recorded;
mod upstream;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use pushscale_tests::conformance::{Case, read_cases};

/// Cases with one metric.
const SAMPLE: &str = "hpa-sample.jsonl";
/// Cases with several metrics.
const SEVERAL: &str = "several-metrics.jsonl";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conformance")
        .join(file)
}

fn cases(file: &str) -> Vec<Case> {
    read_cases(BufReader::new(File::open(path(file)).unwrap()))
        .map(Result::unwrap)
        .collect()
}
