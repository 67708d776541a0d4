//! Reads one TorchServe and pushes its queue latency: scrape, parse, read, push.
