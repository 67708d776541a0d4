//! The directory of a cluster: its files, and the directories of other clusters.

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{self, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::ClusterError;

/// The directory of a cluster, `<root>/<name>`. It exists exactly as long as any part of the cluster exists.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    name: String,
    path: PathBuf,
}

/// The longest path of a socket in the directory: kubelet's.
const MAX_SOCKET_PATH: usize = "/kubelet/pod-resources/kubelet.sock.12345678".len();
/// The kernel's limit for the path of a socket, without the final zero.
const SOCKET_LIMIT: usize = 107;

impl StateDir {
    /// Returns the directory of a cluster with this name, which may not exist.
    pub(crate) fn of(name: &str) -> Result<Self, ClusterError> {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || name.len() > 20 || !name.chars().all(letters) {
            return Err(ClusterError::BadName {
                name: name.to_owned(),
            });
        }
        let path = root().join(name);
        let length = path.as_os_str().len();
        if length + MAX_SOCKET_PATH > SOCKET_LIMIT {
            return Err(ClusterError::PathTooLong {
                path,
                limit: SOCKET_LIMIT - MAX_SOCKET_PATH - 1 - name.len(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            path,
        })
    }

    /// Returns all clusters of this user, running or stale.
    pub(crate) fn list() -> Result<Vec<Self>, ClusterError> {
        let root = root();
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ClusterError::io("read", &root)(error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        // Other files, such as the lock, are not valid names of clusters.
        Ok(names
            .iter()
            .filter_map(|name| Self::of(name).ok())
            .filter(|state| state.path.is_dir())
            .collect())
    }

    /// Creates the directory, for its owner only, since it will contain keys. Returns false if it exists.
    pub(crate) fn create(&self) -> Result<bool, ClusterError> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(ClusterError::io("create", &self.path)(error)),
        }
    }

    /// Takes the lock that a supervisor holds while it lives. The kernel releases it when the supervisor dies in any
    /// way, so it cannot mislead like a process id in a file.
    pub(crate) fn lock(&self) -> Result<File, ClusterError> {
        let path = self.lock_file();
        let file = File::create(&path).map_err(ClusterError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ClusterError::NameTaken {
                name: self.name.clone(),
            }),
            Err(TryLockError::Error(error)) => Err(ClusterError::io("lock", &path)(error)),
        }
    }

    /// Returns whether the cluster's supervisor is alive. The caller holds the root lock.
    pub(crate) fn is_supervised(&self, _root: &RootLock) -> Result<bool, ClusterError> {
        let path = self.lock_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ClusterError::io("open", &path)(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(ClusterError::io("lock", &path)(error)),
        }
    }

    /// Removes the directory. The lock is removed last: without it the cluster would look stale.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.path() != self.lock_file() {
                fs::remove_file(entry.path())?;
            }
        }
        fs::remove_dir_all(&self.path)
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the network namespace and of the cgroup. Clusters of the same name may exist under different
    /// roots, so a part of it depends on the path.
    pub(crate) fn id(&self) -> String {
        let digest = Sha256::digest(self.path.as_os_str().as_encoded_bytes());
        let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        format!("pushscale-{}-{number:08x}", self.name)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(crate) fn log_of(&self, component: &str) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    pub(crate) fn description(&self) -> PathBuf {
        self.path.join("cluster.json")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.path.join("containerd.sock")
    }

    /// Certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.path.join("pki")
    }

    pub(crate) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.path.join(format!("{user}.kubeconfig"))
    }

    /// Returns a subdirectory, which is created if missing.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(ClusterError::io("create", &path))?;
        Ok(path)
    }

    /// Writes a file in the directory and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, ClusterError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(ClusterError::io("write", &path))?;
        Ok(path)
    }
}

/// Held while clusters are created or removed: between the creation of a directory and its supervisor's lock, a cluster
/// looks stale.
pub(crate) struct RootLock(#[expect(dead_code, reason = "held for its end")] File);

impl RootLock {
    /// Waits for the lock.
    pub(crate) fn acquire() -> Result<Self, ClusterError> {
        let root = root();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(ClusterError::io("create", &root))?;
        let path = root.join(".lock");
        let file = File::create(&path).map_err(ClusterError::io("create", &path))?;
        file.lock().map_err(ClusterError::io("lock", &path))?;
        Ok(Self(file))
    }
}

fn root() -> PathBuf {
    let user = rustix::process::geteuid();
    let root = match env::var_os("PUSHSCALE_TEST_CLUSTER_STATE") {
        Some(directory) => PathBuf::from(directory),
        None if user.is_root() => PathBuf::from("/run/pushscale-test-cluster"),
        // $TMPDIR is unsuitable: it may be long, and may differ between the shell that starts a cluster and the one
        // that stops it.
        None => PathBuf::from(format!("/tmp/pushscale-test-cluster-{}", user.as_raw())),
    };
    // The components run in another directory. Without a current directory, the path is absolute.
    path::absolute(&root).unwrap_or(root)
}
