//! What each long-running Pushscale program needs: config, logs, HTTP, shutdown, readiness.
