//! Authentication by request headers: the API server's aggregation layer authenticates its client, and names it in
//! headers. They are trusted on a connection whose client certificate is the aggregation layer's.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use percent_encoding::percent_decode_str;
use pushscale_daemon::tls::{ClientCa, TlsError};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::parse_x509_certificate;

/// The client of a request, as the API server authenticated it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) uid: Option<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// The configuration of the aggregation layer.
#[derive(Debug)]
pub(crate) struct RequestHeader {
    ca: ClientCa,
    /// The accepted common names of its certificate; empty accepts all.
    allowed_names: Vec<String>,
    username_headers: Vec<HeaderName>,
    group_headers: Vec<HeaderName>,
    uid_headers: Vec<HeaderName>,
    extra_prefixes: Vec<String>,
}

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum RequestHeaderError {
    /// The aggregation layer is off.
    #[error("{0} is missing: the API server needs the flags --requestheader-*")]
    Missing(&'static str),
    #[error("{key} is not a list of names")]
    List {
        key: &'static str,
        source: serde_json::Error,
    },
    #[error("unusable CA")]
    Ca(#[from] TlsError),
}

const CA: &str = "requestheader-client-ca-file";
const USERNAMES: &str = "requestheader-username-headers";
const GROUPS: &str = "requestheader-group-headers";
const UIDS: &str = "requestheader-uid-headers";
const EXTRA: &str = "requestheader-extra-headers-prefix";
const ALLOWED: &str = "requestheader-allowed-names";

impl RequestHeader {
    /// Parses the data of ConfigMap `extension-apiserver-authentication`.
    ///
    /// # Errors
    /// If the CA or the username headers are missing, or something is malformed.
    pub(crate) fn parse(data: &BTreeMap<String, String>) -> Result<Self, RequestHeaderError> {
        let ca = data.get(CA).ok_or(RequestHeaderError::Missing(CA))?;
        let list = |key: &'static str| match data.get(key).map(String::as_str) {
            None | Some("") => Ok(Vec::new()),
            Some(text) => serde_json::from_str::<Vec<String>>(text)
                .map_err(|source| RequestHeaderError::List { key, source }),
        };
        let headers = |key| -> Result<Vec<HeaderName>, RequestHeaderError> {
            let names = list(key)?;
            Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
        };
        let username_headers = headers(USERNAMES)?;
        if username_headers.is_empty() {
            return Err(RequestHeaderError::Missing(USERNAMES));
        }
        let prefixes = list(EXTRA)?;
        Ok(Self {
            ca: ClientCa::from_pem(CA, ca.as_bytes())?,
            allowed_names: list(ALLOWED)?,
            username_headers,
            group_headers: headers(GROUPS)?,
            uid_headers: headers(UIDS)?,
            extra_prefixes: prefixes.iter().map(|one| one.to_lowercase()).collect(),
        })
    }

    /// Returns the client that the headers name; `None` if the certificate is not the aggregation layer's, or the
    /// headers name no user.
    pub(crate) fn authenticate(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &HeaderMap,
    ) -> Option<Caller> {
        if let Err(error) = self.ca.verify(chain) {
            tracing::debug!(%error, "client certificate not trusted");
            return None;
        }
        if !self.is_allowed(chain.first()?) {
            tracing::debug!(allowed = ?self.allowed_names, "client certificate has another name");
            return None;
        }
        let first = |names: &[HeaderName]| {
            let mut values = names.iter().filter_map(|name| text(headers.get(name)?));
            values.find(|value| !value.is_empty())
        };
        Some(Caller {
            user: first(&self.username_headers)?,
            groups: self
                .group_headers
                .iter()
                .flat_map(|name| headers.get_all(name))
                .filter_map(text)
                .collect(),
            uid: first(&self.uid_headers),
            extra: self.extra(headers),
        })
    }

    fn is_allowed(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.allowed_names.is_empty() {
            return true;
        }
        let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
            return false;
        };
        let mut names = parsed.subject().iter_common_name();
        names.any(|name| {
            let name = name.as_str();
            name.is_ok_and(|name| self.allowed_names.iter().any(|allowed| allowed == name))
        })
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let key = self
                .extra_prefixes
                .iter()
                .find_map(|prefix| name.as_str().strip_prefix(prefix));
            if let (Some(key), Some(value)) = (key, text(value)) {
                let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                extra.entry(key).or_default().push(value);
            }
        }
        extra
    }
}

/// Headers of Go programs are UTF-8.
fn text(value: &hyper::header::HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use hyper::header::HeaderValue;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    use super::*;

    /// A CA of client certificates.
    pub(crate) struct TestCa {
        issuer: Issuer<'static, KeyPair>,
        pub(crate) pem: String,
    }

    impl TestCa {
        pub(crate) fn new() -> Self {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let pem = params.self_signed(&key).unwrap().pem();
            Self {
                issuer: Issuer::new(params, key),
                pem,
            }
        }

        pub(crate) fn sign(&self, name: &str) -> Vec<CertificateDer<'static>> {
            let mut params = CertificateParams::new([]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().unwrap();
            vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()]
        }

        /// The configuration as the API server writes it.
        pub(crate) fn config(&self, allowed: &str) -> BTreeMap<String, String> {
            [
                (CA, self.pem.as_str()),
                (USERNAMES, r#"["X-Remote-User"]"#),
                (GROUPS, r#"["X-Remote-Group"]"#),
                (UIDS, r#"["X-Remote-Uid"]"#),
                (EXTRA, r#"["X-Remote-Extra-"]"#),
                (ALLOWED, allowed),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
        }
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        // `collect` would keep the last of several values.
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_headers_name_the_client() {
        let ca = TestCa::new();
        let config = RequestHeader::parse(&ca.config(r#"["front-proxy-client"]"#)).unwrap();
        let headers = headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "system:authenticated"),
            ("x-remote-uid", "42"),
            ("x-remote-extra-example.com%2fscopes", "a"),
            ("x-remote-extra-example.com%2fscopes", "b"),
        ]);
        let caller = config.authenticate(&ca.sign("front-proxy-client"), &headers);
        let scopes = (
            "example.com/scopes".to_owned(),
            vec!["a".to_owned(), "b".to_owned()],
        );
        let expected = Caller {
            user: "jane".to_owned(),
            groups: vec!["dev".to_owned(), "system:authenticated".to_owned()],
            uid: Some("42".to_owned()),
            extra: BTreeMap::from([scopes]),
        };
        assert_eq!(caller, Some(expected));
    }

    #[test]
    fn headers_are_trusted_with_the_certificate_of_the_aggregation_layer_only() {
        let ca = TestCa::new();
        let config = RequestHeader::parse(&ca.config(r#"["front-proxy-client"]"#)).unwrap();
        let user = headers(&[("x-remote-user", "jane")]);
        assert!(
            config
                .authenticate(&ca.sign("front-proxy-client"), &user)
                .is_some()
        );
        assert_eq!(config.authenticate(&[], &user), None);
        assert_eq!(config.authenticate(&ca.sign("jane"), &user), None);
        let other = TestCa::new();
        assert_eq!(
            config.authenticate(&other.sign("front-proxy-client"), &user),
            None
        );
        let garbage = [CertificateDer::from(vec![0x30, 3, 2, 1, 1])];
        assert_eq!(config.authenticate(&garbage, &user), None);
        let nameless = config.authenticate(&ca.sign("front-proxy-client"), &HeaderMap::new());
        assert_eq!(nameless, None);
        let any = RequestHeader::parse(&ca.config("[]")).unwrap();
        assert!(any.authenticate(&ca.sign("jane"), &user).is_some());
    }

    #[test]
    fn errors_name_the_invalid_part_of_the_configuration() {
        let ca = TestCa::new();
        for (key, value, expected) in [
            (CA, None, "requestheader-client-ca-file is missing"),
            (CA, Some("none"), "unusable CA"),
            (USERNAMES, None, "requestheader-username-headers is missing"),
            (
                ALLOWED,
                Some("a,b"),
                "requestheader-allowed-names is not a list",
            ),
        ] {
            let mut config = ca.config("[]");
            config.remove(key);
            config.extend(value.map(|value| (key.to_owned(), value.to_owned())));
            let error = RequestHeader::parse(&config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
