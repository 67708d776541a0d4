//! Cases in files, and files with their expected results, which `PUSHSCALE_GENERATE=1` rewrites. The tests of several
//! crates include this file.

#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Returns the entries of a directory, relative to the crate, whose names end in `ending`, sorted. Asserts that there
/// are at least `least`.
pub(crate) fn files(directory: &str, ending: &str, least: usize) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    assert!(files.len() >= least, "{} files", files.len());
    files
}

/// Whether a file has this content.
pub(crate) fn matches(file: &Path, found: &str) -> bool {
    if env::var_os("PUSHSCALE_GENERATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, found).unwrap();
    }
    fs::read_to_string(file).is_ok_and(|expected| expected == found)
}

/// Asserts that a file has this content.
pub(crate) fn check(file: &Path, found: &str) {
    if !matches(file, found) {
        let expected = fs::read_to_string(file).unwrap_or_default();
        assert_eq!(found, expected, "{}", file.display());
    }
}
