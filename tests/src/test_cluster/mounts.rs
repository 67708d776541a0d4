//! The mounts of the calling process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use super::error::ClusterError;

/// Returns the mount points of these types of file systems.
pub(crate) fn mount_points_of(types: &[&str]) -> Result<Vec<PathBuf>, ClusterError> {
    Ok(table()?
        .into_iter()
        .filter(|mount| types.contains(&mount.file_system.as_str()))
        .map(|mount| mount.mount_point)
        .collect())
}

/// Unmounts everything below a directory. Components mount in their own namespace, so there should be nothing. But
/// removing a directory through a mount would remove the mounted files.
pub(crate) fn unmount_below(directory: &Path) -> Result<(), ClusterError> {
    // The table has no links in its paths.
    let directory = match fs::canonicalize(directory) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ClusterError::io("find", directory)(error)),
    };
    let mut below: Vec<PathBuf> = table()?
        .into_iter()
        .map(|mount| mount.mount_point)
        .filter(|mount_point| mount_point.starts_with(&directory))
        .collect();
    // The latest first: it may be on top of an earlier one.
    below.reverse();
    for mount_point in below {
        unmount(&mount_point, UnmountFlags::DETACH)
            .map_err(|error| ClusterError::io("unmount", &mount_point)(error.into()))?;
    }
    Ok(())
}

struct Mount {
    mount_point: PathBuf,
    file_system: String,
}

fn table() -> Result<Vec<Mount>, ClusterError> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).map_err(ClusterError::io("read", path))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// A line is "36 35 98:0 /root /mount_point options [optional fields] - type source options".
fn parse(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    Some(Mount {
        // The kernel writes a space as \040. The other escapes do not occur in our directories.
        mount_point: PathBuf::from(mount.split(' ').nth(4)?.replace("\\040", " ")),
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
        assert_eq!(mount.mount_point, Path::new("/mnt 2"));
        assert_eq!(mount.file_system, "ext3");
    }
}
