//! Where things that are slow to make are kept between runs.

use std::path::PathBuf;

/// `$PUSHSCALE_CACHE`, or `~/.cache/pushscale`.
pub fn folder() -> PathBuf {
    let given = std::env::var_os("PUSHSCALE_CACHE").map(PathBuf::from);
    given.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map_or_else(|| "/tmp".into(), PathBuf::from);
        home.join(".cache/pushscale")
    })
}
