//! The statically linked programs for containers, built by `make static`.

use std::path::{Path, PathBuf};

/// Returns the path of `pushscale-sidecar`, built for size.
pub fn sidecar() -> PathBuf {
    built("sidecar/pushscale-sidecar")
}

/// Returns the path of `pushscale-aggregator`.
pub fn aggregator() -> PathBuf {
    built("release/pushscale-aggregator")
}

/// Returns the path of `pushscale-certificates`.
pub fn certificates() -> PathBuf {
    built("release/pushscale-certificates")
}

/// Returns the path of `pushscale-injector`.
pub fn injector() -> PathBuf {
    built("release/pushscale-injector")
}

/// Returns the path of `pushscale-load`.
pub fn load() -> PathBuf {
    built("release/pushscale-load")
}

/// Returns the path of `pushscale`, built by `cargo build`.
pub fn command_line() -> PathBuf {
    debug("pushscale", "pushscale-cli")
}

/// Returns the path of a dynamically linked `pushscale-aggregator`, built by `cargo build`.
pub fn dynamic_aggregator() -> PathBuf {
    debug("pushscale-aggregator", "pushscale-aggregator")
}

fn debug(program: &str, package: &str) -> PathBuf {
    let path = target().join("debug").join(program);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p {package}`",
        path.display()
    );
    path
}

/// Returns the archive of an image, built by `make image`.
pub fn image(name: &str) -> PathBuf {
    let path = target().join("images").join(format!("{name}.tar"));
    assert!(
        path.exists(),
        "{} is not built: run `make image`",
        path.display()
    );
    path
}

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a directory of the repository")
        .to_owned()
}

fn built(name: &str) -> PathBuf {
    let path = target().join("x86_64-unknown-linux-gnu").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `make static`",
        path.display()
    );
    path
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
