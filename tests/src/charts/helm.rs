//! Helm and helm-unittest, built by `tests/test-cluster/provision`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::directory;
use crate::test_cluster::{self, TestCluster};

/// Directory of the built programs.
#[derive(Clone, Debug)]
pub struct Helm {
    programs: PathBuf,
}

impl Helm {
    /// Builds the programs if they are missing, and reports that on stderr. Returns `None`, with a message, if they are
    /// missing and Go is not installed, except under `CI=true`.
    ///
    /// # Panics
    /// The build fails, or Go is missing under `CI=true`.
    pub fn for_test() -> Option<Self> {
        let programs = test_cluster::provision_for_test("charts")?;
        Some(Self { programs })
    }

    /// Returns their directory.
    pub fn directory(&self) -> &Path {
        &self.programs
    }

    /// Renders a chart, as release `pushscale` or `torchserve`.
    ///
    /// # Errors
    /// The stderr of helm.
    pub fn template(&self, chart: &str, values: &Value) -> Result<String, String> {
        let namespace = format!("--namespace={chart}");
        let mut command = Command::new(self.programs.join("helm"));
        command.args(["template", chart]).arg(directory(chart));
        command.args([&namespace, "--kube-version=1.37.0", "--values=-"]);
        Self::run(&mut command, Some(values))
    }

    /// Runs helm against a cluster, with these values for `--values=-`.
    ///
    /// # Errors
    /// The stderr of helm.
    pub fn on(
        &self,
        cluster: &TestCluster,
        arguments: &[&str],
        values: Option<&Value>,
    ) -> Result<String, String> {
        let helm = self.programs.join("helm");
        let mut command = cluster.command(helm.to_str().unwrap());
        command.args(arguments);
        if values.is_some() {
            command.arg("--values=-");
        }
        Self::run(&mut command, values)
    }

    /// Runs `helm lint`.
    ///
    /// # Errors
    /// The stderr of helm.
    pub fn lint(&self, chart: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("helm"));
        command.args(["lint", "--strict"]).arg(directory(chart));
        Self::run(&mut command, None)
    }

    /// Runs the helm-unittest suites of the chart, `tests/*_test.yaml`.
    ///
    /// # Errors
    /// The output of the failed suites.
    pub fn unittest(&self, chart: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("helm-unittest"));
        command
            .args(["--strict", "--color=false"])
            .arg(directory(chart));
        Self::run(&mut command, None)
    }

    fn run(command: &mut Command, values: Option<&Value>) -> Result<String, String> {
        // Neither reads the user's settings nor writes to the home directory.
        let home = std::env::temp_dir().join("pushscale-helm");
        for variable in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let (Some(mut stdin), Some(values)) = (child.stdin.take(), values) {
            stdin.write_all(values.to_string().as_bytes()).ok();
        }
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        if status.success() {
            return Ok(stdout);
        }
        Err(format!("{stdout}{}", String::from_utf8_lossy(&stderr)))
    }
}
