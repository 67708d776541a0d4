//! Receives readings, decides, explains, and writes the replica count.
