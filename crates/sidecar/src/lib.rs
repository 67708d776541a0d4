//! Reads one TorchServe and pushes its queue latency to every aggregator: scrape, parse, read, push.

pub mod exposition;
pub mod look;
pub mod reading;
pub mod torchserve;
