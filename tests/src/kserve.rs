//! Files of a release of KServe. No program of KServe runs.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::fleet::{TIMEOUT, until};
use crate::test_cluster::{self, TestCluster};

/// The files of the release that tests read.
#[derive(Debug)]
pub struct Release {
    directory: PathBuf,
    constants: String,
}

impl Release {
    /// Downloads the files if they are missing. Returns `None`, with a message, if they are missing and Go is not
    /// installed, except under `CI=true`.
    ///
    /// # Panics
    /// The download fails, or the release does not have the files.
    pub fn for_test() -> Option<Self> {
        let directory = test_cluster::provision_for_test("kserve")?.join("kserve");
        let constants = fs::read_to_string(directory.join("constants.go")).unwrap();
        Some(Self {
            directory,
            constants,
        })
    }

    /// Installs the CRD of InferenceServices, and waits until the API server serves them.
    ///
    /// # Panics
    /// The API server does not accept it.
    pub fn define(&self, cluster: &TestCluster) {
        let file = self
            .directory
            .join("serving.kserve.io_inferenceservices.yaml");
        // The annotation of a client-side apply would be too long.
        let apply = ["apply", "--server-side", "-f", file.to_str().unwrap()];
        cluster.kubectl(&apply).unwrap();
        let get = ["get", "inferenceservices.serving.kserve.io"];
        until(TIMEOUT, "served", || cluster.kubectl(&get).is_ok());
    }

    /// Returns the ClusterServingRuntime of TorchServe.
    ///
    /// # Panics
    /// The file is not YAML.
    pub fn runtime(&self) -> Value {
        let text = fs::read_to_string(self.directory.join("kserve-torchserve.yaml")).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    }

    /// Returns the text of a constant in KServe's sources.
    ///
    /// # Panics
    /// KServe has no constant of this name, or it is not a string.
    pub fn constant(&self, name: &str) -> &str {
        let is_named = |line: &&str| line.split_whitespace().next() == Some(name);
        let mut lines = self.constants.lines().filter(is_named);
        lines
            .find_map(|line| line.split('"').nth(1))
            .unwrap_or_else(|| panic!("KServe has no constant {name}"))
    }
}
