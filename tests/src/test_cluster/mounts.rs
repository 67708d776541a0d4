//! What is mounted where, as the calling process sees it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use super::error::ClusterError;

/// The places where file systems of these types are mounted.
pub(crate) fn places_of(types: &[&str]) -> Result<Vec<PathBuf>, ClusterError> {
    Ok(table()?
        .into_iter()
        .filter(|mount| types.contains(&mount.file_system.as_str()))
        .map(|mount| mount.place)
        .collect())
}

/// Unmounts everything below a folder. Components mount in a namespace of their own, so there
/// should be nothing; but who removes a folder through a mount removes what is mounted.
pub(crate) fn unmount_below(folder: &Path) -> Result<(), ClusterError> {
    // The table has no links in its paths.
    let folder = match fs::canonicalize(folder) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ClusterError::io("find", folder)(error)),
    };
    let mut below: Vec<PathBuf> = table()?
        .into_iter()
        .map(|mount| mount.place)
        .filter(|place| place.starts_with(&folder))
        .collect();
    // The latest first: it may stand on an earlier one.
    below.reverse();
    for place in below {
        unmount(&place, UnmountFlags::DETACH)
            .map_err(|error| ClusterError::io("unmount", &place)(error.into()))?;
    }
    Ok(())
}

struct Mount {
    place: PathBuf,
    file_system: String,
}

fn table() -> Result<Vec<Mount>, ClusterError> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).map_err(ClusterError::io("read", path))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// A line is "36 35 98:0 /root /place options [optional fields] - type source options".
fn parse(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    Some(Mount {
        // The kernel writes a space as \040; the other escapes do not occur in folders of ours.
        place: PathBuf::from(mount.split(' ').nth(4)?.replace("\\040", " ")),
        file_system: file_system.split(' ').next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_a_space_is_parsed() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.place, Path::new("/mnt 2"));
        assert_eq!(mount.file_system, "ext3");
    }
}
