//! Counts requests per second.

use std::collections::BTreeMap;

use pushscale_simulator::traffic::Unit;

use super::series::{Series, Span};

/// The number of requests of each second in which any arrived.
#[derive(Debug, Default)]
pub(super) struct Requests {
    span: Span,
    counts: BTreeMap<i64, u64>,
}

impl Requests {
    /// Adds requests at this second since 1970.
    ///
    /// # Errors
    /// If the times are too far apart for a trace.
    pub(super) fn add(&mut self, second: i64) -> Result<(), String> {
        self.span.include(second)?;
        *self.counts.entry(second).or_default() += 1;
        Ok(())
    }

    /// Returns the counts of all seconds. A longer pause than `gap` seconds is unknown, a shorter one has no requests.
    pub(super) fn finish(self, gap: i64) -> Option<Series> {
        let (start, _) = self.span.bounds()?;
        let mut values = Vec::new();
        let mut next = start;
        for (second, count) in self.counts {
            let pause = second - next;
            let value = if pause > gap { None } else { Some(0.0) };
            values.extend((0..pause).map(|_| value));
            values.push(Some(count as f64));
            next = second + 1;
        }
        Some(Series {
            unit: Unit::Requests,
            values,
            start,
        })
    }
}
