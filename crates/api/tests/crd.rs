//! The CRDs in the repository are generated from the types. `make generate` rewrites them.

use std::path::Path;
use std::{env, fs};

use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;

/// One for kubectl, and one for Helm, which cannot read files outside of a chart's directory.
const FILES: [&str; 2] = ["plain/crd.yaml", "pushscale/files/crd.yaml"];

#[test]
fn the_crds_in_the_repository_match_the_types() {
    let generated = format!(
        "# Written by `make generate` from crates/api. Do not edit.\n{}",
        serde_saphyr::to_string(&PushScaler::crd()).unwrap()
    );
    for file in FILES {
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
