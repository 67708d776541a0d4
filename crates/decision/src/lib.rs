//! Readings and time in, explained decision out. Pure: no clock, no IO, no dependencies.
