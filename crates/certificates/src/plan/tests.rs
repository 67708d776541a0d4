//! Runs the plan over simulated years, with real keys.

use std::time::{Duration, SystemTime};

use super::*;
use crate::certificate::read_pair;
use crate::issue;
use crate::metrics::{CertificateMetrics, Subject};
use crate::state::dns_names;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// 2027-01-15, 08:00 UTC.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The Secrets, in memory.
struct Store {
    authorities: AuthorityPem,
    servers: Vec<(Server, Texts)>,
    publication: Option<Publication>,
    /// Whether a namespace refuses the bundle.
    is_refused: bool,
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
            authorities: AuthorityPem::default(),
            servers: vec![
                (Server::Aggregator, Texts::default()),
                (Server::Injector, Texts::default()),
            ],
            publication: None,
            is_refused: false,
            lifetimes: Lifetimes::default(),
        }
    }

    /// A store after the first pass at `start()`.
    fn started() -> Self {
        let mut store = Self::empty();
        store.pass(start());
        store
    }

    fn state(&self) -> CertificateState {
        let read = |(server, texts): &(Server, Texts)| {
            let service = format!("pushscale-{server:?}").to_lowercase();
            ServerState {
                server: *server,
                names: dns_names(&service, "pushscale"),
                pair: read_pair(&texts.certificate, &texts.key),
                bundle: texts.bundle.clone(),
            }
        };
        CertificateState {
            authorities: AuthorityState::read(self.authorities.clone()),
            servers: self.servers.iter().map(read).collect(),
        }
    }

    fn texts(&mut self, server: Server) -> &mut Texts {
        let mut servers = self.servers.iter_mut();
        let found = servers.find(|(other, _)| *other == server);
        &mut found.unwrap().1
    }

    /// Performs all steps of one moment. Returns them as text, and the time of the next pass.
    fn pass(&mut self, now: SystemTime) -> (Vec<String>, SystemTime) {
        let lifetimes = self.lifetimes;
        let mut steps = Vec::new();
        for _ in 0..16 {
            let state = self.state();
            let publication = self.publication.clone();
            let inputs = Inputs {
                now,
                state: &state,
                publication: publication.as_ref(),
                lifetimes,
            };
            match next_step(inputs) {
                Step::CreateAuthority { existing, reason } => {
                    let issued = issue::authority(now, lifetimes).unwrap();
                    self.authorities = with_new(inputs, existing, &issued);
                    steps.push(format!("CA issued: {reason}"));
                }
                Step::WriteAuthorities { pem, reason } => {
                    self.authorities = pem;
                    steps.push(format!("CAs written: {reason}"));
                }
                Step::Issue {
                    server,
                    names,
                    signer,
                    bundle,
                    reason,
                } => {
                    let issued = issue::server(now, lifetimes, &names, &signer).unwrap();
                    *self.texts(server) = Texts {
                        certificate: issued.certificate_pem,
                        key: issued.key_pem,
                        bundle,
                    };
                    steps.push(format!("{server:?} issued: {reason}"));
                }
                Step::UpdateBundle { server, bundle } => {
                    self.texts(server).bundle = bundle;
                    steps.push(format!("{server:?} gets the bundle"));
                }
                Step::Wait(_) if self.publish(now) => {}
                Step::Wait(until) => return (steps, until),
            }
        }
        panic!("the plan does not end: {steps:#?}");
    }

    /// Publishes the bundle at once. Returns whether it was not published before.
    fn publish(&mut self, now: SystemTime) -> bool {
        let bundle = self.authorities.certificates.as_str();
        self.publication.take_if(|found| *found.bundle != *bundle);
        if self.is_refused || self.publication.is_some() {
            return false;
        }
        self.publication = Some(Publication {
            bundle: bundle.into(),
            since: now,
        });
        true
    }

    fn bundle(&self) -> Vec<Certificate> {
        Certificate::read_all(&self.authorities.certificates, "ca.crt").unwrap()
    }

    /// The number of stored keys.
    fn keys(&self) -> usize {
        pem::parse_many(&self.authorities.keys).unwrap().len()
    }

    /// Whether a client with this bundle trusts both servers.
    fn trusted_by(&self, bundle: &[Certificate]) -> bool {
        self.state().servers.iter().all(|server| {
            let certificate = server.pair.as_ref().unwrap();
            bundle.iter().any(|one| certificate.is_signed_by(one))
        })
    }
}

#[test]
fn the_first_pass_issues_everything_and_the_second_one_nothing() {
    let mut store = Store::empty();
    let (steps, until) = store.pass(start());
    let none = "it did not exist";
    assert_eq!(
        steps,
        [
            format!("CA issued: {none}"),
            format!("Aggregator issued: {none}"),
            format!("Injector issued: {none}"),
        ]
    );
    // The next passes are when a CA starts to sign and when its predecessor is obsolete: nothing has to be done.
    assert_eq!(until, start() + HOUR);
    assert_eq!(store.pass(until), (vec![], start() + HOUR * 2));
    assert_eq!(store.pass(start() + HOUR * 2), (vec![], start() + DAY * 20));
    assert_eq!((store.bundle().len(), store.keys()), (1, 1));
    assert!(store.trusted_by(&store.bundle()));
}

#[test]
fn a_client_whose_bundle_is_an_hour_old_trusts_the_servers_all_year() {
    let mut store = Store::started();
    let mut now = start();
    let mut steps = Vec::new();
    let mut known = store.bundle();
    while now < start() + DAY * 400 {
        // At each pass, every client has the bundle of the previous one.
        let (lines, until) = store.pass(now);
        assert!(until > now, "{lines:?}");
        let days = now.duration_since(start()).unwrap().as_secs_f64() / 86_400.0;
        steps.extend(lines.iter().map(|line| format!("{days:.2} {line}")));
        assert!(store.trusted_by(&known), "day {days}: {lines:?}");
        known = store.bundle();
        now = until;
    }
    let changes: Vec<_> = steps
        .iter()
        .filter(|line| line.contains("CA") || line.contains("signs from now on"))
        .collect();
    assert_eq!(
        changes,
        [
            // After two thirds of a year a new CA is published. It signs an hour later, and 30 days after that the old
            // CA is removed.
            "243.33 CA issued: two thirds of its lifetime had passed",
            "243.38 CAs written: CAs or keys were added or removed",
            "243.38 Aggregator issued: the new CA is published everywhere and signs from now on",
            "243.38 Injector issued: the new CA is published everywhere and signs from now on",
            "273.38 CAs written: CAs or keys were added or removed",
        ]
    );
    let renewed = steps
        .iter()
        .filter(|line| line.ends_with("Aggregator issued: two thirds of its lifetime had passed"));
    assert_eq!(renewed.count(), 12 + 7, "every 20 days: {steps:#?}");
    assert_eq!((store.bundle().len(), store.keys()), (1, 1));
}

#[test]
fn the_old_ca_signs_until_the_new_one_is_published_and_then_loses_its_key() {
    let mut store = Store::started();
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
fn a_new_ca_signs_after_its_grace_period_in_every_namespace() {
    let mut store = Store::started();
    let due = start() + DAY * 365 * 2 / 3;
    store.is_refused = true;
    store.pass(due);
    let old = store.bundle()[0].clone();
    let (steps, _) = store.pass(due + DAY * 60);
    assert!(!steps.iter().any(|step| step.contains("from now on")));
    assert!(store.trusted_by(std::slice::from_ref(&old)));
    assert_eq!(store.keys(), 2);

    store.is_refused = false;
    let (_, until) = store.pass(due + DAY * 61);
    assert_eq!(until, due + DAY * 61 + HOUR);
    store.pass(until - Duration::from_secs(1));
    assert!(store.trusted_by(std::slice::from_ref(&old)));
    let (steps, _) = store.pass(until);
    assert_eq!(
        steps,
        [
            "CAs written: CAs or keys were added or removed",
            "Aggregator issued: the new CA is published everywhere and signs from now on",
            "Injector issued: the new CA is published everywhere and signs from now on",
        ]
    );
    assert!(
        store.bundle().contains(&old),
        "the servers have not loaded the new certificates yet"
    );
    let (_, until) = store.pass(until + HOUR);
    store.pass(until);
    assert!(!store.bundle().contains(&old));
}

#[test]
fn a_ca_that_a_namespace_refuses_signs_an_hour_before_its_predecessor_expires() {
    let mut store = Store::started();
    store.is_refused = true;
    let mut now = start() + DAY * 365 * 2 / 3;
    let expiry = start() + DAY * 365;
    let old = store.bundle()[0].clone();
    while now < expiry - HOUR {
        let (steps, until) = store.pass(now);
        assert!(store.trusted_by(std::slice::from_ref(&old)), "{steps:?}");
        now = until;
    }
    assert_eq!(now, expiry - HOUR);
    let (steps, _) = store.pass(now);
    let expires = "the previous CA expires, although the new one is not published everywhere";
    assert_eq!(
        steps,
        [
            "CAs written: CAs or keys were added or removed".to_owned(),
            format!("Aggregator issued: {expires}"),
            format!("Injector issued: {expires}"),
        ]
    );
}

#[test]
fn a_deleted_ca_is_trusted_until_its_certificates_expire_and_replaced_after_the_grace_period() {
    let mut store = Store::started();
    let now = start() + DAY;
    let old = store.bundle();
    store.authorities = AuthorityPem::default();
    let (steps, until) = store.pass(now);
    assert_eq!(
        steps,
        [
            "CA issued: it did not exist",
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

/// Damage to the Secrets, and the steps of the pass a day later.
#[test]
fn invalid_secrets_are_replaced_with_a_reason() {
    type Damage = fn(&mut Store);
    let cases: [(&str, Damage, &[&str]); 9] = [
        (
            "a malformed CA",
            |store| store.authorities.certificates = "-----BEGIN CERT".to_owned(),
            &[
                "CA issued: ca.crt is malformed",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "a CA without its key",
            |store| store.authorities.keys.clear(),
            &[
                "CA issued: ca.key is missing",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "another CA's key",
            |store| store.authorities.keys = Store::started().authorities.keys,
            &[
                "CA issued: a key for ca.crt in ca.key is missing",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "another CA with its key",
            |store| store.authorities = Store::started().authorities,
            // Our CA stays trusted until its certificates are renewed, which the other CA then signs.
            &[
                "CAs written: CAs or keys were added or removed",
                "Aggregator gets the bundle",
                "Injector gets the bundle",
            ],
        ),
        (
            "a malformed certificate",
            |store| store.texts(Server::Aggregator).certificate.truncate(300),
            &["Aggregator issued: tls.crt is malformed"],
        ),
        (
            "the key of another server",
            |store| {
                let other = store.texts(Server::Injector).key.clone();
                store.texts(Server::Aggregator).key = other;
            },
            &["Aggregator issued: tls.key does not match tls.crt"],
        ),
        (
            "no key",
            |store| store.texts(Server::Injector).key.clear(),
            &["Injector issued: tls.key is missing"],
        ),
        (
            "the certificate of another server",
            |store| *store.texts(Server::Aggregator) = store.texts(Server::Injector).clone(),
            &["Aggregator issued: it was issued for other names"],
        ),
        (
            "a certificate that is not text",
            |store| {
                store.texts(Server::Injector).certificate = "\u{fffd}\u{fffd}".to_owned();
            },
            &["Injector issued: tls.crt is malformed"],
        ),
    ];
    for (name, damage, expected) in cases {
        let mut store = Store::started();
        damage(&mut store);
        let (steps, _) = store.pass(start() + DAY);
        assert_eq!(steps, expected, "{name}");
        assert!(store.trusted_by(&store.bundle()), "{name}");
    }
}

#[test]
fn everything_is_replaced_after_years_of_downtime() {
    let mut store = Store::started();
    let (steps, _) = store.pass(start() + DAY * 1000);
    let expired = "the previous one expired";
    assert_eq!(
        steps,
        [
            format!("CA issued: {expired}"),
            format!("Aggregator issued: {expired}"),
            format!("Injector issued: {expired}"),
        ]
    );
    assert_eq!(store.bundle().len(), 1);
}

#[test]
fn no_certificate_outlives_the_ca_that_signed_it() {
    let mut store = Store::started();
    // Down until a week before the CA expires: a new CA is issued, and the old one signs during its grace period.
    let now = start() + DAY * 358;
    store.pass(now);
    let old_expires_at = start() + DAY * 365;
    for server in store.state().servers {
        assert_eq!(server.pair.unwrap().expires_at, old_expires_at);
    }
}

#[test]
fn an_expired_certificate_is_exported_until_it_is_replaced() {
    let metrics = CertificateMetrics::default();
    let store = Store::started();
    let seconds = |days: i64| 1_800_000_000 + days * 86_400;
    store.state().export_expiry(&metrics);
    assert_eq!(metrics.expiry(Subject::Ca), seconds(365));
    assert_eq!(metrics.expiry(Subject::Injector), seconds(30));
    let mut state = store.state();
    state.servers[1].pair = Err(InvalidCertificate::KeyMismatch);
    state.authorities.all.clear();
    state.export_expiry(&metrics);
    assert_eq!(metrics.expiry(Subject::Ca), seconds(365));
    assert_eq!(metrics.expiry(Subject::Injector), seconds(30));
}
