//! Why a push was not authenticated.

use thiserror::Error;

/// Why a push was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AuthError {
    #[error(
        "token missing: send the pod's service account token, audience pushscale, as authorization: Bearer …"
    )]
    TokenMissing,
    #[error("not a service account token")]
    NotAServiceAccountToken,
    #[error("wrong audience: the token must be issued for the audience pushscale")]
    WrongAudience,
    #[error("the token is not bound to a pod: mount a projected service account token")]
    NotPodBound,
    #[error("the token has expired")]
    Expired,
    #[error("unknown pod: no PushScaler's target selects a pod with this uid")]
    UnknownPod,
    #[error("the API server denied the token")]
    Denied,
    #[error("the API server could not review the token")]
    ReviewUnavailable,
    #[error("too many tokens from this address are in review or were denied: retry in ten seconds")]
    TooManyReviews,
    #[error("rate limit exceeded: a pod may push at most once every 50 ms")]
    RateLimited,
}
