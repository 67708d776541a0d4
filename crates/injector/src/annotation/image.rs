//! Image references: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, the grammar of the distribution project.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// The valid values, for messages.
pub(super) const EXPECTED: &str =
    "an image reference, such as registry.example/pushscale/sidecar:0.1.0";

/// The maximum length of host and path.
const MAX_NAME_BYTES: usize = 255;

// `oci-spec` has this grammar too, but it accepts non-ASCII letters in tags, which no registry does, and rejects IPv6
// hosts. A host without a dot must have a port: otherwise it is the first part of the path, which must be lowercase.
#[expect(clippy::expect_used, reason = "the pattern is a constant")]
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let domain = format!(r"(?:{label}(?:\.{label})+(?::[0-9]+)?|{label}:[0-9]+)");
    let host = format!(r"(?:{domain}|\[[0-9a-fA-F:]+\](?::[0-9]+)?)");
    let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let tag = "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}";
    let digest = "(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})";
    let reference =
        format!(r"(?-u)^(?P<name>(?:{host}/)?{part}(?:/{part})*)(?::{tag})?(?:@{digest})?$");
    Regex::new(&reference).expect("the pattern is valid")
});

pub(super) fn reference(text: &str) -> Option<String> {
    let parts = REFERENCE.captures(text.as_bytes())?;
    let name = parts.name("name")?;
    (name.len() <= MAX_NAME_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_follows_the_grammar_of_registries() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for good in [
            "sidecar".to_owned(),
            "pushscale/sidecar:0.1.0".to_owned(),
            "registry.example/pushscale/sidecar".to_owned(),
            "registry.example:5000/pushscale/sidecar:v1".to_owned(),
            "localhost:5000/sidecar".to_owned(),
            "localhost/a__b/c-d:latest".to_owned(),
            "[2001:db8::1]:5000/a:1".to_owned(),
            format!("pushscale/sidecar@{digest}"),
            format!("pushscale/sidecar:0.1.0@{digest}"),
        ] {
            assert!(reference(&good).is_some(), "{good}");
        }
        for bad in [
            "",
            " sidecar",
            "sidecar ",
            "side car",
            "Pushscale/sidecar",
            "pushscale/sidecar:",
            "pushscale/sidecar:-1",
            "pushscale/sidecar@sha256:abc",
            "pushscale//sidecar",
            "/sidecar",
            "pushscale/",
            "pushscale/sidecar;rm",
            "pushscale/sidecar$(x)",
            "pushscale/sidecar\n",
            "registry.example:port/sidecar",
            "a...b",
            "ｓidecar",
            "sidecar:ｖ1",
            "https://registry.example/sidecar",
        ] {
            assert!(reference(bad).is_none(), "{bad:?}");
        }
        assert!(reference(&"a".repeat(256)).is_none());
    }
}
