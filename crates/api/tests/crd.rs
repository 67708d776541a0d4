//! The definition in the repository is what the types say. `make generate` rewrites it.

use std::path::Path;
use std::{env, fs};

use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;

/// For kubectl, and for Helm, which reads nothing outside a chart's own folder.
const FILES: [&str; 2] = ["plain/crd.yaml", "pushscale/files/crd.yaml"];

#[test]
fn the_definition_in_the_repository_is_what_the_types_say() {
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
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == generated,
            "{} is not what crates/api says: run `make generate`",
            file.display()
        );
    }
}
