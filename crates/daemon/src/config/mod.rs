//! Configuration: an optional file, overridden by the environment. All config errors are reported at once.
//!
//! The key `scrape_interval` of a file is `PUSHSCALE_SIDECAR_SCRAPE_INTERVAL` in the environment. An unknown key is an
//! error, since a misspelt one would have no effect.

mod command_line;
mod setting;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat, Map, Source as _};
use jiff::SignedDuration;
use strsim::levenshtein;

pub use command_line::load;
pub use setting::{Kind, Program, Setting};

use crate::error::chain;

/// The settings of one program.
#[derive(Debug)]
pub struct Settings {
    program: &'static Program,
    file: Option<PathBuf>,
    given: BTreeMap<String, Given>,
    errors: Vec<ConfigError>,
}

/// A value that is not the default.
#[derive(Debug)]
struct Given {
    text: String,
    in_file: bool,
}

/// An error in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: String,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl Settings {
    /// Reads `file`, if any, and the environment variables with the program's prefix.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or a variable is not UTF-8.
    pub fn load(
        program: &'static Program,
        file: Option<PathBuf>,
    ) -> Result<Self, Vec<ConfigError>> {
        Self::read(program, file, Environment::with_prefix(program.prefix))
    }

    /// Reads `pairs` instead of the environment, and no file.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_pairs<'a>(
        program: &'static Program,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<ConfigError>> {
        Self::read(program, None, environment_of(program, pairs))
    }

    fn read(
        program: &'static Program,
        file: Option<PathBuf>,
        environment: Environment,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut builder = Config::builder();
        if let Some(path) = &file {
            builder = builder.add_source(file_source(path).map_err(|error| vec![error])?);
        }
        let values = builder
            .add_source(environment)
            .build()
            .and_then(|config| config.collect())
            .map_err(|error| {
                vec![ConfigError {
                    setting: program.prefix.to_owned(),
                    problem: chain(&error).to_string(),
                }]
            })?;
        let mut settings = Self {
            program,
            file,
            given: BTreeMap::new(),
            errors: Vec::new(),
        };
        for (key, value) in BTreeMap::from_iter(values) {
            // Values from the file's text have no origin.
            let in_file = value.origin().is_none();
            if !in_file && is_service_link(&key) {
                continue;
            }
            let text = value.into_string();
            let is_text = text.is_ok();
            let text = text.unwrap_or_default();
            settings.given.insert(key.clone(), Given { text, in_file });
            if !program.settings().any(|setting| setting.key == key) {
                settings.add_unknown(&key);
            } else if !is_text {
                settings.add_error(&key, "must be text, a number, true or false".to_owned());
                settings.given.remove(&key);
            }
        }
        Ok(settings)
    }

    /// Returns the text of a setting, or its default. If a required setting is missing, adds a config error and returns
    /// an empty text.
    pub fn text(&mut self, key: &str) -> String {
        let setting = self.program.settings().find(|setting| setting.key == key);
        let default = setting.and_then(|setting| setting.default);
        match (self.given.get(key), default) {
            (Some(given), Some(_)) => given.text.clone(),
            (Some(given), None) if !given.text.is_empty() => given.text.clone(),
            (_, Some(default)) => default.to_owned(),
            (_, None) => {
                let description = setting.map_or("not declared", |setting| setting.description);
                self.add_error(key, format!("is required: {description}"));
                String::new()
            }
        }
    }

    /// Returns the text of a setting, if it is not empty.
    pub fn optional(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// Parses a setting. If `parse` fails, adds a config error with its error, which describes the valid values.
    pub fn parse<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let errors = self.errors.len();
        let text = self.text(key);
        match parse(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                // A missing value has been reported.
                if self.errors.len() == errors {
                    self.add_error(key, format!("is {text:?}: it must be {expected}"));
                }
                None
            }
        }
    }

    fn parse_kind<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str, &Kind) -> Option<T>,
    ) -> Option<T> {
        let setting = self.program.settings().find(|setting| setting.key == key)?;
        self.parse(key, |text| {
            parse(text, &setting.kind).ok_or_else(|| setting.kind.expected())
        })
    }

    /// Parses a setting that is one of several words, each with its value.
    pub fn one_of<T: Copy>(&mut self, key: &str, values: &[(&str, T)]) -> Option<T> {
        self.parse_kind(key, |text, _| {
            values
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
        })
    }

    /// Parses a setting that is `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> bool {
        self.parse_kind(key, |text, _| text.parse().ok())
            .unwrap_or_default()
    }

    /// Parses a duration within its range.
    pub fn duration(&mut self, key: &str) -> Duration {
        self.parse_kind(key, |text, kind| {
            let Kind::Duration(min, max) = kind else {
                return None;
            };
            let range = parse_duration(min)?..=parse_duration(max)?;
            parse_duration(text).filter(|duration| range.contains(duration))
        })
        .unwrap_or_default()
    }

    /// Parses a whole number within its range.
    pub fn number(&mut self, key: &str) -> usize {
        self.parse_kind(key, |text, kind| {
            let Kind::Number(min, max) = kind else {
                return None;
            };
            text.parse()
                .ok()
                .filter(|number| (min..=max).contains(&number))
        })
        .unwrap_or_default()
    }

    /// Parses an address to listen on, such as `[::]:8490` or `127.0.0.1:8490`.
    pub fn address(&mut self, key: &str) -> SocketAddr {
        self.parse_kind(key, |text, _| text.parse().ok())
            .unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// Adds a config error that only the program can detect.
    pub fn add_error(&mut self, key: &str, problem: String) {
        let setting = match &self.file {
            Some(file) if self.is_in_file(key) => format!("{}: {key}", file.display()),
            _ => self.program.variable(key),
        };
        self.errors.push(ConfigError { setting, problem });
    }

    fn is_in_file(&self, key: &str) -> bool {
        self.given.get(key).is_some_and(|given| given.in_file)
    }

    fn add_unknown(&mut self, key: &str) {
        let lower = key.to_lowercase();
        let nearest = self
            .program
            .settings()
            .map(|setting| (levenshtein(&lower, setting.key), setting.key))
            .min();
        let problem = match nearest {
            Some((0..=2, nearest)) => {
                let nearest = match self.is_in_file(key) {
                    true => nearest.to_owned(),
                    false => self.program.variable(nearest),
                };
                format!("unknown setting; did you mean {nearest}?")
            }
            _ => "unknown setting".to_owned(),
        };
        self.add_error(key, problem);
    }

    /// Returns `value` unless there are config errors.
    ///
    /// # Errors
    /// All config errors.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(value)
        } else {
            Err(self.errors)
        }
    }

    /// Returns the effective settings as a TOML file, with the source of each in a comment. No setting holds a secret:
    /// tokens and keys are in files, and settings name those.
    fn effective(&self) -> String {
        let mut lines = String::new();
        for Setting { key, default, .. } in self.program.settings() {
            lines += &match (self.given.get(*key), default) {
                (Some(Given { text, in_file }), _) => {
                    let source = if *in_file { "file" } else { "environment" };
                    format!("{key} = {text:?} # {source}\n")
                }
                (None, Some("")) => format!("# {key} is not set\n"),
                (None, Some(text)) => format!("{key} = {text:?} # default\n"),
                (None, None) => format!("# {key} is required\n"),
            };
        }
        lines
    }
}

fn environment_of<'a>(
    program: &Program,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Environment {
    let pairs: Map<String, String> = pairs
        .into_iter()
        .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
        .collect();
    Environment::with_prefix(program.prefix).source(Some(pairs))
}

fn file_source(path: &Path) -> Result<File<config::FileSourceString, FileFormat>, ConfigError> {
    let error = |problem| ConfigError {
        setting: path.display().to_string(),
        problem,
    };
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        #[cfg(feature = "yaml")]
        Some("yaml" | "yml") => FileFormat::Yaml,
        _ if cfg!(feature = "yaml") => {
            return Err(error("must end in .toml, .yaml or .yml".to_owned()));
        }
        _ => return Err(error("must end in .toml".to_owned())),
    };
    let text =
        std::fs::read_to_string(path).map_err(|cause| error(format!("failed to read: {cause}")))?;
    let source = File::from_str(&text, format);
    // Parsed here as well, so that an error names the file.
    source
        .collect()
        .map_err(|cause| error(chain(&cause).to_string()))?;
    Ok(source)
}

/// Parses a duration such as `250ms`, `1.5s` or `1m30s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let duration = text.parse::<SignedDuration>().ok()?;
    Duration::try_from(duration).ok()
}

/// Kubernetes gives every container variables for the Services of its namespace. Those of a Service named
/// pushscale-aggregator begin with our prefix: PUSHSCALE_AGGREGATOR_PORT=tcp://10.96.7.1:8490 and so on.
fn is_service_link(key: &str) -> bool {
    key == "port" || key.starts_with("port_") || key.starts_with("service_")
}

#[cfg(test)]
mod tests;
