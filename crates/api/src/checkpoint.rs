//! The PushScalerCheckpoint resource: what a PushScaler has learned, so that it survives a restart.
//!
//! Anyone with the permission may write one, so none of it is trusted: [`PushScalerCheckpointSpec::decode`] fails if it
//! cannot read a field, and `decision` ignores values out of range.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use pushscale_decision::{Checkpoint, ModelCheckpoint, ObservedStarts, PeriodSaving, RateSeries};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pushscaler::ScaleTargetRef;

/// The version of the fields. A change of their meaning raises it.
const SCHEMA_VERSION: i32 = 1;

/// Bytes of a rate: the upper half of an IEEE 754 number of 32 bits, which is precise to 0.4%.
const RATE_BYTES: usize = 2;

/// The rate that is unknown.
const UNKNOWN: u16 = u16::MAX;

/// Maximum characters of a series: base64 of a week's rates.
const MAX_SERIES_CHARS: usize = (Checkpoint::MAX_RATES * RATE_BYTES).div_ceil(3) * 4;

/// What a PushScaler has learned. Pushscale writes it every ten minutes, and reads it when an aggregator starts. It may
/// be deleted at any time: the next one starts from what the running aggregator knows.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pushscale.dev",
    version = "v1alpha1",
    kind = "PushScalerCheckpoint",
    plural = "pushscalercheckpoints",
    namespaced,
    derive = "PartialEq",
    doc = "What the PushScaler of the same name has learned, so that it survives a restart of the aggregators.",
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".spec.scaleTargetRef.name",
        description = "The object that the PushScaler scales"
    ),
    printcolumn(
        name = "Start-Delay",
        type_ = "number",
        json_path = ".spec.startDelay.seconds",
        description = "The seconds from the creation of a pod until it is ready"
    ),
    printcolumn(
        name = "Written",
        type_ = "date",
        json_path = ".spec.writtenAt",
        description = "The time since the last write"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
// Server-side apply then replaces the whole spec. Otherwise it would keep fields that it does not contain and that were
// written by another request, for example the start delay for an earlier target.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PushScalerCheckpointSpec {
    /// The version of the fields. A checkpoint with another version is not read.
    pub schema_version: i32,
    /// When it was written.
    pub written_at: Time,
    /// The object that the PushScaler scaled then. What was learned about another one does not apply.
    pub scale_target_ref: ScaleTargetRef,
    /// The start delay, if a start was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<LearnedStartDelay>,
    /// What was learned about each model.
    #[serde(default)]
    #[schemars(length(max = Checkpoint::MAX_MODELS))]
    pub models: Vec<LearnedModel>,
}

/// The time from the creation of a pod until it is ready.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LearnedStartDelay {
    /// The start delay in seconds.
    pub seconds: f64,
    /// The number of starts that were observed.
    #[schemars(range(min = 0))]
    pub starts: i64,
}

/// What was learned about a model.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LearnedModel {
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The service time in seconds, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_seconds: Option<f64>,
    /// How much predicting the load of each period ago would have saved.
    #[serde(default)]
    #[schemars(length(max = Checkpoint::MAX_SERIES))]
    pub savings: Vec<LearnedSaving>,
    /// The arrival rates of the last hour and of the last week.
    #[serde(default)]
    #[schemars(length(max = Checkpoint::MAX_SERIES))]
    pub arrivals: Vec<ArrivalSeries>,
}

/// How much predicting the load of one period ago would have saved.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LearnedSaving {
    /// The period in seconds, such as 86400.
    #[schemars(range(min = 1))]
    pub period_seconds: i64,
    /// The saving in seconds of the whole fleet; negative if it would have cost more than it saved.
    pub saved_seconds: f64,
}

/// The highest arrival rate in each of consecutive intervals.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ArrivalSeries {
    /// The beginning of the first interval.
    pub from: Time,
    /// The length of an interval in seconds.
    #[schemars(range(min = 1))]
    pub interval_seconds: i64,
    /// The rates in requests per second, base64 of two bytes each: the upper half of a little-endian 32-bit floating
    /// point number. 0xFFFF is an unknown rate.
    #[schemars(length(max = MAX_SERIES_CHARS))]
    pub rates: String,
}

/// Why a checkpoint cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum CheckpointError {
    #[error("schemaVersion {found} instead of {SCHEMA_VERSION}: another release wrote it")]
    SchemaVersion { found: i32 },
    #[error("models[{model}].arrivals[{series}]: {problem}")]
    Series {
        /// The index of the model.
        model: usize,
        series: usize,
        problem: &'static str,
    },
}

impl PushScalerCheckpointSpec {
    /// Encodes what was learned about `target` until `written_at`.
    pub fn encode(
        written_at: Timestamp,
        scale_target_ref: ScaleTargetRef,
        checkpoint: &Checkpoint,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            written_at: Time(written_at),
            scale_target_ref,
            start_delay: checkpoint.start_delay.map(|starts| LearnedStartDelay {
                seconds: starts.seconds,
                starts: starts.count.into(),
            }),
            models: checkpoint.models.iter().map(encode_model).collect(),
        }
    }

    /// Decodes what was learned. Values out of range are kept, and ignored when they are restored.
    ///
    /// # Errors
    /// If another release wrote it, or a series is invalid.
    pub fn decode(&self) -> Result<Checkpoint, CheckpointError> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(CheckpointError::SchemaVersion {
                found: self.schema_version,
            });
        }
        let models = self.models.iter().take(Checkpoint::MAX_MODELS).enumerate();
        Ok(Checkpoint {
            start_delay: self.start_delay.map(|delay| ObservedStarts {
                seconds: delay.seconds,
                count: u32::try_from(delay.starts.max(0)).unwrap_or(u32::MAX),
            }),
            models: models
                .map(|(index, model)| decode_model(index, model))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn encode_model(model: &ModelCheckpoint) -> LearnedModel {
    LearnedModel {
        name: model.name.to_string(),
        service_seconds: model.service_seconds,
        savings: model
            .savings
            .iter()
            .map(|saving| LearnedSaving {
                period_seconds: i64::try_from(saving.period).unwrap_or(i64::MAX),
                saved_seconds: saving.saving,
            })
            .collect(),
        arrivals: model.rates.iter().filter_map(encode_series).collect(),
    }
}

/// Returns `None` if the series is not in the time that a timestamp can express.
fn encode_series(series: &RateSeries) -> Option<ArrivalSeries> {
    let from = series.first_bucket.checked_mul(series.bucket_seconds)?;
    let bytes: Vec<u8> = series
        .rates
        .iter()
        .flat_map(|rate| rate.map_or(UNKNOWN, upper_half).to_le_bytes())
        .collect();
    Some(ArrivalSeries {
        from: Time(Timestamp::from_second(i64::try_from(from).ok()?).ok()?),
        interval_seconds: i64::try_from(series.bucket_seconds).ok()?,
        rates: STANDARD.encode(bytes),
    })
}

fn decode_model(
    model_index: usize,
    model: &LearnedModel,
) -> Result<ModelCheckpoint, CheckpointError> {
    let series = model
        .arrivals
        .iter()
        .take(Checkpoint::MAX_SERIES)
        .enumerate();
    let savings = model.savings.iter().take(Checkpoint::MAX_SERIES);
    Ok(ModelCheckpoint {
        name: model.name.as_str().into(),
        service_seconds: model.service_seconds,
        savings: savings
            .filter_map(|saving| {
                Some(PeriodSaving {
                    period: u64::try_from(saving.period_seconds).ok()?,
                    saving: saving.saved_seconds,
                })
            })
            .collect(),
        rates: series
            .map(|(index, series)| {
                decode_series(series).map_err(|problem| CheckpointError::Series {
                    model: model_index,
                    series: index,
                    problem,
                })
            })
            .collect::<Result<_, _>>()?,
    })
}

fn decode_series(series: &ArrivalSeries) -> Result<RateSeries, &'static str> {
    let interval = u64::try_from(series.interval_seconds).ok();
    let bucket_seconds = interval
        .filter(|seconds| *seconds > 0)
        .ok_or("intervalSeconds is not positive")?;
    let from = u64::try_from(series.from.0.as_second()).map_err(|_| "from is before 1970")?;
    if series.rates.len() > MAX_SERIES_CHARS {
        return Err("rates are longer than a week");
    }
    let bytes = STANDARD
        .decode(&series.rates)
        .map_err(|_| "rates are not base64")?;
    let (rates, rest) = bytes.as_chunks::<RATE_BYTES>();
    if !rest.is_empty() {
        return Err("rates end within a rate");
    }
    let rates = rates.iter().map(|bytes| u16::from_le_bytes(*bytes));
    Ok(RateSeries {
        bucket_seconds,
        first_bucket: from / bucket_seconds,
        rates: rates
            .map(|half| (half != UNKNOWN).then(|| f32::from_bits(u32::from(half) << 16)))
            .collect(),
    })
}

/// Rounds a rate to its upper half.
fn upper_half(rate: f32) -> u16 {
    let rounded = rate.to_bits().saturating_add(1 << 15) >> 16;
    u16::try_from(rounded).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn target() -> ScaleTargetRef {
        ScaleTargetRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "torchserve".to_owned(),
        }
    }

    fn model(name: String, rates: Vec<Option<f32>>) -> ModelCheckpoint {
        ModelCheckpoint {
            name: name.into(),
            service_seconds: Some(0.123_456_789),
            savings: [900, 1800, 3600, 86_400, 604_800]
                .map(|period| PeriodSaving {
                    period,
                    saving: -12_345.678_901_234,
                })
                .to_vec(),
            rates: vec![
                RateSeries {
                    bucket_seconds: 30,
                    first_bucket: NOW / 30,
                    rates: rates.iter().take(122).copied().collect(),
                },
                RateSeries {
                    bucket_seconds: 600,
                    first_bucket: NOW / 600,
                    rates,
                },
            ],
        }
    }

    fn encode(models: Vec<ModelCheckpoint>) -> PushScalerCheckpointSpec {
        let checkpoint = Checkpoint {
            start_delay: Some(ObservedStarts {
                seconds: 93.25,
                count: 12,
            }),
            models,
        };
        let now = Timestamp::from_second(i64::try_from(NOW).unwrap()).unwrap();
        PushScalerCheckpointSpec::encode(now, target(), &checkpoint)
    }

    #[test]
    fn rates_are_precise_to_half_a_percent_and_unknown_is_not_zero() {
        let exact: Vec<_> = (0..1000)
            .map(|number| (number % 7 != 0).then_some(1.037_f32.powi(number - 500)))
            .chain([Some(0.0)])
            .collect();
        let spec = encode(vec![model("m".to_owned(), exact.clone())]);
        let json = serde_json::to_string(&spec).unwrap();
        let decoded = serde_json::from_str::<PushScalerCheckpointSpec>(&json)
            .unwrap()
            .decode()
            .unwrap();
        let found = &decoded.models[0].rates[1];
        assert_eq!(found.first_bucket, NOW / 600);
        for (exact, found) in exact.iter().zip(&found.rates) {
            match (exact, found) {
                (Some(exact), Some(found)) => {
                    assert!((found - exact).abs() <= 0.004 * exact, "{exact} {found}");
                }
                (exact, found) => assert_eq!(exact, found),
            }
        }
        // A second restart changes nothing more.
        assert_eq!(encode(decoded.models.clone()).decode().unwrap(), decoded);
    }

    #[test]
    fn the_largest_checkpoint_is_128_kb() {
        let models = (0..Checkpoint::MAX_MODELS).map(|number| {
            let rates = vec![Some(1.0); Checkpoint::MAX_RATES];
            model(format!("{number:0>253}"), rates)
        });
        let spec = encode(models.collect());
        for series in spec.models.iter().flat_map(|model| &model.arrivals) {
            assert!(series.rates.len() <= MAX_SERIES_CHARS);
        }
        let size = serde_json::to_string(&spec).unwrap().len();
        assert!((100_000..131_072).contains(&size), "{size} bytes");
        let one = encode(vec![model(
            "resnet-50".to_owned(),
            vec![Some(1.0); Checkpoint::MAX_RATES],
        )]);
        let size = serde_json::to_string(&one).unwrap().len();
        assert!(size < 4096, "{size} bytes");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let good = encode(vec![model("m".to_owned(), vec![Some(1.0)])]);
        let error_of = |change: fn(&mut PushScalerCheckpointSpec)| {
            let mut spec = good.clone();
            change(&mut spec);
            spec.decode().unwrap_err().to_string()
        };
        let series = "models[0].arrivals[1]: ";
        assert_eq!(
            error_of(|spec| spec.schema_version = 2),
            "schemaVersion 2 instead of 1: another release wrote it"
        );
        type Change = fn(&mut ArrivalSeries);
        let broken: [(&str, Change); 6] = [
            ("rates are not base64", |series| series.rates.push('!')),
            ("rates are not base64", |series| series.rates.truncate(3)),
            ("rates end within a rate", |series| {
                series.rates = STANDARD.encode([0; 3]);
            }),
            ("rates are longer than a week", |series| {
                series.rates = STANDARD.encode([0; 4096]);
            }),
            ("intervalSeconds is not positive", |series| {
                series.interval_seconds = 0;
            }),
            ("from is before 1970", |series| {
                series.from = Time(Timestamp::MIN);
            }),
        ];
        for (problem, change) in broken {
            let mut spec = good.clone();
            change(&mut spec.models[0].arrivals[1]);
            let error = spec.decode().unwrap_err().to_string();
            assert_eq!(error, format!("{series}{problem}"));
        }
        let mut forged = good.clone();
        forged.models = vec![good.models[0].clone(); 1000];
        forged.models[0].savings = vec![good.models[0].savings[0]; 1000];
        let decoded = forged.decode().unwrap();
        assert_eq!(decoded.models.len(), Checkpoint::MAX_MODELS);
        assert_eq!(decoded.models[0].savings.len(), Checkpoint::MAX_SERIES);
    }
}
