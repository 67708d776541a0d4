//! Where a load comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::traffic::Load;

/// Where a load comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A line of the language of loads.
    Load(Load),
    /// A recording.
    Trace {
        /// As it was found.
        file: PathBuf,
        /// So many seconds of it are left out.
        from: usize,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(load) => write!(f, "{load}"),
            Self::Trace { file, from: 0 } => write!(f, "{}", file.display()),
            Self::Trace { file, from } => write!(f, "{} from second {from}", file.display()),
        }
    }
}

/// A recording by name: beside what names it, or in one of the directories of traces.
pub(super) fn find_trace(
    named: &str,
    beside: Option<&Path>,
    directories: &[PathBuf],
) -> Result<PathBuf, String> {
    let named = Path::new(named);
    let beside = beside.map_or_else(|| named.to_owned(), |directory| directory.join(named));
    if beside.is_file() {
        return Ok(beside);
    }
    let name = named.file_name().unwrap_or(named.as_os_str());
    directories
        .iter()
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            let looked: Vec<String> = std::iter::once(&beside)
                .map(|file| file.display().to_string())
                .chain(
                    directories
                        .iter()
                        .map(|directory| directory.display().to_string()),
                )
                .collect();
            format!(
                "no trace {} (looked for {}): give its directory by --traces or PUSHSCALE_TRACES",
                named.display(),
                looked.join(" and in ")
            )
        })
}
