//! Finds Java and Python, which must be present before an installation.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::LocalTorchServeError;
use super::command::output;

/// The limit for `--version`. Both programs take a fraction of a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The programs that TorchServe runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// A path, or a name on PATH.
    pub java: PathBuf,
    /// The version, such as `17.0.15`.
    pub java_version: String,
    /// A path, or a name on PATH.
    pub python: PathBuf,
    /// The version, such as `3.11.7`.
    pub python_version: String,
}

impl Programs {
    pub(super) async fn find() -> Result<Self, LocalTorchServeError> {
        let java = java();
        let java_version = java_version(&java).await?;
        let python = PathBuf::from("python3");
        let python_version = python_version(&python).await?;
        Ok(Self {
            java,
            java_version,
            python,
            python_version,
        })
    }
}

/// Returns the Java that the command `torchserve` would run.
fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(
        || PathBuf::from("java"),
        |home| PathBuf::from(home).join("bin/java"),
    )
}

async fn java_version(path: &PathBuf) -> Result<String, LocalTorchServeError> {
    let mut command = Command::new(path);
    command.arg("-version");
    let output = output(&mut command, "ask java for its version", LIMIT).await?;
    let text = output.ok_or(LocalTorchServeError::NoJava)?.stderr;
    let text = String::from_utf8_lossy(&text);
    let version = text.split('"').nth(1).unwrap_or("of unknown version");
    if major(version) < 17 {
        return Err(LocalTorchServeError::OldJava {
            path: path.clone(),
            version: version.to_owned(),
        });
    }
    Ok(version.to_owned())
}

/// Returns the major version: 17 for `17.0.15`, 8 for `1.8.0`, and 0 if there is no number.
fn major(version: &str) -> u32 {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

async fn python_version(path: &PathBuf) -> Result<String, LocalTorchServeError> {
    let mut command = Command::new(path);
    let ask = "import sys, venv, ensurepip; print(sys.version.split()[0]); \
               sys.exit(sys.version_info < (3, 8))";
    command.args(["-c", ask]);
    let output = output(&mut command, "ask python3 for its version", LIMIT).await?;
    let output = output.ok_or(LocalTorchServeError::NoPython)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(version);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().last().unwrap_or(&version).to_owned();
    Err(LocalTorchServeError::UnfitPython { version: last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_java_is_the_first_number() {
        for (version, wanted) in [("17.0.15", 17), ("21-ea", 21), ("1.8.0_442", 1), ("odd", 0)] {
            assert_eq!(major(version), wanted);
        }
    }

    #[tokio::test]
    async fn the_error_without_java_names_the_package_to_install() {
        let error = java_version(&PathBuf::from("/nowhere/java")).await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("install openjdk-17-jre-headless"), "{text}");
    }
}
