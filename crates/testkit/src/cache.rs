//! The cache directory for results that are slow to produce. `cargo clean` does not delete it.

use std::env;
use std::path::PathBuf;

/// Returns `$PUSHSCALE_CACHE`, or `~/.cache/pushscale`.
pub fn directory() -> PathBuf {
    if let Some(directory) = env::var_os("PUSHSCALE_CACHE") {
        return PathBuf::from(directory);
    }
    let home = env::var_os("HOME").map_or_else(env::temp_dir, PathBuf::from);
    home.join(".cache/pushscale")
}
