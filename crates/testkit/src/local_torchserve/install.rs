//! Installs TorchServe in a virtual environment, once per machine.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::command::{output, succeed};
use super::files;
use super::{LocalTorchServeError, Programs};

/// The installed packages, without their dependencies. TorchServe also declares Pillow, packaging and wheel, which are
/// not needed here, and imports torch, which `local-torchserve/stub` replaces.
const PACKAGES: [&str; 3] = ["torchserve==0.12.0", "psutil==7.2.2", "PyYAML==6.0.3"];

const NAME: &str = "torchserve-0.12.0";
/// The virtual environment in the installation.
pub(super) const VENV: &str = "venv";
/// The marker of a complete installation. It is written last, because a virtual environment contains its own path and
/// therefore cannot be created elsewhere and renamed.
const MARKER: &str = "installed";

const WAIT_FOR_OTHERS: Duration = Duration::from_secs(600);
const MAKE_VENV: Duration = Duration::from_secs(120);
const DOWNLOAD: Duration = Duration::from_secs(600);

/// Installs TorchServe if it is missing, and returns the directory of the installation.
pub(super) async fn install(
    cache: &Path,
    programs: &Programs,
    mut progress: impl FnMut(&str) + Send,
) -> Result<PathBuf, LocalTorchServeError> {
    // Callers may start servers from another working directory.
    let cache = std::path::absolute(cache).unwrap_or_else(|_| cache.to_owned());
    create(&cache)?;
    let _lock = take_lock(&cache.join(format!("{NAME}.lock")), &mut progress).await?;
    let directory = cache.join(NAME);
    if !is_installed(&directory).await {
        make(&directory, programs, &mut progress).await?;
    }
    files::write(&directory.join(files::DIRECTORY))?;
    Ok(directory)
}

fn create(directory: &Path) -> Result<(), LocalTorchServeError> {
    fs::create_dir_all(directory).map_err(|source| LocalTorchServeError::File {
        what: "create",
        path: directory.to_owned(),
        source,
    })
}

/// Waits for the lock of the installation. The lock is released when the file is dropped or the process ends in any
/// way.
async fn take_lock(
    path: &Path,
    progress: &mut impl FnMut(&str),
) -> Result<File, LocalTorchServeError> {
    let failed = |source| LocalTorchServeError::File {
        what: "lock",
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(failed)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if start.elapsed() > WAIT_FOR_OTHERS => {
                return Err(LocalTorchServeError::Busy {
                    lock: path.to_owned(),
                    waited: WAIT_FOR_OTHERS,
                });
            }
            Err(TryLockError::WouldBlock) => {
                progress("waiting for another installation of TorchServe");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Returns whether the installation is complete, has these versions, and has a working Python. A virtual environment
/// breaks when the Python that created it is removed.
async fn is_installed(directory: &Path) -> bool {
    let marked = fs::read_to_string(directory.join(MARKER)).is_ok_and(|text| text == marker());
    if !marked {
        return false;
    }
    let mut import = Command::new(python(directory));
    import.args(["-c", "import ts, psutil, yaml"]);
    let limit = Duration::from_secs(60);
    let imported = output(&mut import, "import torchserve", limit).await;
    matches!(imported, Ok(Some(output)) if output.status.success())
}

async fn make(
    directory: &Path,
    programs: &Programs,
    progress: &mut impl FnMut(&str),
) -> Result<(), LocalTorchServeError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| LocalTorchServeError::File { what, path, source }
    };
    if directory.exists() {
        progress("removing an installation of TorchServe that does not work");
        fs::remove_dir_all(directory).map_err(failed("remove", directory))?;
    }
    create(directory)?;
    let venv = directory.join(VENV);
    progress("making a virtual environment for TorchServe");
    succeed(
        Command::new(&programs.python)
            .args(["-m", "venv"])
            .arg(&venv),
        &format!("make a virtual environment in {}", venv.display()),
        MAKE_VENV,
    )
    .await?;
    progress(&format!("downloading {} (43 MB)", PACKAGES.join(", ")));
    succeed(
        Command::new(python(directory))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .arg("--disable-pip-version-check")
            .args(PACKAGES),
        "install torchserve with pip",
        DOWNLOAD,
    )
    .await?;
    let path = directory.join(MARKER);
    fs::write(&path, marker()).map_err(failed("write", &path))
}

fn python(directory: &Path) -> PathBuf {
    directory.join(VENV).join("bin/python")
}

fn marker() -> String {
    PACKAGES.join("\n") + "\n"
}
