//! Asking the API server whose a token is: `authentication.k8s.io/v1` TokenReview.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::PostParams;
use kube::{Api, Client};
use pushscale_protocol::TOKEN_AUDIENCE;

use crate::scale_target::Pending;

/// Says whose a token is.
pub trait TokenReviewer: Send + Sync + 'static {
    /// Whose this token of our audience is.
    fn review<'a>(&'a self, token: &'a str) -> Pending<'a, Result<Reviewed, ReviewError>>;
}

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The namespace of its service account, which is the pod's.
    pub namespace: String,
    /// `metadata.name`.
    pub pod_name: String,
    /// `metadata.uid`.
    pub pod_uid: String,
}

/// Why it is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewError {
    /// It is not good, for the reason that was given.
    Denied(String),
    /// It is good, and no pod's.
    NotOfAPod,
    /// There was no answer.
    Failed(String),
}

/// Asks the API server.
pub struct ClusterReviews(Api<TokenReview>);

impl ClusterReviews {
    /// Over this client.
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }
}

impl TokenReviewer for ClusterReviews {
    fn review<'a>(&'a self, token: &'a str) -> Pending<'a, Result<Reviewed, ReviewError>> {
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
            judge(review)
        })
    }
}

/// An API server that knows no audiences would accept a token for itself: ours must be named in the answer.
fn judge(review: TokenReview) -> Result<Reviewed, ReviewError> {
    let status = review.status.unwrap_or_default();
    if status.authenticated != Some(true) {
        let said = status.error.unwrap_or_default();
        return Err(ReviewError::Denied(said));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|audience| audience == TOKEN_AUDIENCE) {
        let said = "the answer does not name our audience".to_owned();
        return Err(ReviewError::Denied(said));
    }
    status
        .user
        .and_then(|user| pod_of(&user))
        .ok_or(ReviewError::NotOfAPod)
}

fn pod_of(user: &UserInfo) -> Option<Reviewed> {
    let name = user.username.as_deref()?;
    let (namespace, _account) = name
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let extra = |key: &str| {
        let values = user.extra.as_ref()?.get(key)?;
        values.first().cloned()
    };
    Some(Reviewed {
        namespace: namespace.to_owned(),
        pod_name: extra("authentication.kubernetes.io/pod-name")?,
        pod_uid: extra("authentication.kubernetes.io/pod-uid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: serde_json::Value) -> Result<Reviewed, ReviewError> {
        let review = serde_json::json!({ "spec": { "token": "t" }, "status": status });
        judge(serde_json::from_value(review).unwrap())
    }

    #[test]
    fn a_pod_is_named_by_the_extra_fields() {
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
        let expected = Reviewed {
            namespace: "models".to_owned(),
            pod_name: "torchserve-0".to_owned(),
            pod_uid: "u".to_owned(),
        };
        assert_eq!(answered(good), Ok(expected));
        let for_the_server = serde_json::json!({ "authenticated": true, "user": user });
        assert!(matches!(
            answered(for_the_server),
            Err(ReviewError::Denied(_))
        ));
    }

    #[test]
    fn a_person_is_no_pod() {
        let status = serde_json::json!({
            "authenticated": true, "audiences": ["pushscale"], "user": { "username": "admin" },
        });
        assert_eq!(answered(status), Err(ReviewError::NotOfAPod));
    }
}
