//! Converts the samples of the metrics page to counters.

use pushscale_protocol::MAX_NAME_BYTES;
use pushscale_reading::{Counters, Page};

use crate::exposition::{self, Sample};

/// The part of a service time that PredictionTime excludes, in seconds: 3 to 8 ms in the frontend and the socket.
const OVERHEAD_SECONDS: f64 = 0.005;

/// The counter of arrivals. In the modes `prometheus` and `legacy`, TorchServe declares it (HELP, TYPE) from its start;
/// other programs do not have it.
const ARRIVALS: &str = "ts_inference_requests_total";

/// Parses the page of the metrics port.
///
/// Sums over `model_version`: the label is the version in the client's URL, so `default` and `1.0` may be the same
/// queue. Ignores `hostname` (`uuid` up to 0.7.1).
pub fn read_page(body: &[u8]) -> Page {
    let mut page = Page {
        recognised: memchr::memmem::find(body, ARRIVALS.as_bytes()).is_some(),
        ..Page::default()
    };
    for line in exposition::parse(body) {
        match line {
            Ok(sample) => {
                page.samples += 1;
                add_sample(&mut page, &sample);
            }
            Err(bad) => {
                page.bad_lines += 1;
                tracing::debug!(%bad, "skipped a line of the metrics page");
            }
        }
    }
    page
}

fn add_sample(page: &mut Page, sample: &Sample<'_>) {
    // NaN, infinite and negative values are invalid.
    if !(0.0..f64::INFINITY).contains(&sample.value) {
        return;
    }
    let value = sample.value;
    match sample.name {
        ARRIVALS => add(page, sample, |model| &mut model.arrivals, value),
        "ts_queue_latency_microseconds" => {
            add(page, sample, |model| &mut model.wait_seconds, value / 1e6);
        }
        "ts_inference_latency_microseconds" => {
            add(
                page,
                sample,
                |model| &mut model.sojourn_seconds,
                value / 1e6,
            );
        }
        "PredictionTime" => {
            if let Some(model) = model_of(page, sample, "ModelName") {
                model.service_seconds = Some(value / 1e3 + OVERHEAD_SECONDS);
            }
        }
        "QueueTime" => page.server.last_wait_seconds = Some(value / 1e3),
        "Requests2XX" => page.server.succeeded = Some(value),
        "Requests5XX" => page.server.failed = Some(value),
        _ => {}
    }
}

fn add(
    page: &mut Page,
    sample: &Sample<'_>,
    field: impl Fn(&mut Counters) -> &mut Option<f64>,
    value: f64,
) {
    if let Some(model) = model_of(page, sample, "model_name") {
        let sum = field(model);
        // An infinite counter would have differences that are not numbers.
        *sum = Some((sum.unwrap_or_default() + value).min(f64::MAX));
    }
}

fn model_of<'p>(page: &'p mut Page, sample: &Sample<'_>, label: &str) -> Option<&'p mut Counters> {
    let name = sample.labels.get(label)?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return None;
    }
    if !page.models.contains_key(name.as_ref()) {
        // The first ones by name: the order of the page may change with each new model.
        if page.is_full() {
            let (last, _) = page.models.last_key_value()?;
            if name.as_ref() > last.as_str() {
                return None;
            }
            page.models.pop_last();
        }
        page.models.insert(name.to_string(), Counters::default());
    }
    page.models.get_mut(name.as_ref())
}

#[cfg(test)]
mod tests {
    use pushscale_protocol::MAX_MODELS;

    use super::*;

    #[test]
    fn the_first_models_by_name_are_read_in_any_order() {
        let lines: Vec<_> = ["ts_queue_latency_microseconds", ARRIVALS]
            .iter()
            .flat_map(|metric| {
                (0..300).map(move |model| format!("{metric}{{model_name=\"{model:03}\"}} 1\n"))
            })
            .collect();
        let forwards = read_page(lines.concat().as_bytes());
        let backwards: String = lines.iter().rev().map(String::as_str).collect();
        assert_eq!(read_page(backwards.as_bytes()), forwards);
        let names: Vec<_> = forwards.models.keys().collect();
        assert_eq!((names.len(), names[0].as_str()), (MAX_MODELS, "000"));
        assert!(
            forwards
                .models
                .values()
                .all(|model| model.wait_seconds.is_some())
        );
    }

    #[test]
    fn a_sum_of_counters_is_finite() {
        let version =
            |version| format!("{ARRIVALS}{{model_name=\"a\",model_version=\"{version}\"}} 1e308\n");
        let page = read_page((version(1) + &version(2)).as_bytes());
        assert_eq!(page.models["a"].arrivals, Some(f64::MAX));
    }
}
