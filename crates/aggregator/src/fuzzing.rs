//! Entry points for the fuzz targets in `tests/fuzz`. Not part of the API.

use std::error::Error;
use std::time::SystemTime;

use crate::auth::Claims;
pub use crate::leadership::LeaseCandidate;

/// Parses the claims of a token and returns the pod's uid and the time at which the token expires.
///
/// # Errors
/// As for a push with this token.
pub fn parse_claims(token: &str) -> Result<(String, SystemTime), Box<dyn Error>> {
    let claims = Claims::parse(token)?;
    Ok((claims.uid.as_str().to_owned(), claims.expires))
}
