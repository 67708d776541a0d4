//! Writes the response of `GET /metrics`, in the format of TorchServe's Java client library.

use std::fmt::Write as _;

use super::counters::{Counters, Series};
use crate::MetricsMode;

/// Returns the whole page. `names` are the values of `name[]`: if there are any, the page contains only families that
/// have samples with these names.
pub(super) fn page(
    counters: &Counters,
    mode: MetricsMode,
    hostname: &str,
    names: &[String],
) -> String {
    let families: &[Family] = match mode {
        MetricsMode::Prometheus => &PROMETHEUS,
        MetricsMode::Legacy => &LEGACY,
        MetricsMode::Log => &[],
    };
    let mut text = String::with_capacity(4096);
    for family in families {
        let samples = samples(family.name, counters, hostname);
        let wanted = names.iter().any(|n| n == family.name) && !samples.is_empty();
        if names.is_empty() || wanted {
            family.write(&samples, &mut text);
        }
    }
    text
}

struct Family {
    name: &'static str,
    kind: &'static str,
    unit: &'static str,
}

const fn gauge(name: &'static str, unit: &'static str) -> Family {
    let kind = "gauge";
    Family { name, kind, unit }
}

const fn counter(name: &'static str, unit: &'static str) -> Family {
    let kind = "counter";
    Family { name, kind, unit }
}

/// The families, in the order in which TorchServe 0.12.0 writes them: that of a hash table.
const PROMETHEUS: [Family; 21] = [
    gauge("QueueTime", "Milliseconds"),
    gauge("MemoryUtilization", "Percent"),
    gauge("GPUMemoryUsed", "Megabytes"),
    gauge("PredictionTime", "ms"),
    counter("ts_inference_requests_total", "Count"),
    gauge("DiskAvailable", "Gigabytes"),
    gauge("DiskUtilization", "Percent"),
    gauge("CPUUtilization", "Percent"),
    counter("ts_inference_latency_microseconds", "Microseconds"),
    gauge("DiskUsage", "Gigabytes"),
    counter("Requests4XX", "Count"),
    gauge("MemoryAvailable", "Megabytes"),
    counter("Requests2XX", "Count"),
    gauge("HandlerTime", "ms"),
    counter("Requests5XX", "Count"),
    gauge("MemoryUsed", "Megabytes"),
    counter("ts_queue_latency_microseconds", "Microseconds"),
    gauge("WorkerThreadTime", "Milliseconds"),
    gauge("GPUMemoryUtilization", "Percent"),
    gauge("GPUUtilization", "Percent"),
    gauge("WorkerLoadTime", "Milliseconds"),
];

const LEGACY: [Family; 3] = [
    counter("ts_queue_latency_microseconds", "Microseconds"),
    counter("ts_inference_requests_total", "Count"),
    counter("ts_inference_latency_microseconds", "Microseconds"),
];

impl Family {
    fn write(&self, samples: &[Sample], text: &mut String) {
        let Self { name, kind, unit } = self;
        append(
            text,
            format_args!("# HELP {name} Torchserve prometheus {kind} metric with unit: {unit}\n"),
        );
        append(text, format_args!("# TYPE {name} {kind}\n"));
        for Sample { labels, value } in samples {
            append(
                text,
                format_args!("{name}{{{labels}}} {}\n", format_java_double(*value)),
            );
        }
    }
}

fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    text.write_fmt(arguments).unwrap_or_default();
}

struct Sample {
    labels: String,
    value: f64,
}

fn samples(family: &str, counters: &Counters, hostname: &str) -> Vec<Sample> {
    let host = labels(&[("Level", "Host"), ("Hostname", hostname)]);
    let one = |value: Option<f64>| {
        let sample = |value| Sample {
            labels: host.clone(),
            value,
        };
        value.map(sample).into_iter().collect()
    };
    let http = |class: usize| {
        let count = counters.responses[class];
        one((count > 0).then_some(count as f64))
    };
    let by_series = |map: &std::collections::BTreeMap<Series, f64>| {
        map.iter()
            .map(|(series, value)| Sample {
                labels: labels(&[
                    ("model_name", &series.model),
                    ("model_version", &series.version),
                    ("hostname", hostname),
                ]),
                value: *value,
            })
            .collect()
    };
    let by_name = |label, level, map: &std::collections::BTreeMap<String, f64>| {
        map.iter()
            .map(|(name, value)| Sample {
                labels: labels(&[(label, name), ("Level", level), ("Hostname", hostname)]),
                value: *value,
            })
            .collect()
    };
    match family {
        "ts_inference_requests_total" => by_series(&counters.requests),
        "ts_queue_latency_microseconds" => by_series(&counters.queue_latency),
        "ts_inference_latency_microseconds" => by_series(&counters.inference_latency),
        "QueueTime" => one(counters.queue_time),
        "WorkerThreadTime" => one(counters.worker_thread_time),
        "PredictionTime" => by_name("ModelName", "Model", &counters.prediction_time),
        "WorkerLoadTime" => by_name("WorkerName", "Host", &counters.worker_load_time),
        "Requests2XX" => http(0),
        "Requests4XX" => http(1),
        "Requests5XX" => http(2),
        // Metrics of the node. A real server updates them once per minute. They are not used for scaling.
        "MemoryUtilization" => one(Some(2.2)),
        "MemoryAvailable" => one(Some(23_566.781_25)),
        "MemoryUsed" => one(Some(538.777_343_75)),
        "DiskAvailable" => one(Some(76.968_318_939_208_98)),
        "DiskUtilization" => one(Some(15.3)),
        "DiskUsage" => one(Some(13.903_385_162_353_516)),
        "CPUUtilization" => one(Some(0.0)),
        _ => Vec::new(),
    }
}

/// Formats labels, with a comma after the last one.
fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        append(&mut text, format_args!("{name}=\"{}\",", escape(value)));
    }
    text
}

/// Escapes only these three characters, like the Java client library.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Formats like `Double.toString`: with an exponent from 1e7 on and below 1e-3, and always with a digit after the
/// point.
fn format_java_double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (174.0, "174.0"),
            (100.38, "100.38"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (696_441_206.055_000_2, "6.964412060550002E8"),
            (0.0005, "5.0E-4"),
        ] {
            assert_eq!(format_java_double(value), text);
        }
    }

    #[test]
    fn odd_names_are_escaped_as_torchserve_escapes_them() {
        assert_eq!(
            labels(&[("model_name", "quo\"te\\back\nnl\ttab,{}=é")]),
            "model_name=\"quo\\\"te\\\\back\\nnl\ttab,{}=é\","
        );
    }

    #[test]
    fn a_page_without_traffic_has_every_family_and_no_sample_of_the_counters() {
        let text = page(&Counters::default(), MetricsMode::Prometheus, "pod-0", &[]);
        assert_eq!(text.matches("# TYPE ").count(), 21);
        assert!(!text.contains("\nts_"));
        assert!(text.contains("\nCPUUtilization{Level=\"Host\",Hostname=\"pod-0\",} 0.0\n"));
    }

    #[test]
    fn legacy_has_the_three_counters_and_log_nothing() {
        let mut counters = Counters::default();
        let series = Series {
            model: "sleepy".to_owned(),
            version: "default".to_owned(),
        };
        counters.arrived(series.clone());
        counters.responded(
            series,
            Duration::from_nanos(278_500),
            Duration::from_micros(113_995),
        );
        assert_eq!(page(&counters, MetricsMode::Log, "torchserve-0", &[]), "");
        assert_eq!(
            page(&counters, MetricsMode::Legacy, "torchserve-0", &[]),
            "\
# HELP ts_queue_latency_microseconds Torchserve prometheus counter metric with unit: Microseconds
# TYPE ts_queue_latency_microseconds counter
ts_queue_latency_microseconds{model_name=\"sleepy\",model_version=\"default\",hostname=\"torchserve-0\",} 278.5
# HELP ts_inference_requests_total Torchserve prometheus counter metric with unit: Count
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name=\"sleepy\",model_version=\"default\",hostname=\"torchserve-0\",} 1.0
# HELP ts_inference_latency_microseconds Torchserve prometheus counter metric with unit: Microseconds
# TYPE ts_inference_latency_microseconds counter
ts_inference_latency_microseconds{model_name=\"sleepy\",model_version=\"default\",hostname=\"torchserve-0\",} 113995.0
"
        );
    }

    #[test]
    fn a_filter_hides_families_without_samples() {
        let mut counters = Counters::default();
        counters.http_response(200);
        let names = [
            "Requests2XX".to_owned(),
            "ts_queue_latency_microseconds".to_owned(),
        ];
        let text = page(&counters, MetricsMode::Prometheus, "h", &names);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.ends_with("Requests2XX{Level=\"Host\",Hostname=\"h\",} 1.0\n"));
    }
}
