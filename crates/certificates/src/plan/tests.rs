//! A year of certificates in moments: what is done at each, with real keys, and nothing else.

use std::time::{Duration, SystemTime};

use super::*;
use crate::certificate::Certificate;
use crate::issue;
use crate::state::names_of;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// 2027-01-15, 08:00.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The Secrets, in memory.
struct Store {
    authorities: AuthorityTexts,
    servers: Vec<(Server, Texts)>,
    lifetimes: Lifetimes,
}

#[derive(Clone, Default)]
struct Texts {
    certificate: String,
    key: String,
    bundle: String,
}

impl Store {
    fn empty() -> Self {
        Self {
            authorities: AuthorityTexts::default(),
            servers: vec![
                (Server::Aggregator, Texts::default()),
                (Server::Injector, Texts::default()),
            ],
            lifetimes: Lifetimes::default(),
        }
    }

    /// One that has been looked after at `start()`.
    fn begun() -> Self {
        let mut store = Self::empty();
        store.pass(start());
        store
    }

    fn held(&self) -> Held {
        let read = |(server, texts): &(Server, Texts)| {
            let service = format!("pushscale-{server:?}").to_lowercase();
            HeldServer::read(
                *server,
                names_of(&service, "pushscale"),
                &texts.certificate,
                &texts.key,
                texts.bundle.clone(),
            )
        };
        Held {
            authorities: HeldAuthorities::read(self.authorities.clone()),
            servers: self.servers.iter().map(read).collect(),
        }
    }

    fn texts(&mut self, server: Server) -> &mut Texts {
        let mut servers = self.servers.iter_mut();
        let found = servers.find(|(held, _)| *held == server);
        &mut found.unwrap().1
    }

    /// Does all steps of one moment; gives each in a line, and when to look again.
    fn pass(&mut self, now: SystemTime) -> (Vec<String>, SystemTime) {
        let lifetimes = self.lifetimes;
        let mut told = Vec::new();
        for _ in 0..16 {
            match next_step(now, &self.held(), lifetimes) {
                Step::MakeAuthority { keep, why } => {
                    let made = issue::authority(now, lifetimes).unwrap();
                    self.authorities = with_new(now, keep, &made, lifetimes);
                    told.push(format!("CA made: {why}"));
                }
                Step::WriteAuthorities { texts, why } => {
                    self.authorities = texts;
                    told.push(format!("CAs written: {why}"));
                }
                Step::Issue {
                    server,
                    names,
                    signer,
                    bundle,
                    why,
                } => {
                    let made = issue::server(now, lifetimes, &names, &signer).unwrap();
                    *self.texts(server) = Texts {
                        certificate: made.certificate_pem,
                        key: made.key_pem,
                        bundle,
                    };
                    told.push(format!("{server:?} made: {why}"));
                }
                Step::Accompany { server, bundle } => {
                    self.texts(server).bundle = bundle;
                    told.push(format!("{server:?} gets the bundle"));
                }
                Step::Rest(rest) => return (told, rest.until),
            }
        }
        panic!("it does not rest: {told:#?}");
    }

    fn bundle(&self) -> Vec<Certificate> {
        Certificate::read_all(&self.authorities.certificates, "ca.crt").unwrap()
    }

    /// How many keys are held.
    fn keys(&self) -> usize {
        pem::parse_many(&self.authorities.keys).unwrap().len()
    }

    /// Would a client that knows this bundle trust both servers?
    fn trusted_by(&self, bundle: &[Certificate]) -> bool {
        self.held().servers.iter().all(|server| {
            let certificate = server.pair.as_ref().unwrap();
            bundle.iter().any(|one| certificate.is_signed_by(one))
        })
    }
}

#[test]
fn a_first_start_makes_everything_and_a_second_look_nothing() {
    let mut store = Store::empty();
    let (told, until) = store.pass(start());
    let none = "there was none";
    assert_eq!(
        told,
        [
            format!("CA made: {none}"),
            format!("Aggregator made: {none}"),
            format!("Injector made: {none}"),
        ]
    );
    // The first moment of interest is the end of the CA's grace, at which nothing has to be done.
    assert_eq!(until, start() + HOUR);
    assert_eq!(store.pass(until), (vec![], start() + DAY * 20));
    assert_eq!((store.bundle().len(), store.keys()), (1, 1));
    assert!(store.trusted_by(&store.bundle()));
}

#[test]
fn a_year_of_moments_at_none_of_which_a_client_an_hour_behind_is_lost() {
    let mut store = Store::begun();
    let mut now = start();
    let mut told = Vec::new();
    let mut known = store.bundle();
    while now < start() + DAY * 400 {
        // It looks when it asked to, and every client has what was published by then.
        let (lines, until) = store.pass(now);
        assert!(until > now, "{lines:?}");
        let days = now.duration_since(start()).unwrap().as_secs_f64() / 86_400.0;
        told.extend(lines.iter().map(|line| format!("{days:.2} {line}")));
        assert!(store.trusted_by(&known), "day {days}: {lines:?}");
        known = store.bundle();
        now = until;
    }
    let changes: Vec<_> = told
        .iter()
        .filter(|line| line.contains("CA") || line.contains("signs from now on"))
        .collect();
    assert_eq!(
        changes,
        [
            // Two thirds of a year: a new CA becomes known; an hour later it signs; 30 days after that nothing of
            // the old one is left.
            "243.33 CA made: two thirds of its time were over",
            "243.38 CAs written: a CA came, went, or signs no more",
            "243.38 Aggregator made: the new CA is known everywhere and signs from now on",
            "243.38 Injector made: the new CA is known everywhere and signs from now on",
            "273.38 CAs written: a CA came, went, or signs no more",
        ]
    );
    let renewed = told
        .iter()
        .filter(|line| line.ends_with("Aggregator made: two thirds of its time were over"));
    assert_eq!(renewed.count(), 12 + 7, "every 20 days: {told:#?}");
    assert_eq!((store.bundle().len(), store.keys()), (1, 1));
}

#[test]
fn while_a_new_ca_becomes_known_the_old_one_signs_and_then_its_key_goes() {
    let mut store = Store::begun();
    let due = start() + DAY * 365 * 2 / 3;
    store.pass(due);
    let old = store.bundle()[0].clone();
    assert_eq!((store.bundle().len(), store.keys()), (2, 2));
    *store.texts(Server::Injector) = Texts::default();
    store.pass(due + HOUR / 2);
    assert!(store.trusted_by(std::slice::from_ref(&old)));
    store.pass(due + HOUR);
    assert_eq!((store.bundle().len(), store.keys()), (2, 1));
    assert!(
        store.trusted_by(&store.bundle()[..1]),
        "the signer is first"
    );
    assert_eq!(store.bundle()[1], old);
}

#[test]
fn a_deleted_ca_stays_trusted_as_long_as_its_certificates_and_is_succeeded_after_the_grace() {
    let mut store = Store::begun();
    let now = start() + DAY;
    let old = store.bundle();
    store.authorities = AuthorityTexts::default();
    let (told, until) = store.pass(now);
    assert_eq!(
        told,
        [
            "CA made: there was none",
            "Aggregator gets the bundle",
            "Injector gets the bundle"
        ]
    );
    assert!(store.trusted_by(&old) && store.bundle().contains(&old[0]));
    assert_eq!(until, now + HOUR);
    store.pass(until);
    assert!(!store.trusted_by(&old) && store.bundle().contains(&old[0]));
    store.pass(until + DAY * 30);
    assert!(!store.bundle().contains(&old[0]));
}

/// What a person or a fault does to the Secrets, and what is done about it a day later.
#[test]
fn what_cannot_be_used_is_made_anew_with_the_reason() {
    type Harm = fn(&mut Store);
    let cases: [(&str, Harm, &[&str]); 9] = [
        (
            "a garbled CA",
            |store| store.authorities.certificates = "-----BEGIN CERT".to_owned(),
            &[
                "CA made: ca.crt is garbled",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "a CA without its key",
            |store| store.authorities.keys.clear(),
            &[
                "CA made: there is no ca.key",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "another CA's key",
            |store| store.authorities.keys = Store::begun().authorities.keys,
            &[
                "CA made: there is no key in ca.key that fits ca.crt",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "another CA altogether",
            |store| store.authorities = Store::begun().authorities,
            // What ours signed stays trusted, and is renewed by the other one when its time comes.
            &[
                "CAs written: a CA came, went, or signs no more",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "a garbled certificate",
            |store| store.texts(Server::Aggregator).certificate.truncate(300),
            &["Aggregator made: tls.crt is garbled"],
        ),
        (
            "another's key",
            |store| {
                let other = store.texts(Server::Injector).key.clone();
                store.texts(Server::Aggregator).key = other;
            },
            &["Aggregator made: tls.key does not belong to tls.crt"],
        ),
        (
            "no key",
            |store| store.texts(Server::Injector).key.clear(),
            &["Injector made: there is no tls.key"],
        ),
        (
            "another's certificate",
            |store| *store.texts(Server::Aggregator) = store.texts(Server::Injector).clone(),
            &["Aggregator made: it was for other names"],
        ),
        (
            "no text at all",
            |store| {
                store.texts(Server::Injector).certificate = "\u{fffd}\u{fffd}".to_owned();
            },
            &["Injector made: tls.crt is garbled"],
        ),
    ];
    for (name, harm, expected) in cases {
        let mut store = Store::begun();
        harm(&mut store);
        let (told, _) = store.pass(start() + DAY);
        assert_eq!(told, expected, "{name}");
        assert!(store.trusted_by(&store.bundle()), "{name}");
    }
}

#[test]
fn after_years_asleep_everything_is_made_anew_at_once() {
    let mut store = Store::begun();
    let (told, _) = store.pass(start() + DAY * 1000);
    let ran_out = "it had run out";
    assert_eq!(
        told,
        [
            format!("CA made: {ran_out}"),
            format!("Aggregator made: {ran_out}"),
            format!("Injector made: {ran_out}"),
        ]
    );
    assert_eq!(store.bundle().len(), 1);
}

#[test]
fn no_certificate_outlives_the_ca_that_signed_it() {
    let mut store = Store::begun();
    // Asleep until a week before the CA's end: a new one is made, and the old one signs for its grace.
    let now = start() + DAY * 358;
    store.pass(now);
    let old_ends = start() + DAY * 365;
    for server in store.held().servers {
        assert_eq!(server.pair.unwrap().ends, old_ends);
    }
}
