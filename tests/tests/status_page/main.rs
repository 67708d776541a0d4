//! The status page of a real aggregator, read over HTTP and in a real Chromium.

#![cfg(test)]

mod accessibility;
mod browser;
mod http;
mod screenshots;
mod streams;
mod support;
