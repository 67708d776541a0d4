//! Reviews tokens with the API server: `authentication.k8s.io/v1` TokenReview.

use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::PostParams;
use kube::{Api, Client};
use pushscale_protocol::TOKEN_AUDIENCE;

use super::identity::PodIdentity;

/// Reviews service account tokens.
pub trait TokenReviewer: Send + Sync + 'static {
    /// Returns the pod that a token of the audience `pushscale` is bound to.
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodIdentity, ReviewError>>;
}

/// Why a review did not yield a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewError {
    /// The token is invalid; the reason as given.
    Denied(String),
    /// The token is valid but not bound to a pod.
    NotPodBound,
    /// The review itself failed.
    Failed(String),
}

/// Reviews tokens with the API server.
pub struct KubeTokenReviewer(Api<TokenReview>);

impl KubeTokenReviewer {
    /// Creates a reviewer that uses this client.
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }
}

impl TokenReviewer for KubeTokenReviewer {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodIdentity, ReviewError>> {
        Box::pin(async move {
            let review = TokenReview {
                spec: TokenReviewSpec {
                    token: token.to_owned(),
                    audiences: Some(vec![TOKEN_AUDIENCE.to_owned()]),
                },
                ..TokenReview::default()
            };
            let review = self
                .0
                .create(&PostParams::default(), &review)
                .await
                .map_err(|error| ReviewError::Failed(error.to_string()))?;
            identity_of(review)
        })
    }
}

/// An API server without audience support accepts its own tokens, so the response must name our audience.
fn identity_of(review: TokenReview) -> Result<PodIdentity, ReviewError> {
    let status = review.status.unwrap_or_default();
    if status.authenticated != Some(true) {
        return Err(ReviewError::Denied(status.error.unwrap_or_default()));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|audience| audience == TOKEN_AUDIENCE) {
        let reason = format!("the TokenReview response lacks the audience {TOKEN_AUDIENCE}");
        return Err(ReviewError::Denied(reason));
    }
    status
        .user
        .and_then(|user| bound_pod(&user))
        .ok_or(ReviewError::NotPodBound)
}

fn bound_pod(user: &UserInfo) -> Option<PodIdentity> {
    let name = user.username.as_deref()?;
    let (namespace, _account) = name
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let extra = |key: &str| {
        let values = user.extra.as_ref()?.get(key)?;
        values.first().cloned()
    };
    Some(PodIdentity {
        namespace: namespace.to_owned(),
        name: extra("authentication.kubernetes.io/pod-name")?,
        uid: extra("authentication.kubernetes.io/pod-uid")?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_from(status: serde_json::Value) -> Result<PodIdentity, ReviewError> {
        let review = serde_json::json!({ "spec": { "token": "t" }, "status": status });
        identity_of(serde_json::from_value(review).unwrap())
    }

    #[test]
    fn the_extra_fields_name_the_pod() {
        let user = serde_json::json!({
            "username": "system:serviceaccount:models:default",
            "extra": {
                "authentication.kubernetes.io/pod-name": ["torchserve-0"],
                "authentication.kubernetes.io/pod-uid": ["u"],
            },
        });
        let good = serde_json::json!({
            "authenticated": true, "audiences": ["pushscale"], "user": user,
        });
        let expected = PodIdentity {
            namespace: "models".to_owned(),
            name: "torchserve-0".to_owned(),
            uid: "u".into(),
        };
        assert_eq!(identity_from(good), Ok(expected));
        let without_audience = serde_json::json!({ "authenticated": true, "user": user });
        assert!(matches!(
            identity_from(without_audience),
            Err(ReviewError::Denied(_))
        ));
    }

    #[test]
    fn a_user_is_not_a_pod() {
        let status = serde_json::json!({
            "authenticated": true, "audiences": ["pushscale"], "user": { "username": "admin" },
        });
        assert_eq!(identity_from(status), Err(ReviewError::NotPodBound));
    }
}
