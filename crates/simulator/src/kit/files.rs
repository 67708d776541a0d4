//! The kit's Python files, carried by this binary.

use std::fs;
use std::path::Path;

use super::KitError;

/// Below the installation.
pub(super) const FOLDER: &str = "kit";
pub(super) const SCRIPT: &str = "start.py";

const FILES: [(&str, &str); 4] = [
    (SCRIPT, include_str!("../../kit/start.py")),
    (
        "sleepy_handler.py",
        include_str!("../../kit/sleepy_handler.py"),
    ),
    (
        "config.properties.in",
        include_str!("../../kit/config.properties.in"),
    ),
    (
        "stub/torch/__init__.py",
        include_str!("../../kit/stub/torch/__init__.py"),
    ),
];

/// Writes them below `folder` where they are missing or differ. Servers of another version of
/// this program may be starting from them, so that each file changes in one step.
pub(super) fn write(folder: &Path) -> Result<(), KitError> {
    for (name, text) in FILES {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        let failed = |source| KitError::File {
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
