//! A real Prometheus, which scrapes what a test exports.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Response};
use crate::namespace::TIMEOUT;
use crate::test_cluster;

/// A Prometheus, stopped when dropped.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Child,
    directory: PathBuf,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes `target`, a pod in `namespace`, every second and evaluates these alerts, and
    /// waits until it is ready.
    ///
    /// # Panics
    /// It cannot be installed, or does not accept the alerts.
    pub async fn start(target: SocketAddr, namespace: &str, alerts: &Value) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let program = test_cluster::provision("prometheus").unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushscale-prometheus-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let rules =
            json!({ "groups": [{ "name": "pushscale", "interval": "1s", "rules": alerts }] });
        let configuration = json!({
            "global": { "scrape_interval": "1s" },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{
                "job_name": "pushscale",
                "honor_labels": true,
                "static_configs": [{
                    "targets": [target.to_string()],
                    "labels": { "namespace": namespace },
                }],
            }],
        });
        // JSON is YAML.
        fs::write(directory.join("rules.yml"), rules.to_string()).unwrap();
        fs::write(directory.join("prometheus.yml"), configuration.to_string()).unwrap();
        let address = http::free_address(Ipv4Addr::LOCALHOST.into());
        let process = Command::new(program.join("prometheus"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&directory)
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Self {
            address,
            process,
            directory,
        };
        let start = Instant::now();
        while prometheus.get("/-/ready").await.status != 200 {
            let running = prometheus.process.try_wait().unwrap().is_none();
            assert!(
                running && start.elapsed() < TIMEOUT,
                "Prometheus is not ready:\n{}",
                prometheus.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    /// Returns the address of its API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Evaluates an expression now. Returns the values of all series of the result that are numbers.
    ///
    /// # Panics
    /// It is not an expression, or its evaluation fails.
    pub async fn query(&self, expression: &str) -> Vec<f64> {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        let data = self.answer(&path, expression).await;
        let results = data["result"].as_array().unwrap();
        let values = results.iter().map(|series| series["value"][1].as_str());
        let values = values.map(|value| value.unwrap().parse::<f64>().unwrap());
        values.filter(|value| value.is_finite()).collect()
    }

    /// Returns the values of a label in the series that a selector selects, as Grafana's `label_values` does.
    ///
    /// # Panics
    /// It is not a selector.
    pub async fn label_values(&self, selector: &str, label: &str) -> Vec<String> {
        let path = format!(
            "/api/v1/label/{label}/values?match%5B%5D={}",
            percent_encoded(selector)
        );
        let data = self.answer(&path, selector).await;
        let values = data.as_array().unwrap().iter();
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns the data of a successful response.
    async fn answer(&self, path: &str, expression: &str) -> Value {
        let answer = self.get(path).await;
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"].take()
    }

    /// Returns the alerts as it evaluates them.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules").await;
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["data"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// With HTTP/1.0, which knows no chunked bodies.
    async fn get(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        http::raw(self.address, request.as_bytes()).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Checks alerts with promtool. `tests` are those of its format.
///
/// # Panics
/// It cannot be installed, or a test fails.
pub fn check_rules(alerts: &Value, tests: &Value) {
    let program = test_cluster::provision("prometheus").unwrap();
    let directory = std::env::temp_dir().join(format!("pushscale-promtool-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let rules = json!({ "groups": [{ "name": "pushscale", "rules": alerts }] });
    let all = json!({
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": tests,
    });
    fs::write(directory.join("rules.yml"), rules.to_string()).unwrap();
    fs::write(directory.join("tests.yml"), all.to_string()).unwrap();
    let output = Command::new(program.join("promtool"))
        .args(["test", "rules", "tests.yml"])
        .current_dir(&directory)
        .output()
        .unwrap();
    fs::remove_dir_all(&directory).ok();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
