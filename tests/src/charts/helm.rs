//! Helm and helm-unittest, built by the cluster's script.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::folder;
use crate::test_cluster::{self, TestCluster};

/// The programs, built and ready.
#[derive(Clone, Debug)]
pub struct Helm {
    programs: PathBuf,
}

impl Helm {
    /// Builds them first if need be, and says so on stderr. `None`, said loudly, without programs and without a Go to
    /// build them; under `CI=true` that is a failure.
    ///
    /// # Panics
    /// If they cannot be built.
    pub fn for_test() -> Option<Self> {
        match test_cluster::provision("charts") {
            Ok(programs) => Some(Self { programs }),
            Err(error) => {
                let no_go = Command::new("go").arg("version").output().is_err();
                assert!(
                    no_go && test_cluster::excused(&"there is no Go to build helm with"),
                    "{error}"
                );
                None
            }
        }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.programs
    }

    /// Renders a chart, as release `pushscale` or `torchserve`; or says why not.
    ///
    /// # Errors
    /// What helm says.
    pub fn template(&self, chart: &str, values: &Value) -> Result<String, String> {
        let namespace = format!("--namespace={chart}");
        let mut command = Command::new(self.programs.join("helm"));
        command.args(["template", chart]).arg(folder(chart));
        command.args([&namespace, "--kube-version=1.37.0", "--values=-"]);
        Self::run(&mut command, Some(values))
    }

    /// Helm against a cluster, with these values for `--values=-`.
    ///
    /// # Errors
    /// What helm says.
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

    /// `helm lint`.
    ///
    /// # Errors
    /// What helm says.
    pub fn lint(&self, chart: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("helm"));
        command.args(["lint", "--strict"]).arg(folder(chart));
        Self::run(&mut command, None)
    }

    /// The chart's own suites, `tests/*_test.yaml`.
    ///
    /// # Errors
    /// Which of them failed, and how.
    pub fn unittest(&self, chart: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("helm-unittest"));
        command
            .args(["--strict", "--color=false"])
            .arg(folder(chart));
        Self::run(&mut command, None)
    }

    fn run(command: &mut Command, values: Option<&Value>) -> Result<String, String> {
        // Nothing of the user's own settings, and nothing left in the home folder.
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
