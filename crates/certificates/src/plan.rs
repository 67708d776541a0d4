//! What is to be done about the certificates at a moment. Pure: time and what the Secrets hold come in, the one next
//! step comes out; after it the Secrets are read again.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use crate::certificate::Unusable;
use crate::issue::Made;
use crate::settings::Lifetimes;
use crate::state::{Authority, AuthorityTexts, Held, HeldAuthorities, HeldServer, Server};

/// The one next thing to do.
pub(crate) enum Step {
    /// Make a CA and put it beside these.
    MakeAuthority { keep: Vec<Authority>, why: Why },
    /// Write the Secret of the CAs so.
    WriteAuthorities { texts: AuthorityTexts, why: Why },
    /// Make this server's certificate.
    Issue {
        server: Server,
        names: Vec<String>,
        signer: Box<Authority>,
        bundle: String,
        why: Why,
    },
    /// Put this bundle beside this server's certificate.
    Accompany { server: Server, bundle: String },
    /// Nothing, until then.
    Rest(Rest),
}

/// All is as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// When to look again.
    pub(crate) until: SystemTime,
    /// When the signing CA runs out.
    pub(crate) authority_ends: SystemTime,
    /// When each server's certificate runs out.
    pub(crate) servers_end: Vec<(Server, SystemTime)>,
}

/// Why something is made or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing was there.
    Absent,
    /// It could not be used.
    Broken(Unusable),
    /// Its time is over.
    RanOut,
    /// Two thirds of its time are over.
    Due,
    /// It names another server.
    OtherNames,
    /// No CA in the bundle signed it.
    UnknownSigner,
    /// The new CA is known everywhere, and signs from now on.
    NewSigner,
    /// CAs come, go, or lose their keys.
    Changed,
}

impl Why {
    /// Is it something that somebody should look into?
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Broken(_) | Self::RanOut | Self::OtherNames | Self::UnknownSigner
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there was none"),
            Self::Broken(trouble) => write!(f, "{trouble}"),
            Self::RanOut => f.write_str("it had run out"),
            Self::Due => f.write_str("two thirds of its time were over"),
            Self::OtherNames => f.write_str("it was for other names"),
            Self::UnknownSigner => f.write_str("it was signed by a CA that is not held"),
            Self::NewSigner => f.write_str("the new CA is known everywhere and signs from now on"),
            Self::Changed => f.write_str("a CA came, went, or signs no more"),
        }
    }
}

/// The next step.
pub(crate) fn next_step(now: SystemTime, held: &Held, lifetimes: Lifetimes) -> Step {
    let known = known_authorities(now, held);
    let newest = known.iter().find(|one| one.key_pem.is_some());
    let Some(newest) = newest else {
        let why = match &held.authorities.trouble {
            Some(Unusable::Missing(_)) if held.authorities.all.is_empty() => Why::Absent,
            Some(trouble) => Why::Broken(trouble.clone()),
            None if held.authorities.all.iter().any(|one| one.key_pem.is_some()) => Why::RanOut,
            None => Why::Broken(Unusable::Missing("key in ca.key that fits ca.crt")),
        };
        return Step::MakeAuthority { keep: known, why };
    };
    if newest.certificate.renew_at() <= now {
        let why = Why::Due;
        return Step::MakeAuthority { keep: known, why };
    }
    let settled = settle(now, &known, lifetimes);
    let texts = AuthorityTexts::of(&settled);
    if texts != held.authorities.stored {
        let why = Why::Changed;
        return Step::WriteAuthorities { texts, why };
    }
    // There is a newest one with a key, so one of them is first.
    let Some(signer) = settled.first() else {
        let why = Why::Absent;
        return Step::MakeAuthority { keep: known, why };
    };
    let bundle = texts.certificates;
    for server in &held.servers {
        if let Some(why) = why_issue(now, server, &settled, lifetimes) {
            return Step::Issue {
                server: server.server,
                names: server.names.clone(),
                signer: Box::new(signer.clone()),
                bundle,
                why,
            };
        }
        if server.bundle != bundle {
            let server = server.server;
            return Step::Accompany { server, bundle };
        }
    }
    Step::Rest(rest(now, held, &settled, lifetimes))
}

/// What the Secret of the CAs holds once this one is made.
pub(crate) fn with_new(
    now: SystemTime,
    mut keep: Vec<Authority>,
    made: &Made,
    lifetimes: Lifetimes,
) -> AuthorityTexts {
    let made = HeldAuthorities::read(AuthorityTexts {
        certificates: made.certificate_pem.clone(),
        keys: made.key_pem.clone(),
    });
    keep.extend(made.all);
    newest_first(&mut keep);
    AuthorityTexts::of(&settle(now, &keep, lifetimes))
}

/// All that hold now, the newest first.
fn known_authorities(now: SystemTime, held: &Held) -> Vec<Authority> {
    let mut known: Vec<Authority> = Vec::new();
    let adopted = held
        .servers
        .iter()
        .flat_map(|server| server.vouching(now))
        .map(|certificate| Authority {
            certificate,
            key_pem: None,
        });
    for authority in held.authorities.all.iter().cloned().chain(adopted) {
        let has = known
            .iter()
            .any(|one| one.certificate == authority.certificate);
        if !has && authority.certificate.holds_at(now) {
            known.push(authority);
        }
    }
    newest_first(&mut known);
    known
}

fn newest_first(authorities: &mut [Authority]) {
    authorities.sort_by(|one, other| {
        let newer = other.certificate.made.cmp(&one.certificate.made);
        // Any order will do for two of one second, as long as every aggregator has the same.
        newer.then_with(|| {
            one.certificate
                .public_key
                .cmp(&other.certificate.public_key)
        })
    });
}

/// Who signs, first; then who is trusted, the newest first. A CA leaves when the last certificate that it can have
/// signed has run out. The key of one that signs no more goes at once.
fn settle(now: SystemTime, known: &[Authority], lifetimes: Lifetimes) -> Vec<Authority> {
    let able = || known.iter().filter(|one| one.key_pem.is_some());
    let signer = able()
        .find(|one| signs_from(one, lifetimes) <= now)
        // None is known long enough. Of these the oldest is known best.
        .or_else(|| able().next_back());
    let Some(signer) = signer else {
        return Vec::new();
    };
    let mut settled = vec![signer.clone()];
    for authority in known {
        let is_older = authority.certificate.made <= signer.certificate.made;
        let gone = is_older && signs_from(signer, lifetimes) + lifetimes.server <= now;
        if authority.certificate == signer.certificate || gone {
            continue;
        }
        let mut kept = authority.clone();
        if is_older {
            kept.key_pem = None;
        }
        settled.push(kept);
    }
    settled
}

fn signs_from(authority: &Authority, lifetimes: Lifetimes) -> SystemTime {
    authority.certificate.made + lifetimes.grace
}

fn why_issue(
    now: SystemTime,
    server: &HeldServer,
    settled: &[Authority],
    lifetimes: Lifetimes,
) -> Option<Why> {
    let certificate = match &server.pair {
        Ok(certificate) => certificate,
        Err(Unusable::Missing("tls.crt")) => return Some(Why::Absent),
        Err(trouble) => return Some(Why::Broken(trouble.clone())),
    };
    if !certificate.holds_at(now) {
        return Some(Why::RanOut);
    }
    if certificate.names != server.names.iter().cloned().collect::<BTreeSet<_>>() {
        return Some(Why::OtherNames);
    }
    let signed_by = |one: &&Authority| certificate.is_signed_by(&one.certificate);
    let Some(signed_by) = settled.iter().find(signed_by) else {
        return Some(Why::UnknownSigner);
    };
    if certificate.renew_at() <= now {
        return Some(Why::Due);
    }
    let signer = settled.first()?;
    let replaced = signed_by.certificate.made < signer.certificate.made;
    (replaced && signs_from(signer, lifetimes) <= now).then_some(Why::NewSigner)
}

fn rest(now: SystemTime, held: &Held, settled: &[Authority], lifetimes: Lifetimes) -> Rest {
    let mut moments = Vec::new();
    for authority in settled {
        let signs_from = signs_from(authority, lifetimes);
        moments.push(authority.certificate.ends);
        if authority.key_pem.is_some() {
            moments.extend([
                authority.certificate.renew_at(),
                signs_from,
                signs_from + lifetimes.server,
            ]);
        }
    }
    let mut servers_end = Vec::new();
    for server in &held.servers {
        if let Ok(certificate) = &server.pair {
            moments.push(certificate.renew_at());
            servers_end.push((server.server, certificate.ends));
        }
    }
    let until = moments.into_iter().filter(|moment| *moment > now).min();
    Rest {
        until: until.unwrap_or(now + lifetimes.grace),
        authority_ends: settled.first().map_or(now, |one| one.certificate.ends),
        servers_end,
    }
}
