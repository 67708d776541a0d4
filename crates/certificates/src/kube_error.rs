//! Messages of API server errors.

/// The message for a request that the API server did not answer in time.
pub(crate) const TIMED_OUT: &str = "the API server did not respond in time";

/// Returns the API server's own message, without the text that the client adds.
pub(crate) fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
