//! The commands, as a user runs them.

#![cfg(test)]

mod adopt;
mod api_server;
mod commands;
mod doctor;
mod doctor_clock;
#[path = "../../../daemon/tests/support/golden.rs"]
mod golden;
mod inject;
mod installed;
mod manifest;
mod overloaded_api_server;
mod simulate;
mod simulating_document;
mod spec_durations;
mod sweep;
mod terminal;
mod trace;
