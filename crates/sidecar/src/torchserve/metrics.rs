//! Converts the samples of the metrics page to counters.

use pushscale_protocol::{MAX_MODELS, MAX_NAME_BYTES};
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
        "QueueTime" => page.host.last_wait_seconds = Some(value / 1e3),
        "Requests2XX" => page.host.succeeded = Some(value),
        "Requests5XX" => page.host.failed = Some(value),
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
        if page.models.len() >= MAX_MODELS {
            return None;
        }
        page.models.insert(name.to_string(), Counters::default());
    }
    page.models.get_mut(name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_counters_is_finite() {
        let version =
            |version| format!("{ARRIVALS}{{model_name=\"a\",model_version=\"{version}\"}} 1e308\n");
        let page = read_page((version(1) + &version(2)).as_bytes());
        assert_eq!(page.models["a"].arrivals, Some(f64::MAX));
    }
}
