//! The Python files of `local-torchserve/`, which are embedded in this library.

use std::fs;
use std::path::Path;

use super::LocalTorchServeError;

/// The directory of the files in the installation.
pub(super) const DIRECTORY: &str = "local-torchserve";
pub(super) const SCRIPT: &str = "start.py";

const FILES: [(&str, &str); 4] = [
    (SCRIPT, include_str!("../../local-torchserve/start.py")),
    (
        "sleepy_handler.py",
        include_str!("../../local-torchserve/sleepy_handler.py"),
    ),
    (
        "config.properties.in",
        include_str!("../../local-torchserve/config.properties.in"),
    ),
    (
        "stub/torch/__init__.py",
        include_str!("../../local-torchserve/stub/torch/__init__.py"),
    ),
];

/// Writes the files into `directory` if they are missing or differ. Servers of another version of this program may be
/// starting from them, so each file is replaced atomically.
pub(super) fn write(directory: &Path) -> Result<(), LocalTorchServeError> {
    for (name, text) in FILES {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        let failed = |source| LocalTorchServeError::File {
            what: "write",
            path: path.clone(),
            source,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let new = path.with_extension("new");
        fs::write(&new, text).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
    }
    Ok(())
}
