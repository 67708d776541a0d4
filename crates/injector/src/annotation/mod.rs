//! The pod's annotations. Every value is validated, since it becomes part of a container's environment or of a path.

mod image;
mod path;
mod quantity;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use pushscale_api::names::annotations as names;
use pushscale_protocol::{
    DRAIN_DEADLINE, MAX_DRAIN_DEADLINE, MAX_SCRAPE_INTERVAL, MIN_DRAIN_DEADLINE,
    MIN_SCRAPE_INTERVAL, SIDECAR_PORT,
};

use crate::skip::Skip;
use quantity::Quantity;

/// The prefix of all annotations of Pushscale.
pub(crate) const PREFIX: &str = "pushscale.dev/";

/// The annotations that users can set.
const KNOWN: [&str; 12] = [
    names::METRICS_PORT,
    names::METRICS_PATH,
    names::MANAGEMENT_PORT,
    names::MANAGEMENT_TOKEN_FILE,
    names::SCRAPE_INTERVAL,
    names::IMAGE,
    names::CPU_REQUEST,
    names::CPU_LIMIT,
    names::MEMORY_REQUEST,
    names::MEMORY_LIMIT,
    names::DRAIN_DEADLINE,
    names::CONTAINER,
];

/// The annotations that Pushscale writes.
pub(crate) const WRITTEN: [&str; 4] = [
    names::INJECTED,
    names::SKIPPED,
    names::ORIGINAL_GRACE_PERIOD,
    names::ORIGINAL_PRE_STOP,
];

/// The number of characters of a key or value that a message repeats.
const MAX_SHOWN: usize = 80;

const PORT: &str = "a port from 1 to 65535 other than the sidecar's 8492";
const CPU: &str = "a quantity of CPU above 0, such as 1m";
const MEMORY: &str = "a quantity of memory of at least 1Mi, such as 16Mi";

const MEBI: u128 = 1 << 20;
const NANO: u128 = 1_000_000_000;

/// The settings in the pod's annotations. `None` if an annotation is absent.
#[derive(Debug)]
pub(crate) struct Overrides {
    pub(crate) metrics_port: Option<u16>,
    pub(crate) metrics_path: Option<String>,
    pub(crate) management: Option<Management>,
    pub(crate) token_file: Option<String>,
    pub(crate) scrape_interval: Option<SignedDuration>,
    pub(crate) image: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) drain_deadline: Option<SignedDuration>,
}

/// TorchServe's management port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Management {
    Off,
    Port(u16),
}

/// The sidecar's requests and limits, as quantities of Kubernetes.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) cpu_request: Option<String>,
    pub(crate) cpu_limit: Option<String>,
    pub(crate) memory_request: Option<String>,
    pub(crate) memory_limit: Option<String>,
}

/// Parses the annotations.
pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Result<Overrides, Skip> {
    let given = Annotations(annotations);
    given.check_keys()?;
    Ok(Overrides {
        metrics_port: given.parse(names::METRICS_PORT, PORT, port)?,
        metrics_path: given.parse(names::METRICS_PATH, path::URL, path::url)?,
        management: given.parse(
            names::MANAGEMENT_PORT,
            &format!("{PORT}, or off"),
            management,
        )?,
        token_file: given.parse(names::MANAGEMENT_TOKEN_FILE, path::FILE, path::file)?,
        scrape_interval: given.parse(
            names::SCRAPE_INTERVAL,
            &format!("a duration from {MIN_SCRAPE_INTERVAL} to {MAX_SCRAPE_INTERVAL}, such as 1s"),
            |text| duration(text, MIN_SCRAPE_INTERVAL, MAX_SCRAPE_INTERVAL),
        )?,
        image: given.parse(names::IMAGE, image::EXPECTED, image::reference)?,
        container: annotations.get(names::CONTAINER).cloned(),
        drain_deadline: given.parse(
            names::DRAIN_DEADLINE,
            &format!(
                "a duration from {MIN_DRAIN_DEADLINE} to {MAX_DRAIN_DEADLINE}, such as {DRAIN_DEADLINE}"
            ),
            |text| duration(text, MIN_DRAIN_DEADLINE, MAX_DRAIN_DEADLINE),
        )?,
    })
}

/// Parses the annotations of the sidecar's resources. Next to a container with a CPU limit, the sidecar has one too,
/// since a quota may require it of every container, and requests equal to its limits, which keeps the pod's QoS class
/// Guaranteed.
pub(crate) fn resources(
    annotations: &BTreeMap<String, String>,
    server_has_cpu_limit: bool,
) -> Result<Resources, Skip> {
    let given = Annotations(annotations);
    let cpu = |text: &str| Quantity::parse(text).filter(|found| found.nanos > 0);
    let memory = |text: &str| Quantity::parse(text).filter(|found| found.nanos >= MEBI * NANO);
    let request = |text, nanos| (!server_has_cpu_limit).then(|| Quantity::new(text, nanos));
    let (cpu_request, cpu_limit) = pair(
        &given,
        [names::CPU_REQUEST, names::CPU_LIMIT],
        CPU,
        cpu,
        request("1m", NANO / 1_000),
        server_has_cpu_limit.then(|| Quantity::new("20m", NANO / 50)),
    )?;
    let (memory_request, memory_limit) = pair(
        &given,
        [names::MEMORY_REQUEST, names::MEMORY_LIMIT],
        MEMORY,
        memory,
        request("4Mi", 4 * MEBI * NANO),
        Some(Quantity::new("16Mi", 16 * MEBI * NANO)),
    )?;
    Ok(Resources {
        cpu_request: cpu_request.map(|request| request.text),
        cpu_limit: cpu_limit.map(|limit| limit.text),
        memory_request: memory_request.map(|request| request.text),
        memory_limit: memory_limit.map(|limit| limit.text),
    })
}

/// Checks an image reference.
///
/// # Errors
///
/// Returns a description of valid references if it is not one.
pub fn check_image(text: &str) -> Result<(), &'static str> {
    image::reference(text).map(|_| ()).ok_or(image::EXPECTED)
}

/// Formats a duration as the sidecar's settings accept it, such as `1m30s`.
pub(crate) fn format_duration(duration: &SignedDuration) -> String {
    let printer = SpanPrinter::new()
        .designator(Designator::HumanTime)
        .spacing(Spacing::None);
    printer.duration_to_string(duration)
}

/// Returns the skip for an invalid value. A long value is cut.
pub(crate) fn invalid(annotation: &str, value: &str, expected: impl Into<String>) -> Skip {
    let mut shown: String = value.chars().take(MAX_SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    Skip::InvalidAnnotation {
        annotation: annotation.chars().take(MAX_SHOWN).collect(),
        value: shown,
        expected: expected.into(),
    }
}

struct Annotations<'a>(&'a BTreeMap<String, String>);

impl Annotations<'_> {
    /// Rejects unknown keys: a typo would be a setting without effect.
    fn check_keys(&self) -> Result<(), Skip> {
        let unknown =
            |key: &str| key.starts_with(PREFIX) && !KNOWN.contains(&key) && !WRITTEN.contains(&key);
        let Some((key, value)) = self.0.iter().find(|(key, _)| unknown(key)) else {
            return Ok(());
        };
        let known = KNOWN.map(|key| key.trim_start_matches(PREFIX)).join(", ");
        let expected =
            format!("removed, because this annotation does not exist; the known ones are {known}");
        Err(invalid(key, value, expected))
    }

    fn parse<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Skip> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        match parse(value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(invalid(key, value, expected)),
        }
    }
}

fn duration(text: &str, min: &str, max: &str) -> Option<SignedDuration> {
    let parse = |text: &str| text.parse::<SignedDuration>().ok();
    parse(text).filter(|duration| parse(min) <= Some(*duration) && Some(*duration) <= parse(max))
}

fn port(text: &str) -> Option<u16> {
    // The standard library accepts a sign and leading zeros.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port: u16 = text.parse().ok().filter(|_| plain)?;
    (port != SIDECAR_PORT).then_some(port)
}

fn management(text: &str) -> Option<Management> {
    if text == "off" {
        return Some(Management::Off);
    }
    port(text).map(Management::Port)
}

/// Parses a request and its limit, which must not be lower. If one is given, the default of the other adapts. Without a
/// default, the request is the limit.
fn pair(
    given: &Annotations<'_>,
    [request_key, limit_key]: [&str; 2],
    expected: &str,
    parse: impl Fn(&str) -> Option<Quantity>,
    default_request: Option<Quantity>,
    default_limit: Option<Quantity>,
) -> Result<(Option<Quantity>, Option<Quantity>), Skip> {
    let request = given.parse(request_key, expected, &parse)?;
    let limit = given.parse(limit_key, expected, &parse)?;
    if let (Some(request), Some(limit)) = (&request, &limit)
        && request.nanos > limit.nanos
    {
        let expected = format!("at most {}, the value of {limit_key}", limit.text);
        return Err(invalid(request_key, &request.text, expected));
    }
    let limit = limit.or_else(|| match &request {
        Some(request) => default_limit.map(|limit| limit.max(request.clone())),
        None => default_limit,
    });
    let request = request.or_else(|| match (default_request, &limit) {
        (Some(request), Some(limit)) => Some(request.min(limit.clone())),
        (request, limit) => request.or_else(|| limit.clone()),
    });
    Ok((request, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_by_jiff_and_formatted_in_its_short_form() {
        let parse = |text| duration(text, "0s", "1h");
        for (text, expected) in [
            ("1s", Some("1s")),
            ("250ms", Some("250ms")),
            ("1.5s", Some("1s500ms")),
            ("1m30s", Some("1m30s")),
            ("90s", Some("1m30s")),
            ("1h", Some("1h")),
            ("1500us", Some("1ms500us")),
            ("1", None),
            ("-1s", None),
            ("1e3s", None),
            ("61m", None),
            ("infs", None),
            ("١s", None),
            ("", None),
        ] {
            let found = parse(text).as_ref().map(format_duration);
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
