//! A request that an overloaded API server rejects is reported, not repeated unseen.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use crate::api_server::{self, Response};

static REQUESTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn a_rejected_request_fails_the_command() {
    let kubeconfig = api_server::start("overloaded", |path| {
        REQUESTS.lock().unwrap().push(path.to_owned());
        Response::TooManyRequests
    });
    let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .arg("status")
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("try again later"), "{error}");
    let requests = REQUESTS.lock().unwrap();
    let different: BTreeSet<_> = requests.iter().collect();
    assert_eq!(requests.len(), different.len(), "{requests:?}");
}
