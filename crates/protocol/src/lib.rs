//! The push message: what one sidecar says to one aggregator, versioned.
