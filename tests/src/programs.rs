//! The static programs that go into containers: `make static` builds them.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests, which fail by panicking"
)]

use std::path::{Path, PathBuf};

/// `pushscale-sidecar`, built for size.
pub fn sidecar() -> PathBuf {
    built("sidecar/pushscale-sidecar")
}

/// `pushscale-aggregator`.
pub fn aggregator() -> PathBuf {
    built("release/pushscale-aggregator")
}

/// `pushscale-injector`.
pub fn injector() -> PathBuf {
    built("release/pushscale-injector")
}

/// `pushscale-load`.
pub fn load() -> PathBuf {
    built("release/pushscale-load")
}

/// `pushscale`, as `cargo build` makes it.
pub fn command_line() -> PathBuf {
    let path = target().join("debug/pushscale");
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p pushscale-cli`",
        path.display()
    );
    path
}

/// The archive of an image: `make image` builds them.
pub fn image(name: &str) -> PathBuf {
    let path = target().join("images").join(format!("{name}.tar"));
    assert!(
        path.exists(),
        "{} is not built: run `make image`",
        path.display()
    );
    path
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the repository")
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
