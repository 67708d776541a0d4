//! Decides what to issue, renew or write. Pure: takes the time, the content of the Secrets and what is published, and
//! returns the next step. The caller reads the Secrets again after each step.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use crate::bundle::Publication;
use crate::certificate::{Certificate, InvalidCertificate};
use crate::config::Lifetimes;
use crate::issue::IssuedCertificate;
use crate::state::{
    Authority, AuthorityPem, AuthorityState, CertificateState, Server, ServerState,
};

/// What the plan depends on.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) now: SystemTime,
    pub(crate) state: &'a CertificateState,
    /// What every namespace has had; `None` if some lack the bundle.
    pub(crate) publication: Option<&'a Publication>,
    pub(crate) lifetimes: Lifetimes,
}

/// The next step.
pub(crate) enum Step {
    /// Issue a CA and store it with the existing ones.
    CreateAuthority {
        existing: Vec<Authority>,
        reason: Reason,
    },
    /// Write the Secret of the CAs.
    WriteAuthorities { pem: AuthorityPem, reason: Reason },
    /// Issue a server's certificate.
    Issue {
        server: Server,
        names: Vec<String>,
        signer: Box<Authority>,
        bundle: String,
        reason: Reason,
    },
    /// Write the bundle to a server's Secret.
    UpdateBundle { server: Server, bundle: String },
    /// Nothing has to be done before this time.
    Wait(SystemTime),
}

/// Why something is issued or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Missing,
    Invalid(InvalidCertificate),
    Expired,
    /// Two thirds of the lifetime have passed.
    RenewalDue,
    NamesChanged,
    UnknownSigner,
    /// The new CA is published everywhere.
    NewSigner,
    /// The new CA is not published everywhere, and the previous one expires.
    UnpublishedSigner,
    /// CAs or keys were added or removed.
    Changed,
}

impl Reason {
    /// Whether an operator should look into it.
    pub(crate) fn is_unexpected(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::Expired | Self::NamesChanged | Self::UnknownSigner
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it did not exist",
            Self::Invalid(problem) => return problem.fmt(f),
            Self::Expired => "the previous one expired",
            Self::RenewalDue => "two thirds of its lifetime had passed",
            Self::NamesChanged => "it was issued for other names",
            Self::UnknownSigner => "it was signed by an unknown CA",
            Self::NewSigner => "the new CA is published everywhere and signs from now on",
            Self::UnpublishedSigner => {
                "the previous CA expires, although the new one is not published everywhere"
            }
            Self::Changed => "CAs or keys were added or removed",
        })
    }
}

/// Returns the next step.
pub(crate) fn next_step(inputs: Inputs<'_>) -> Step {
    let Inputs { now, state, .. } = inputs;
    let valid = valid_authorities(now, state);
    let trusted = trusted_authorities(inputs, &valid);
    let newest = valid.iter().find(|one| one.key_pem.is_some());
    let (Some(newest), Some(signer)) = (newest, trusted.first()) else {
        return Step::CreateAuthority {
            existing: valid,
            reason: reason_to_create(&state.authorities),
        };
    };
    if newest.certificate.renew_at() <= now {
        return Step::CreateAuthority {
            existing: valid,
            reason: Reason::RenewalDue,
        };
    }
    let pem = AuthorityPem::encode(&trusted);
    if pem != state.authorities.stored {
        let reason = Reason::Changed;
        return Step::WriteAuthorities { pem, reason };
    }
    let bundle = pem.certificates;
    for server in &state.servers {
        if let Some(reason) = reason_to_issue(inputs, server, &trusted) {
            return Step::Issue {
                server: server.server,
                names: server.names.clone(),
                signer: Box::new(signer.clone()),
                bundle,
                reason,
            };
        }
        if server.bundle != bundle {
            let server = server.server;
            return Step::UpdateBundle { server, bundle };
        }
    }
    Step::Wait(wait(inputs, &trusted))
}

/// Returns why there is no CA that can sign.
fn reason_to_create(authorities: &AuthorityState) -> Reason {
    match &authorities.problem {
        Some(InvalidCertificate::Missing(_)) if authorities.all.is_empty() => Reason::Missing,
        Some(problem) => Reason::Invalid(problem.clone()),
        None if authorities.all.iter().any(|one| one.key_pem.is_some()) => Reason::Expired,
        None => Reason::Invalid(InvalidCertificate::Missing("a key for ca.crt in ca.key")),
    }
}

/// Returns the content of the Secret of the CAs after a CA has been issued.
pub(crate) fn with_new(
    inputs: Inputs<'_>,
    mut existing: Vec<Authority>,
    issued: &IssuedCertificate,
) -> AuthorityPem {
    let issued = AuthorityState::read(AuthorityPem {
        certificates: issued.certificate_pem.clone(),
        keys: issued.key_pem.clone(),
    });
    existing.extend(issued.all);
    newest_first(&mut existing);
    AuthorityPem::encode(&trusted_authorities(inputs, &existing))
}

/// Returns all valid CAs, those in the servers' bundles included, the newest first.
fn valid_authorities(now: SystemTime, state: &CertificateState) -> Vec<Authority> {
    let mut valid: Vec<Authority> = Vec::new();
    let adopted = state
        .servers
        .iter()
        .flat_map(|server| server.signers(now))
        .map(|certificate| Authority {
            certificate,
            key_pem: None,
        });
    for authority in state.authorities.all.iter().cloned().chain(adopted) {
        let is_known = valid
            .iter()
            .any(|one| one.certificate == authority.certificate);
        if !is_known && authority.certificate.is_valid_at(now) {
            valid.push(authority);
        }
    }
    newest_first(&mut valid);
    valid
}

fn newest_first(authorities: &mut [Authority]) {
    authorities.sort_by(|one, other| {
        let newer = other.certificate.issued_at.cmp(&one.certificate.issued_at);
        // The order within a second is arbitrary, but the same in every process.
        newer.then_with(|| {
            one.certificate
                .public_key
                .cmp(&other.certificate.public_key)
        })
    });
}

/// Returns the signing CA, then the other trusted ones, the newest first. The key of an old CA is removed as soon as it
/// no longer signs.
fn trusted_authorities(inputs: Inputs<'_>, valid: &[Authority]) -> Vec<Authority> {
    let with_key = || valid.iter().filter(|one| one.key_pem.is_some());
    let signer = with_key()
        .find(|one| signs_from(inputs, one, valid) <= inputs.now)
        // If none has been published for long enough, the oldest one is known to most clients.
        .or_else(|| with_key().next_back());
    let Some(signer) = signer else {
        return Vec::new();
    };
    let mut trusted = vec![signer.clone()];
    for authority in valid {
        let is_older = authority.certificate.issued_at <= signer.certificate.issued_at;
        if authority.certificate == signer.certificate
            || is_older && is_obsolete(inputs, authority, signer, valid)
        {
            continue;
        }
        let mut authority = authority.clone();
        if is_older {
            authority.key_pem = None;
        }
        trusted.push(authority);
    }
    trusted
}

/// Returns when a CA starts to sign: once every namespace has had it for the grace period. A namespace that refuses it
/// delays that until shortly before its predecessor expires, when all namespaces would lose a trusted CA.
fn signs_from(inputs: Inputs<'_>, authority: &Authority, valid: &[Authority]) -> SystemTime {
    let Lifetimes { grace, .. } = inputs.lifetimes;
    let issued_at = authority.certificate.issued_at;
    let older = valid.iter().map(|one| &one.certificate);
    let expiry = older
        .filter(|one| one.issued_at < issued_at)
        .map(|one| one.expires_at)
        .max();
    let latest = expiry.map_or(issued_at, |expiry| expiry - grace);
    let published = published_since(inputs, authority).map(|since| since + grace);
    let due = published.map_or(latest, |due| due.min(latest));
    due.max(issued_at + grace)
}

fn published_since(inputs: Inputs<'_>, authority: &Authority) -> Option<SystemTime> {
    let publication = inputs.publication?;
    let is_included = publication.bundle.contains(&authority.certificate.pem());
    is_included.then_some(publication.since)
}

/// Whether every certificate that an old CA can have signed has expired, or was replaced so long ago that its server
/// has loaded the new one.
fn is_obsolete(
    inputs: Inputs<'_>,
    old: &Authority,
    signer: &Authority,
    valid: &[Authority],
) -> bool {
    let Lifetimes { server, grace, .. } = inputs.lifetimes;
    let is_replaced = |state: &ServerState| {
        let pair = state.pair.as_ref();
        pair.is_ok_and(|pair| !pair.is_signed_by(&old.certificate))
    };
    signer.certificate.issued_at + grace + server <= inputs.now
        && signs_from(inputs, signer, valid) + grace <= inputs.now
        && inputs.state.servers.iter().all(is_replaced)
}

fn reason_to_issue(
    inputs: Inputs<'_>,
    server: &ServerState,
    trusted: &[Authority],
) -> Option<Reason> {
    let now = inputs.now;
    let certificate = match &server.pair {
        Ok(certificate) => certificate,
        Err(InvalidCertificate::Missing("tls.crt")) => return Some(Reason::Missing),
        Err(problem) => return Some(Reason::Invalid(problem.clone())),
    };
    if !certificate.is_valid_at(now) {
        return Some(Reason::Expired);
    }
    if certificate.names != server.names.iter().cloned().collect::<BTreeSet<_>>() {
        return Some(Reason::NamesChanged);
    }
    let signed_by = |one: &&Authority| certificate.is_signed_by(&one.certificate);
    let Some(signed_by) = trusted.iter().find(signed_by) else {
        return Some(Reason::UnknownSigner);
    };
    if certificate.renew_at() <= now {
        return Some(Reason::RenewalDue);
    }
    let signer = trusted.first()?;
    let is_replaced = signed_by.certificate.issued_at < signer.certificate.issued_at;
    if !is_replaced || signs_from(inputs, signer, trusted) > now {
        return None;
    }
    Some(match published_since(inputs, signer) {
        Some(_) => Reason::NewSigner,
        None => Reason::UnpublishedSigner,
    })
}

/// Returns when the next step may be due.
fn wait(inputs: Inputs<'_>, trusted: &[Authority]) -> SystemTime {
    let Inputs { now, lifetimes, .. } = inputs;
    let mut moments = Vec::new();
    for authority in trusted {
        moments.push(authority.certificate.expires_at);
        if authority.key_pem.is_some() {
            let signs_from = signs_from(inputs, authority, trusted);
            moments.extend([
                authority.certificate.renew_at(),
                signs_from,
                signs_from + lifetimes.grace,
                authority.certificate.issued_at + lifetimes.grace + lifetimes.server,
            ]);
        }
    }
    for server in &inputs.state.servers {
        moments.extend(server.pair.iter().map(Certificate::renew_at));
    }
    let until = moments.into_iter().filter(|moment| *moment > now).min();
    until.unwrap_or(now + lifetimes.grace)
}
