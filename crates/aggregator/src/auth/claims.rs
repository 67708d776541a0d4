//! The claims of a service account token (JWT, RFC 7519, with Kubernetes' private claims). They are not verified: they
//! serve to reject a token early and to know when a reviewed one expires.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushscale_decision::PodUid;
use pushscale_protocol::TOKEN_AUDIENCE;
use serde::Deserialize;

use super::error::AuthError;

/// A token that expired less than this ago is left to the API server: the clock of this node may be ahead. With one
/// that is an hour ahead, no pod would have a valid token.
const CLOCK_SLACK: Duration = Duration::from_hours(24);

pub(crate) struct Claims {
    pub(crate) uid: PodUid,
    pub(crate) expires: SystemTime,
}

#[derive(Deserialize)]
struct Payload {
    aud: Audience,
    exp: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    pod: Option<BoundPod>,
}

#[derive(Deserialize)]
struct BoundPod {
    uid: String,
}

impl Claims {
    pub(crate) fn parse(token: &str) -> Result<Self, AuthError> {
        let payload = payload(token).ok_or(AuthError::NotAServiceAccountToken)?;
        let is_ours = match &payload.aud {
            Audience::One(audience) => audience == TOKEN_AUDIENCE,
            Audience::Many(audiences) => audiences.iter().any(|one| one == TOKEN_AUDIENCE),
        };
        if !is_ours {
            return Err(AuthError::WrongAudience);
        }
        let expires = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(payload.exp))
            .ok_or(AuthError::NotAServiceAccountToken)?;
        let age = SystemTime::now().duration_since(expires);
        if age.is_ok_and(|age| age > CLOCK_SLACK) {
            return Err(AuthError::Expired);
        }
        let pod = payload
            .kubernetes
            .and_then(|kubernetes| kubernetes.pod)
            .ok_or(AuthError::NotPodBound)?;
        Ok(Self {
            uid: pod.uid.into(),
            expires,
        })
    }
}

fn payload(token: &str) -> Option<Payload> {
    let mut parts = token.split('.');
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
