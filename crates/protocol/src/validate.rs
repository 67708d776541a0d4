//! Parses and validates push messages: every number of a parsed message is finite and in its range.

use serde::Deserialize;
use thiserror::Error;

use crate::json_error::JsonError;
use crate::limits::{
    MAX_AGE_SECONDS, MAX_COUNT, MAX_INTERVAL_SECONDS, MAX_MODELS, MAX_NAME_BYTES, MAX_WAIT_SECONDS,
};
use crate::names::VERSION;
use crate::push::{Model, Push};

/// Why a body is not a valid push message.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum ParseError {
    #[error("invalid push message")]
    Shape(#[source] JsonError),
    #[error(
        "unsupported push version {0}, only {VERSION} is supported: update the aggregator before the sidecars"
    )]
    Version(u64),
    #[error("{field} is {found}: it must be {expected}")]
    Value {
        field: &'static str,
        found: String,
        expected: &'static str,
    },
}

impl<'a> Push<'a> {
    /// Parses and validates a body.
    ///
    /// # Errors
    /// The first error found, with the name of the field.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        // Validating UTF-8 once costs a fifth of validating each string.
        let parsed = match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str::<Self>(text),
            // Fails with the line and column of the error.
            Err(_) => serde_json::from_slice(body),
        };
        match parsed {
            Ok(push) if push.version != VERSION => Err(ParseError::Version(push.version.into())),
            Ok(push) => push.validate().map(|()| push),
            Err(error) => Err(other_version(body).unwrap_or(ParseError::Shape(error.into()))),
        }
    }

    fn validate(&self) -> Result<(), ParseError> {
        name("pod.namespace", &self.pod.namespace)?;
        name("pod.name", &self.pod.name)?;
        name("pod.uid", &self.pod.uid)?;
        if self.sequence == 0 {
            return Err(ParseError::Value {
                field: "sequence",
                found: "0".to_owned(),
                expected: "1 or more",
            });
        }
        within("clockSeconds", self.clock_seconds, MAX_COUNT, "from 0")?;
        within(
            "ageSeconds",
            self.age_seconds,
            MAX_AGE_SECONDS,
            "from 0 to 60: a reading is neither from the future nor older than a minute",
        )?;
        within(
            "intervalSeconds",
            self.interval_seconds,
            MAX_INTERVAL_SECONDS,
            "from 0 to 60",
        )?;
        count("server.succeededTotal", self.server.succeeded_total)?;
        count("server.failedTotal", self.server.failed_total)?;
        if self.models.len() > MAX_MODELS {
            return Err(ParseError::Value {
                field: "models",
                found: format!("a list of {}", self.models.len()),
                expected: "a list of at most 256",
            });
        }
        self.models.iter().try_for_each(Model::validate)
    }
}

impl Model<'_> {
    fn validate(&self) -> Result<(), ParseError> {
        name("models[].name", &self.name)?;
        if let Some(wait) = self.queue_latency_seconds {
            within(
                "models[].queueLatencySeconds",
                wait,
                MAX_WAIT_SECONDS,
                "from 0 to 1000000",
            )?;
        }
        count("models[].arrivalsTotal", self.arrivals_total)?;
        count("models[].rejectedTotal", self.rejected_total)?;
        count("models[].completedTotal", self.completed_total)?;
        count("models[].inFlight", self.in_flight)?;
        count("models[].waitSecondsTotal", self.wait_seconds_total)?;
        count("models[].sojournSecondsTotal", self.sojourn_seconds_total)?;
        count("models[].waiting", self.waiting)?;
        count("models[].capacityLeft", self.capacity_left)?;
        count("models[].workersReady", self.workers_ready)?;
        count("models[].batchSize", self.batch_size)?;
        count("models[].batchDelaySeconds", self.batch_delay_seconds)?;
        count("models[].serviceSeconds", self.service_seconds)
    }
}

/// Returns the error of another version, whose body may have any shape.
fn other_version(body: &[u8]) -> Option<ParseError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let found = serde_json::from_slice::<Versioned>(body).ok()?.version;
    (found != u64::from(VERSION)).then_some(ParseError::Version(found))
}

fn name(field: &'static str, found: &str) -> Result<(), ParseError> {
    if found.is_empty() || found.len() > MAX_NAME_BYTES {
        return Err(ParseError::Value {
            field,
            found: format!("{} bytes long", found.len()),
            expected: "a name of 1 to 253 bytes",
        });
    }
    Ok(())
}

fn count(field: &'static str, found: Option<f64>) -> Result<(), ParseError> {
    match found {
        Some(found) => within(field, found, MAX_COUNT, "from 0 to 2^53"),
        None => Ok(()),
    }
}

fn within(
    field: &'static str,
    found: f64,
    max: f64,
    expected: &'static str,
) -> Result<(), ParseError> {
    if (0.0..=max).contains(&found) {
        return Ok(());
    }
    Err(ParseError::Value {
        field,
        found: found.to_string(),
        expected,
    })
}
