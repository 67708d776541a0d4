//! What the pod's annotations ask for, each checked to the letter: a value that passes is put into a container's
//! environment and a volume's path.

mod duration;
mod image;
mod path;
mod quantity;

use std::collections::BTreeMap;

use pushscale_api::names::annotations as names;
use pushscale_protocol::SIDECAR_PORT;

use crate::skip::Skip;
use duration::Span;
use quantity::Quantity;

/// The beginning of all our annotations.
const PREFIX: &str = "pushscale.dev/";

/// All that a user may set.
const KNOWN: [&str; 12] = [
    names::METRICS_PORT,
    names::METRICS_PATH,
    names::MANAGEMENT_PORT,
    names::MANAGEMENT_TOKEN_FILE,
    names::INTERVAL,
    names::IMAGE,
    names::CPU_REQUEST,
    names::CPU_LIMIT,
    names::MEMORY_REQUEST,
    names::MEMORY_LIMIT,
    names::DRAIN_DEADLINE,
    names::CONTAINER,
];

/// Long values are told by their beginning.
const MOST_TOLD: usize = 80;

const MILLI: u128 = 1_000_000;
const MEBI: u128 = 1 << 20;
const NANO: u128 = 1_000_000_000;

/// What the pod's annotations ask for; `None`: nothing said.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) metrics_port: Option<u16>,
    pub(crate) metrics_path: Option<String>,
    pub(crate) management: Option<Management>,
    pub(crate) token_file: Option<String>,
    pub(crate) interval: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) drain_deadline: Option<Span>,
    pub(crate) resources: Resources,
}

/// TorchServe's management port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Management {
    Off,
    Port(u16),
}

/// What the sidecar asks for and gets at most.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) cpu_request: String,
    pub(crate) cpu_limit: Option<String>,
    pub(crate) memory_request: String,
    pub(crate) memory_limit: String,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_request: "1m".to_owned(),
            cpu_limit: None,
            memory_request: "4Mi".to_owned(),
            memory_limit: "16Mi".to_owned(),
        }
    }
}

/// Reads them.
pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Result<Wishes, Skip> {
    let given = Given(annotations);
    given.only_known()?;
    Ok(Wishes {
        metrics_port: given.checked(names::METRICS_PORT, PORT, port)?,
        metrics_path: given.checked(names::METRICS_PATH, path::URL, path::url)?,
        management: given.checked(
            names::MANAGEMENT_PORT,
            "a port from 1 to 65535 other than the sidecar's 8492, or off",
            management,
        )?,
        token_file: given.checked(names::MANAGEMENT_TOKEN_FILE, path::FILE, path::file)?,
        interval: given
            .checked(
                names::INTERVAL,
                "a duration from 100ms to 60s, such as 1s",
                |text| Span::parse(text).filter(|span| (100..=60_000).contains(&span.millis())),
            )?
            .map(|span| span.text),
        image: given.checked(names::IMAGE, image::EXPECTED, image::reference)?,
        container: given.checked(names::CONTAINER, "the name of a container of the pod", any)?,
        drain_deadline: given.checked(
            names::DRAIN_DEADLINE,
            "a duration from 1s to 1h, such as 25s",
            |text| Span::parse(text).filter(|span| (1_000..=3_600_000).contains(&span.millis())),
        )?,
        resources: resources(&given)?,
    })
}

/// Is it the reference of an image? Says what it must be if not.
///
/// # Errors
/// If it is not.
pub fn check_image(text: &str) -> Result<(), &'static str> {
    image::reference(text).map(|_| ()).ok_or(image::EXPECTED)
}

/// A value that cannot be used.
pub(crate) fn invalid(annotation: &str, value: &str, expected: impl Into<String>) -> Skip {
    let mut told: String = value.chars().take(MOST_TOLD).collect();
    if told.len() < value.len() {
        told.push('…');
    }
    Skip::InvalidAnnotation {
        annotation: annotation.to_owned(),
        value: told,
        expected: expected.into(),
    }
}

const PORT: &str = "a port from 1 to 65535 other than the sidecar's 8492";

struct Given<'a>(&'a BTreeMap<String, String>);

impl Given<'_> {
    fn only_known(&self) -> Result<(), Skip> {
        let written = [
            names::INJECTED,
            names::SKIPPED,
            names::ORIGINAL_GRACE_PERIOD,
        ];
        for (key, value) in self.0 {
            let ours = key.starts_with(PREFIX) && !written.contains(&key.as_str());
            if ours && !KNOWN.contains(&key.as_str()) {
                // A typo that passes is a setting that does nothing.
                let known: Vec<_> = KNOWN
                    .iter()
                    .filter_map(|key| key.strip_prefix(PREFIX))
                    .collect();
                let expected = format!(
                    "left out, since there is no such annotation: there are {}",
                    known.join(", ")
                );
                return Err(invalid(&cut(key), value, expected));
            }
        }
        Ok(())
    }

    fn checked<T>(
        &self,
        key: &str,
        expected: &str,
        check: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Skip> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        match check(value) {
            Some(good) => Ok(Some(good)),
            None => Err(invalid(key, value, expected)),
        }
    }
}

fn cut(key: &str) -> String {
    key.chars().take(MOST_TOLD).collect()
}

fn any(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn port(text: &str) -> Option<u16> {
    // The parser of the standard library takes a sign and leading zeros.
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

fn resources(given: &Given<'_>) -> Result<Resources, Skip> {
    let cpu = "a quantity of CPU above 0, such as 1m";
    let memory = "a quantity of memory of at least 1Mi, such as 16Mi";
    let some_cpu = |text: &str| Quantity::parse(text).filter(|found| found.nanos > 0);
    let some_memory = |text: &str| Quantity::parse(text).filter(|found| found.nanos >= MEBI * NANO);
    let (cpu_request, cpu_limit) = pair(
        given,
        [names::CPU_REQUEST, names::CPU_LIMIT],
        [cpu, cpu],
        some_cpu,
        Quantity::new("1m", MILLI),
        None,
    )?;
    let (memory_request, memory_limit) = pair(
        given,
        [names::MEMORY_REQUEST, names::MEMORY_LIMIT],
        [memory, memory],
        some_memory,
        Quantity::new("4Mi", 4 * MEBI * NANO),
        Some(Quantity::new("16Mi", 16 * MEBI * NANO)),
    )?;
    let default = Resources::default();
    Ok(Resources {
        cpu_request: cpu_request.text,
        cpu_limit: cpu_limit.map(|limit| limit.text),
        memory_request: memory_request.text,
        memory_limit: memory_limit.map_or(default.memory_limit, |limit| limit.text),
    })
}

/// A request and a limit, which the API server wants in this order. Where one is said, the default of the other
/// gives way.
fn pair(
    given: &Given<'_>,
    [request_key, limit_key]: [&str; 2],
    [request_is, limit_is]: [&str; 2],
    check: impl Fn(&str) -> Option<Quantity>,
    default_request: Quantity,
    default_limit: Option<Quantity>,
) -> Result<(Quantity, Option<Quantity>), Skip> {
    let request = given.checked(request_key, request_is, &check)?;
    let limit = given.checked(limit_key, limit_is, &check)?;
    Ok(match (request, limit) {
        (Some(request), Some(limit)) if request.nanos > limit.nanos => {
            let expected = format!(
                "at most the limit, which {limit_key} says is {}",
                limit.text
            );
            return Err(invalid(request_key, &request.text, expected));
        }
        (Some(request), Some(limit)) => (request, Some(limit)),
        (Some(request), None) => {
            let limit = default_limit.map(|limit| limit.max(request.clone()));
            (request, limit)
        }
        (None, Some(limit)) => (default_request.min(limit.clone()), Some(limit)),
        (None, None) => (default_request, default_limit),
    })
}
