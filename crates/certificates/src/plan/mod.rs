//! Decides what to issue, renew or write. Pure: takes the time and the content of the Secrets, and returns the next
//! step. The caller reads the Secrets again after each step.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use crate::certificate::InvalidCertificate;
use crate::config::Lifetimes;
use crate::issue::IssuedCertificate;
use crate::state::{
    Authority, AuthorityPem, AuthorityState, CertificateState, Server, ServerState,
};

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
    /// Nothing has to be done before a certain time.
    Wait(Wait),
}

/// The state in which nothing has to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When the next step may be due.
    pub(crate) until: SystemTime,
    /// When the signing CA expires.
    pub(crate) authority_expires_at: SystemTime,
    /// When each server's certificate expires.
    pub(crate) servers_expire_at: Vec<(Server, SystemTime)>,
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
            Self::Missing => "there was none",
            Self::Invalid(problem) => return problem.fmt(f),
            Self::Expired => "the previous one expired",
            Self::RenewalDue => "two thirds of its lifetime had passed",
            Self::NamesChanged => "it was issued for other names",
            Self::UnknownSigner => "it was signed by an unknown CA",
            Self::NewSigner => "the new CA is published everywhere and signs from now on",
            Self::Changed => "CAs or keys were added or removed",
        })
    }
}

/// Returns the next step.
pub(crate) fn next_step(now: SystemTime, state: &CertificateState, lifetimes: Lifetimes) -> Step {
    let valid = valid_authorities(now, state);
    let trusted = trusted_authorities(now, &valid, lifetimes);
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
        if let Some(reason) = reason_to_issue(now, server, &trusted, lifetimes) {
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
    Step::Wait(wait(now, state, &trusted, lifetimes))
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
    now: SystemTime,
    mut existing: Vec<Authority>,
    issued: &IssuedCertificate,
    lifetimes: Lifetimes,
) -> AuthorityPem {
    let issued = AuthorityState::read(AuthorityPem {
        certificates: issued.certificate_pem.clone(),
        keys: issued.key_pem.clone(),
    });
    existing.extend(issued.all);
    newest_first(&mut existing);
    AuthorityPem::encode(&trusted_authorities(now, &existing, lifetimes))
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

/// Returns the signing CA, then the other trusted ones, the newest first. An old CA is trusted until the last
/// certificate that it can have signed expires; its key is removed as soon as it no longer signs.
fn trusted_authorities(
    now: SystemTime,
    valid: &[Authority],
    lifetimes: Lifetimes,
) -> Vec<Authority> {
    let with_key = || valid.iter().filter(|one| one.key_pem.is_some());
    let signer = with_key()
        .find(|one| signs_from(one, lifetimes) <= now)
        // If none has been published for long enough, the oldest one is known to most clients.
        .or_else(|| with_key().next_back());
    let Some(signer) = signer else {
        return Vec::new();
    };
    let mut trusted = vec![signer.clone()];
    for authority in valid {
        let is_older = authority.certificate.issued_at <= signer.certificate.issued_at;
        let is_obsolete = is_older && signs_from(signer, lifetimes) + lifetimes.server <= now;
        if authority.certificate == signer.certificate || is_obsolete {
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

fn signs_from(authority: &Authority, lifetimes: Lifetimes) -> SystemTime {
    authority.certificate.issued_at + lifetimes.grace
}

fn reason_to_issue(
    now: SystemTime,
    server: &ServerState,
    trusted: &[Authority],
    lifetimes: Lifetimes,
) -> Option<Reason> {
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
    (is_replaced && signs_from(signer, lifetimes) <= now).then_some(Reason::NewSigner)
}

fn wait(
    now: SystemTime,
    state: &CertificateState,
    trusted: &[Authority],
    lifetimes: Lifetimes,
) -> Wait {
    let mut moments = Vec::new();
    for authority in trusted {
        let signs_from = signs_from(authority, lifetimes);
        moments.push(authority.certificate.expires_at);
        if authority.key_pem.is_some() {
            moments.extend([
                authority.certificate.renew_at(),
                signs_from,
                signs_from + lifetimes.server,
            ]);
        }
    }
    let mut servers_expire_at = Vec::new();
    for server in &state.servers {
        if let Ok(certificate) = &server.pair {
            moments.push(certificate.renew_at());
            servers_expire_at.push((server.server, certificate.expires_at));
        }
    }
    let until = moments.into_iter().filter(|moment| *moment > now).min();
    Wait {
        until: until.unwrap_or(now + lifetimes.grace),
        authority_expires_at: trusted
            .first()
            .map_or(now, |one| one.certificate.expires_at),
        servers_expire_at,
    }
}
