//! References to images, by the grammar of the distribution project: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.

/// What it must be.
pub(super) const EXPECTED: &str =
    "the reference of an image, such as registry.example/pushscale/sidecar:0.1.0";

const LONGEST_NAME: usize = 255;

pub(super) fn reference(text: &str) -> Option<String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash is that of a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let good = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    good.then(|| text.to_owned())
}

fn is_name(name: &str) -> bool {
    if name.len() > LONGEST_NAME {
        return false;
    }
    let path = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) && is_host(first) => rest,
        _ => name,
    };
    path.split('/').all(is_component)
}

/// `registry.example`, `registry.example:5000`, `localhost`, `[::1]:5000`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, port.strip_prefix(':').or(Some(""))),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let good_host = if text.starts_with('[') {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    } else {
        host.split('.').all(is_label)
    };
    good_host && port.is_none_or(is_port)
}

/// Small letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let between = |character: char| !character.is_ascii_lowercase() && !character.is_ascii_digit();
    let ends_well = !text.is_empty() && !text.starts_with(between) && !text.ends_with(between);
    ends_well
        && text
            .split(|character: char| !between(character))
            .all(|mark| {
                matches!(mark, "" | "." | "_" | "__") || mark.bytes().all(|byte| byte == b'-')
            })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_what_a_registry_takes() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for good in [
            "sidecar".to_owned(),
            "pushscale/sidecar:0.1.0".to_owned(),
            "registry.example/pushscale/sidecar".to_owned(),
            "registry.example:5000/pushscale/sidecar:v1".to_owned(),
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
            "https://registry.example/sidecar",
        ] {
            assert!(reference(bad).is_none(), "{bad:?}");
        }
    }
}
