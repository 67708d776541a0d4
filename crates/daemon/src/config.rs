//! Configuration from the environment: typed, complete, all mistakes at once.
//!
//! A key is an environment variable with the program's prefix: `scrape_interval` is
//! `PUSHSCALE_SIDECAR_SCRAPE_INTERVAL`. A key that the program does not know is a mistake, since a typo that
//! passes is a setting that does nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use config::{Config, Environment, Map};
use jiff::SignedDuration;

/// The settings of one program, taken key by key.
#[derive(Debug)]
pub struct Settings {
    prefix: &'static str,
    given: BTreeMap<String, String>,
    mistakes: Vec<ConfigError>,
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: String,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

impl Settings {
    /// Everything in the environment that begins with `prefix` and an underscore.
    ///
    /// # Errors
    /// If the environment holds a variable of ours that is not text.
    pub fn from_environment(prefix: &'static str) -> Result<Self, Vec<ConfigError>> {
        Self::read(prefix, Environment::with_prefix(prefix))
    }

    /// The same from pairs, as a test or the demo has them.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn from_pairs<'a>(
        prefix: &'static str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<ConfigError>> {
        let pairs: Map<String, String> = pairs
            .into_iter()
            .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
            .collect();
        Self::read(prefix, Environment::with_prefix(prefix).source(Some(pairs)))
    }

    fn read(prefix: &'static str, environment: Environment) -> Result<Self, Vec<ConfigError>> {
        let unreadable = |error: config::ConfigError| {
            vec![ConfigError {
                variable: prefix.to_owned(),
                problem: error.to_string(),
            }]
        };
        let given: BTreeMap<String, String> = Config::builder()
            .add_source(environment)
            .build()
            .and_then(Config::try_deserialize)
            .map_err(unreadable)?;
        Ok(Self {
            prefix,
            given: given
                .into_iter()
                .filter(|(key, _)| !is_service_link(key))
                .collect(),
            mistakes: Vec::new(),
        })
    }

    /// Text, or `default`.
    pub fn text(&mut self, key: &str, default: &str) -> String {
        self.given.remove(key).unwrap_or_else(|| default.to_owned())
    }

    /// Text that must be there.
    pub fn required(&mut self, key: &str, expected: &str) -> String {
        match self.given.remove(key) {
            Some(text) if !text.is_empty() => text,
            _ => {
                self.add_error(key, format!("is missing: it must be {expected}"));
                String::new()
            }
        }
    }

    /// A duration such as `1s` or `250ms` between `least` and `most`.
    pub fn duration(
        &mut self,
        key: &str,
        default: Duration,
        least: Duration,
        most: Duration,
    ) -> Duration {
        let Some(text) = self.given.remove(key) else {
            return default;
        };
        match parse_duration(&text) {
            Some(found) if (least..=most).contains(&found) => found,
            _ => {
                let expected =
                    format!("is {text:?}: it must be a duration from {least:?} to {most:?}");
                self.add_error(key, expected);
                default
            }
        }
    }

    /// A whole number between `least` and `most`.
    pub fn number(&mut self, key: &str, default: usize, least: usize, most: usize) -> usize {
        let Some(text) = self.given.remove(key) else {
            return default;
        };
        match text.parse() {
            Ok(found) if (least..=most).contains(&found) => found,
            _ => {
                let expected =
                    format!("is {text:?}: it must be a whole number from {least} to {most}");
                self.add_error(key, expected);
                default
            }
        }
    }

    /// An address to listen on, such as `0.0.0.0:8490` or `[::]:8490`.
    pub fn address(&mut self, key: &str, default: SocketAddr) -> SocketAddr {
        let Some(text) = self.given.remove(key) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            let expected =
                format!("is {text:?}: it must be an IP address and a port, such as 0.0.0.0:8490");
            self.add_error(key, expected);
            default
        })
    }

    /// A mistake that only the program itself can see.
    pub fn add_error(&mut self, key: &str, problem: String) {
        let variable = format!("{}_{}", self.prefix, key.to_uppercase());
        self.mistakes.push(ConfigError { variable, problem });
    }

    /// `value`, if nothing was wrong and every key was known.
    ///
    /// # Errors
    /// All mistakes.
    pub fn finish<T>(mut self, value: T) -> Result<T, Vec<ConfigError>> {
        for key in std::mem::take(&mut self.given).into_keys() {
            self.add_error(&key, "is no setting of this program".to_owned());
        }
        if self.mistakes.is_empty() {
            Ok(value)
        } else {
            Err(self.mistakes)
        }
    }
}

/// Parses a duration such as `250ms`, `1.5s` or `1m30s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let duration = text.parse::<SignedDuration>().ok()?;
    Duration::try_from(duration).ok()
}

/// Kubernetes gives every container variables for the Services of its namespace. That of a Service named
/// pushscale-aggregator begins with our prefix: PUSHSCALE_AGGREGATOR_PORT=tcp://10.96.7.1:8490 and the like.
fn is_service_link(key: &str) -> bool {
    key == "port" || key.starts_with("port_") || key.starts_with("service_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::from_pairs("PUSHSCALE_TEST", pairs.iter().copied()).unwrap()
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_name_the_variable() {
        let mut settings = settings(&[
            ("PUSHSCALE_TEST_INTERVAL", "soon"),
            ("PUSHSCALE_TEST_LISTEN", "here"),
            ("PUSHSCALE_TEST_LIMIT", "0"),
            ("PUSHSCALE_TEST_INTERWAL", "1s"),
            ("UNRELATED", "1"),
        ]);
        settings.duration("interval", SECOND, SECOND / 10, SECOND * 60);
        settings.address("listen", ([0, 0, 0, 0], 1).into());
        settings.number("limit", 5, 1, 10);
        settings.required("pod_name", "the pod's name");
        let told: Vec<String> = settings
            .finish(())
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "PUSHSCALE_TEST_INTERVAL: is \"soon\": it must be a duration from 100ms to 60s",
                "PUSHSCALE_TEST_LISTEN: is \"here\": it must be an IP address and a port, such as 0.0.0.0:8490",
                "PUSHSCALE_TEST_LIMIT: is \"0\": it must be a whole number from 1 to 10",
                "PUSHSCALE_TEST_POD_NAME: is missing: it must be the pod's name",
                "PUSHSCALE_TEST_INTERWAL: is no setting of this program",
            ]
        );
    }

    #[test]
    fn the_variables_of_a_service_of_our_name_are_no_settings() {
        let settings = settings(&[
            ("PUSHSCALE_TEST_PORT", "tcp://10.96.7.1:8490"),
            ("PUSHSCALE_TEST_PORT_8490_TCP_ADDR", "10.96.7.1"),
            ("PUSHSCALE_TEST_SERVICE_HOST", "10.96.7.1"),
        ]);
        assert_eq!(settings.finish(7), Ok(7));
    }

    #[test]
    fn durations_have_units() {
        let cases = [
            ("250ms", Some(SECOND / 4)),
            ("1.5s", Some(SECOND * 3 / 2)),
            ("2m", Some(SECOND * 120)),
            ("1m30s", Some(SECOND * 90)),
            ("1", None),
            ("-1s", None),
            ("s", None),
            ("1e400s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
