//! Thousands of mutated manifests: `pushscale` gives the API server's answer to each.
//!
//! They are valid manifests with a few random changes from a fixed seed. A new field of the PushScaler is included as
//! soon as a manifest in accepted/ contains it.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use hyper::Request;
use kube::Client;
use pushscale_cli::manifest::{self, Definition, ManifestError};
use pushscale_tests::namespace::{Namespace, TIMEOUT};
use pushscale_tests::programs::repository;
use serde_json::{Value, json};

use crate::cluster;

const COUNT: usize = 1500;

#[tokio::test]
async fn mutated_pushscalers_get_the_same_answers() {
    let seeds: Vec<Value> = fs::read_dir(here("accepted"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|text| serde_json::to_value(manifest::read(&text).unwrap().spec).unwrap())
        .collect();
    let definition = repository().join("helm/pushscale/files/crd.yaml");
    compare(&definition, "mutations", &seeds).await;
}

#[tokio::test]
async fn every_keyword_that_the_schema_may_use_is_validated() {
    let seeds: Vec<Value> = yaml(&here("keywords/specs.yaml"));
    let definition = here("keywords/definition.yaml");
    cluster()
        .kubectl(&["apply", "-f", definition.to_str().unwrap()])
        .unwrap();
    cluster()
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/keywords.test.pushscale.dev",
            "--timeout=30s",
        ])
        .unwrap();
    compare(&definition, "keywords", &seeds).await;
}

/// Compares the answers to mutations of these specs: the errors, or the stored object.
async fn compare(definition: &Path, namespace: &str, seeds: &[Value]) {
    let crd: Value = yaml(definition);
    let here = Definition::from_crd(&crd).unwrap();
    let namespace = Namespace::create(cluster(), namespace);
    let server = Server::of(&crd, &namespace).await;
    let mut random = Rng::with_seed(0);
    let objects: Vec<Value> = (0..COUNT)
        .map(|number| {
            let mut spec = random.choice(seeds).unwrap().clone();
            for _ in 0..random.usize(0..4) {
                change(&mut spec, &mut random);
            }
            server.object(number, spec)
        })
        .collect();
    let answers: Vec<Answer> = stream::iter(&objects)
        .map(|object| server.ask(object))
        .buffered(8)
        .collect()
        .await;
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for (object, there) in objects.iter().zip(answers) {
        accepted += usize::from(matches!(there, Answer::Accepted(_)));
        let here = answer_of(here.read(&object.to_string()));
        if here != there {
            wrong.push(format!(
                "{object}\nthe API server: {there:#?}\nhere: {here:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {COUNT}: {}", wrong.len(), wrong[0]);
    // Both outcomes must be frequent.
    assert!(
        accepted > COUNT / 20 && accepted < COUNT / 2,
        "{accepted} were accepted"
    );
}

#[derive(Debug, PartialEq)]
enum Answer {
    /// Accepted, with the spec as it would be stored.
    Accepted(Value),
    /// Rejected, with the distinct errors in order, since the API server reports them in random order.
    Invalid(Vec<String>),
    Rejected(String),
}

fn answer_of(read: Result<Value, ManifestError>) -> Answer {
    match read {
        Ok(object) => Answer::Accepted(object["spec"].clone()),
        Err(ManifestError::Invalid { mut causes, .. }) => {
            causes.sort();
            Answer::Invalid(causes)
        }
        Err(error) => Answer::Rejected(error.to_string()),
    }
}

/// The API server, called with dry runs.
struct Server {
    client: Client,
    path: String,
    head: Value,
}

impl Server {
    async fn of(crd: &Value, namespace: &Namespace<'_>) -> Self {
        let kubeconfig = kube::config::Kubeconfig::read_from(cluster().kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let group = text(&crd["spec"]["group"]);
        let version = text(&crd["spec"]["versions"][0]["name"]);
        let names = &crd["spec"]["names"];
        let server = Self {
            client: Client::try_from(config).unwrap(),
            path: format!(
                "/apis/{group}/{version}/namespaces/{}/{}?dryRun=All&fieldValidation=Strict",
                namespace.name,
                text(&names["plural"]),
            ),
            head: json!({ "apiVersion": format!("{group}/{version}"), "kind": names["kind"] }),
        };
        server.until_served().await;
        server
    }

    /// A CRD is served a moment after it is established.
    async fn until_served(&self) {
        let start = std::time::Instant::now();
        while self.ask(&self.object(0, json!({}))).await == Answer::Rejected("404".to_owned()) {
            assert!(start.elapsed() < TIMEOUT, "{} is not served", self.path);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    fn object(&self, number: usize, spec: Value) -> Value {
        let mut object = self.head.clone();
        object["metadata"] = json!({ "name": format!("changed-{number}") });
        object["spec"] = spec;
        object
    }

    async fn ask(&self, object: &Value) -> Answer {
        let request = Request::post(&self.path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(stored) => Answer::Accepted(stored["spec"].clone()),
            Err(kube::Error::Api(status)) if status.reason == "Invalid" => {
                let causes = status.details.unwrap().causes;
                let mut causes: Vec<_> = causes
                    .iter()
                    .map(|cause| format!("{}: {}", cause.field, cause.message))
                    .collect();
                causes.sort();
                causes.dedup();
                Answer::Invalid(causes)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Answer::Rejected("404".to_owned())
            }
            Err(kube::Error::Api(status)) => Answer::Rejected(status.message),
            Err(error) => panic!("{object}: {error}"),
        }
    }
}

/// Makes a random change in a value.
fn change(value: &mut Value, random: &mut Rng) {
    let mut paths = Vec::new();
    collect_paths(value, "", &mut paths);
    let Some(path) = random.choice(&paths) else {
        return;
    };
    let (parent, key) = path.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match (value.pointer_mut(parent).unwrap(), random.u8(0..8)) {
        (Value::Object(fields), 0 | 1) => {
            fields.remove(&key);
        }
        (Value::Object(fields), 2) => {
            let moved = fields.remove(&key).unwrap();
            fields.insert(format!("{key}x"), moved);
        }
        (Value::Array(items), 0 | 1) => {
            let again = items[key.parse::<usize>().unwrap()].clone();
            items.push(again);
        }
        (parent, _) => {
            let junk = random.choice(junk()).unwrap();
            match parent {
                Value::Array(items) => items[key.parse::<usize>().unwrap()] = junk,
                parent => parent[key] = junk,
            }
        }
    }
}

/// Collects the JSON pointers of all values within a value.
fn collect_paths(value: &Value, path: &str, paths: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, child)| (name.replace('~', "~0").replace('/', "~1"), child))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, child)| (index.to_string(), child))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let path = format!("{path}/{key}");
        collect_paths(child, &path, paths);
        paths.push(path);
    }
}

/// Values that are valid in some places, and invalid in most.
fn junk() -> Vec<Value> {
    let long = "x".repeat(300);
    let Value::Array(junk) = json!([
        0, 1, 2, 3, 4, 5, 10, 11, -1, 2_147_483_648_i64, -2_147_483_649_i64, i64::MAX, i64::MIN, 1.5, 0.5, -0.25,
        2_500_000.5, 1e30, 3.5e38, true, false, "", "a", "x", "7", "50%", long, "é\u{a0}<&>\"\u{1}", "1Gi", "7ms",
        "25h", "0s", "1h1h", "-1h", "500µs", "9999999h", "2024-01-01T00:00:00Z", "2024-13-01T00:00:00Z", [], [1],
        ["a", "a"], [[1]], {}, { "a": 1 }, { "other": { "b": 1 } },
    ]) else {
        unreachable!("it is written as a list")
    };
    junk
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cluster")
        .join(name)
}

fn yaml<T: serde::de::DeserializeOwned>(file: &Path) -> T {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}
