//! The status page of a real aggregator, read over HTTP and in a real Chromium.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accessibility;
mod browser;
mod http;
mod screenshots;
mod streams;
mod support;
