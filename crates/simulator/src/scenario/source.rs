//! The source of a load.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::traffic::Load;

/// The source of a load.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A load in the small language of [`Load`].
    Load(Load),
    /// A trace.
    Trace {
        /// The path of the file.
        file: PathBuf,
        /// Seconds of the trace to skip.
        skip: usize,
    },
    /// A recorded load that is not in a file.
    Record {
        /// Its name.
        name: String,
        /// Seconds of the record to skip.
        skip: usize,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(load) => write!(f, "{load}"),
            Self::Trace { file, skip: 0 } => write!(f, "{}", file.display()),
            Self::Trace { file, skip } => write!(f, "{} from second {skip}", file.display()),
            Self::Record { name, skip: 0 } => f.write_str(name),
            Self::Record { name, skip } => write!(f, "{name} from second {skip}"),
        }
    }
}

/// Finds a trace by name: in the directory of the scenario file, or in one of the trace directories.
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
                "trace {} not found (looked for {}): set its directory with --traces or PUSHSCALE_TRACES",
                named.display(),
                looked.join(" and in ")
            )
        })
}
