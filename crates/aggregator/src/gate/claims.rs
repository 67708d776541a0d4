//! What a service account token says of itself (JWT, RFC 7519; Kubernetes' private claims). Not believed, only used
//! to refuse, and to know until when a reviewed one holds.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushscale_decision::PodUid;
use pushscale_protocol::TOKEN_AUDIENCE;
use serde::Deserialize;

use super::Turned;

pub(super) struct Claims {
    pub(super) uid: PodUid,
    pub(super) expires: SystemTime,
}

#[derive(Deserialize)]
struct Said {
    aud: Audience,
    exp: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    pod: Option<Bound>,
}

#[derive(Deserialize)]
struct Bound {
    uid: String,
}

impl Claims {
    pub(super) fn of(token: &str) -> Result<Self, Turned> {
        let said = said(token).ok_or(Turned::NoClaims)?;
        let ours = match &said.aud {
            Audience::One(audience) => audience == TOKEN_AUDIENCE,
            Audience::Several(audiences) => audiences.iter().any(|one| one == TOKEN_AUDIENCE),
        };
        if !ours {
            return Err(Turned::OtherAudience);
        }
        let expires = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(said.exp))
            .ok_or(Turned::NoClaims)?;
        if expires <= SystemTime::now() {
            return Err(Turned::Expired);
        }
        let pod = said
            .kubernetes
            .and_then(|kubernetes| kubernetes.pod)
            .ok_or(Turned::NotOfAPod)?;
        Ok(Self {
            uid: pod.uid.into(),
            expires,
        })
    }
}

fn said(token: &str) -> Option<Said> {
    let mut parts = token.split('.');
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
