//! Messages and status codes of API server errors.

/// The status code for an object, or a kind, that does not exist.
pub(crate) const NOT_FOUND: u16 = 404;

/// The status code for an object that has changed since it was read.
pub(crate) const CONFLICT: u16 = 409;

/// The status code for a JSON patch whose test fails, or for an invalid object.
pub(crate) const UNPROCESSABLE: u16 = 422;

/// The message for a request that the API server did not answer in time.
pub(crate) const TIMED_OUT: &str = "the API server did not respond in time";

/// Returns the API server's own message, without the text that the client adds.
pub(crate) fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
