//! The pushscale command.
