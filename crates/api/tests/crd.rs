//! The definition in the repository is what the types say. `make generate` rewrites it.

use std::path::Path;
use std::{env, fs};

use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;

#[test]
fn the_definition_in_the_repository_is_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/plain/crd.yaml");
    let generated = format!(
        "# Written by `make generate` from crates/api. Do not edit.\n{}",
        serde_saphyr::to_string(&PushScaler::crd()).unwrap()
    );
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
