//! The audit log: each kind of line has the fields of docs/REFERENCE.md.

use std::io;
use std::path::Path;

use pushscale_daemon::config::Settings;
use pushscale_daemon::logging::{AUDIT, subscriber};

use super::load::push_second;
use super::*;
use crate::config::{Config, PROGRAM};

/// The fields whose value can be unknown. Every other field is in each line.
const CAN_BE_UNKNOWN: [&str; 4] = ["model", "latency_seconds", "target_seconds", "arrival_rate"];

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Logs what this thread does as the aggregator does with its defaults, until the guard is dropped.
    ///
    /// The second subscriber logs nothing. With only one, `tracing` asks the first thread that reaches a log statement
    /// whether it is logged, and remembers the answer for all threads. Once, that was the thread of another test.
    fn start(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let settings = Settings::from_pairs(&PROGRAM, []).unwrap();
        let log = Config::from_settings(settings).unwrap().log;
        let writer = self.clone();
        let subscriber = subscriber(&log, move || writer.clone());
        (tracing::subscriber::set_default(subscriber), second)
    }

    /// Returns the audit lines since the last call.
    fn audit_lines(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["target"] == AUDIT)
            .collect()
    }
}

/// Returns the rows of the documented table: the words in code of the first cell, and the second cell.
fn documented() -> Vec<(Vec<String>, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md");
    let text = std::fs::read_to_string(file).unwrap();
    let section = text.split("\n## Audit log\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (fields, value) = row.split_once(" | ").unwrap();
        (in_code(&format!("`{fields}")), value.to_owned())
    })
    .collect()
}

fn in_code(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn fields(line: &Value) -> BTreeSet<String> {
    line.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_line_has_the_documented_fields() {
    let log = Log::default();
    let _guard = log.start();
    let mut fixture = Fixture::start();
    let spec = |mode: &str| {
        json!({
            "algorithm": "Model",
            "mode": mode,
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "model": "resnet", "target": "50ms" } }],
        })
    };
    fixture.apply("a", 1, &spec("Apply"));
    let pods = ["pod-0", "pod-1"];
    fixture.observe("a", 2, &pods);
    fixture.advance(Duration::from_secs(1)).await;
    // Nothing has been measured yet.
    let mut lines = log.audit_lines();
    assert!(
        lines
            .iter()
            .any(|line| CAN_BE_UNKNOWN.iter().all(|field| line.get(field).is_none())),
        "{lines:#?}"
    );
    let mut second = 0;
    let mut load = async |fixture: &mut Fixture, rate: u64| {
        for _ in 0..30 {
            second += 1;
            fixture.advance(Duration::from_secs(1)).await;
            push_second(fixture, &pods, rate, second);
        }
    };
    load(&mut fixture, 20).await;
    load(&mut fixture, 200).await;
    fixture.apply("a", 2, &spec("Recommend"));
    load(&mut fixture, 200).await;
    lines.extend(log.audit_lines());

    let rows = documented();
    let row = |field: &str| {
        let row = rows
            .iter()
            .find(|(fields, _)| fields.iter().any(|name| name == field));
        &row.unwrap().1
    };
    let all: BTreeSet<String> = rows.iter().flat_map(|(fields, _)| fields.clone()).collect();
    let unknown = CAN_BE_UNKNOWN.map(str::to_owned).into();
    assert!(all.is_superset(&unknown), "{all:?}");
    let outcome = |line: &Value| line["outcome"].as_str().unwrap().to_owned();
    let outcomes: BTreeSet<String> = lines.iter().map(outcome).collect();
    assert_eq!(outcomes, in_code(row("outcome")).into_iter().collect());
    for expected in &outcomes {
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| outcome(line) == *expected)
            .collect();
        for line in &lines {
            let known: BTreeSet<String> = fields(line).difference(&unknown).cloned().collect();
            assert_eq!(
                known,
                all.difference(&unknown).cloned().collect(),
                "{line:#}"
            );
            let schema = line["schema"].as_u64().unwrap();
            assert!(row("schema").starts_with(&format!("{schema};")), "{line:#}");
            assert_eq!(
                in_code(row("message")),
                ["message", line["message"].as_str().unwrap()]
            );
        }
        // With a measured load, every figure is known.
        let complete = lines.iter().filter(|line| fields(line) == all);
        assert!(complete.count() > 0, "{expected}: {lines:#?}");
    }
}
