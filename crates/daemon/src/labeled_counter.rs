//! Counters with one label.

use std::fmt;
use std::hash::Hash;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Metric;

/// A family of counters with one label, whose values are the variants of the enum `T` in `snake_case`. Clones share
/// their counts.
#[derive(Clone, Debug)]
pub struct LabeledCounter<T: Clone + Eq + Hash> {
    label: &'static str,
    counters: Family<[(&'static str, LabelValue<T>); 1], Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LabelValue<T>(T);

impl<T> LabeledCounter<T>
where
    T: Clone + fmt::Debug + Eq + Hash + Send + Sync + 'static,
{
    pub(crate) fn new(label: &'static str) -> Self {
        let counters = Family::default();
        Self { label, counters }
    }

    /// Returns what is registered.
    pub(crate) fn family(&self) -> impl Metric {
        self.counters.clone()
    }

    /// Exports the counters of these values from the start. Prometheus computes no increase from a counter that appears
    /// with its first count, so an alert on a rare value needs this.
    #[must_use]
    pub fn from_zero(self, values: impl IntoIterator<Item = T>) -> Self {
        for value in values {
            self.add(value, 0);
        }
        self
    }

    /// Increments the counter of `value`.
    pub fn increment(&self, value: T) {
        self.add(value, 1);
    }

    /// Adds `count` to the counter of `value`.
    pub fn add(&self, value: T, count: u64) {
        self.counters
            .get_or_create(&[(self.label, LabelValue(value))])
            .inc_by(count);
    }
}

impl<T: fmt::Debug> EncodeLabelValue for LabelValue<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        EncodeLabelValue::encode(&label_value(&self.0).as_str(), encoder)
    }
}

/// Returns the label value of an enum's variant: its name in `snake_case`.
pub fn label_value(variant: &impl fmt::Debug) -> String {
    snake_case(&format!("{variant:?}"))
}

/// Converts an `UpperCamelCase` name to `snake_case`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::registration::Registration;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Outcome {
        Accepted,
        TokenDenied,
    }

    #[test]
    fn label_values_are_snake_case() {
        let mut registry = Registry::default();
        let counter = Registration::new(&mut registry, "test").outcomes("pushes", "Pushes");
        counter.increment(Outcome::Accepted);
        counter.add(Outcome::TokenDenied, 2);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        assert!(
            page.contains("pushes_total{outcome=\"accepted\"} 1"),
            "{page}"
        );
        assert!(
            page.contains("pushes_total{outcome=\"token_denied\"} 2"),
            "{page}"
        );
    }
}
