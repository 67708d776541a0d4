//! The pods of `testdata`.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use pushscale_injector::{Facts, Outcome, PullPolicy, Sidecar, Trust, inject};
use serde::Deserialize as _;
use serde_json::Value;

/// One pod.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) before: Value,
    pub(crate) namespace: String,
    pub(crate) native_sidecar: bool,
    pub(crate) trust: Trust,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        self.folder
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn sidecar(&self) -> Sidecar {
        sidecar(self.trust)
    }

    pub(crate) fn inject(&self, pod: &Value) -> Outcome {
        let pod = Pod::deserialize(pod).unwrap();
        inject(
            &pod,
            &Facts {
                namespace: &self.namespace,
                native_sidecar: self.native_sidecar,
                sidecar: &self.sidecar(),
            },
        )
    }
}

/// As the chart has it.
pub(crate) fn sidecar(trust: Trust) -> Sidecar {
    Sidecar {
        image: "pushscale/sidecar:0.1.0".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        trust,
        own_namespace: Some("pushscale".to_owned()),
    }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut folders: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders.into_iter().map(case).collect()
}

fn case(folder: PathBuf) -> Case {
    let text = fs::read_to_string(folder.join("before.yaml")).unwrap();
    let mut case = Case {
        before: serde_saphyr::from_str(&text).unwrap(),
        folder,
        namespace: "models".to_owned(),
        native_sidecar: true,
        trust: Trust::Token,
    };
    for line in text.lines().map_while(|line| line.strip_prefix("#! ")) {
        let (key, value) = line.split_once(": ").unwrap();
        match key {
            "namespace" => case.namespace = value.to_owned(),
            "native-sidecar" => case.native_sidecar = value.parse().unwrap(),
            "trust" => case.trust = value.parse().unwrap(),
            _ => panic!("{key} is nothing that a case can say"),
        }
    }
    case
}
