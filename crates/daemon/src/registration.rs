//! Registers the metrics of a program.

use std::fmt;
use std::hash::Hash;

use prometheus_client::collector::Collector;
use prometheus_client::registry::{Metric, Registry};

use crate::labeled_counter::LabeledCounter;

/// The registry of a program, whose metrics have a common prefix.
#[derive(Debug)]
pub struct Registration<'a>(&'a mut Registry);

impl<'a> Registration<'a> {
    /// Registers metrics with this prefix.
    pub fn new(registry: &'a mut Registry, prefix: &'static str) -> Self {
        Self(registry.sub_registry_with_prefix(prefix))
    }

    /// Registers a metric and returns it.
    pub fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add_metric(name, help, M::default())
    }

    /// Registers this metric and returns it.
    pub fn add_metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    /// Registers metrics that are collected when they are scraped, and returns their collector.
    pub fn add_collector<C: Collector + Clone>(&mut self, collector: C) -> C {
        self.0.register_collector(Box::new(collector.clone()));
        collector
    }

    /// Registers counters with the label `outcome`, and returns them.
    pub fn outcomes<T>(&mut self, name: &str, help: &str) -> LabeledCounter<T>
    where
        T: Clone + fmt::Debug + Eq + Hash + Send + Sync + 'static,
    {
        self.labeled(name, "outcome", help)
    }

    /// Registers counters with a label, and returns them. The registry adds `_total` to their name.
    pub fn labeled<T>(&mut self, name: &str, label: &'static str, help: &str) -> LabeledCounter<T>
    where
        T: Clone + fmt::Debug + Eq + Hash + Send + Sync + 'static,
    {
        let counter = LabeledCounter::new(label);
        self.0.register(name, help, counter.family());
        counter
    }
}
