//! The CRDs in the repository are generated from the types. `make generate` rewrites them.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use kube::CustomResourceExt as _;
use pushscale_api::{PushScaler, PushScalerCheckpoint};

#[test]
fn the_crds_in_the_repository_match_the_types() {
    let scaler = serde_saphyr::to_string(&PushScaler::crd()).unwrap();
    let checkpoint = serde_saphyr::to_string(&PushScalerCheckpoint::crd()).unwrap();
    // One file for kubectl, and two for Helm, which cannot read files outside of a chart's directory.
    for (file, content) in [
        ("plain/crd.yaml", format!("{scaler}---\n{checkpoint}")),
        ("pushscale/files/crd.yaml", scaler),
        ("pushscale/files/checkpoint-crd.yaml", checkpoint),
    ] {
        let generated =
            format!("# Written by `make generate` from crates/api. Do not edit.\n{content}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../helm")
            .join(file);
        assert!(
            golden::matches(&file, &generated),
            "{} differs from crates/api: run `make generate`",
            file.display()
        );
    }
}
