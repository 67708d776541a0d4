//! The CRDs in the repository are generated from the types. `make generate` rewrites them.

use std::path::Path;
use std::{env, fs};

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
        if env::var_os("PUSHSCALE_GENERATE").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &generated).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == generated,
            "{} differs from crates/api: run `make generate`",
            file.display()
        );
    }
}
