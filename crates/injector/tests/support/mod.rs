//! The pods of `testdata`.

#![allow(dead_code, reason = "each test uses a part of it")]

#[path = "../../../daemon/tests/support/golden.rs"]
pub(crate) mod golden;

use std::fs;
use std::path::PathBuf;

use pushscale_injector::{Auth, Facts, Outcome, PullPolicy, Sidecar, inject_value};
use serde_json::Value;

/// A directory of `testdata`.
pub(crate) struct Case {
    pub(crate) directory: PathBuf,
    pub(crate) before: Value,
    pub(crate) namespace: String,
    pub(crate) container: Option<String>,
    pub(crate) native_sidecar: bool,
    pub(crate) auth: Auth,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let name = self.directory.file_name().unwrap();
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn inject(&self, pod: &Value) -> Outcome {
        inject_value(
            pod,
            &Facts {
                namespace: &self.namespace,
                container: self.container.as_deref(),
                native_sidecar: self.native_sidecar,
                sidecar: &sidecar(self.auth),
            },
        )
        .unwrap()
    }
}

/// The chart's settings.
pub(crate) fn sidecar(auth: Auth) -> Sidecar {
    Sidecar {
        image: "pushscale/sidecar:0.1.0".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        auth,
        own_namespace: Some("pushscale".to_owned()),
    }
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let directories = golden::files("testdata", "", 24);
    directories.into_iter().map(case).collect()
}

fn case(directory: PathBuf) -> Case {
    let text = fs::read_to_string(directory.join("before.yaml")).unwrap();
    let mut case = Case {
        before: serde_saphyr::from_str(&text).unwrap(),
        directory,
        namespace: "models".to_owned(),
        container: None,
        native_sidecar: true,
        auth: Auth::Token,
    };
    for line in text.lines().map_while(|line| line.strip_prefix("#! ")) {
        let (key, value) = line.split_once(": ").unwrap();
        match key {
            "namespace" => case.namespace = value.to_owned(),
            "container" => case.container = Some(value.to_owned()),
            "native-sidecar" => case.native_sidecar = value.parse().unwrap(),
            "auth" => case.auth = value.parse().unwrap(),
            _ => panic!("unknown setting {key} of a case"),
        }
    }
    case
}
