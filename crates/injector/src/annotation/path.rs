//! URL paths and file paths.

/// The valid URL paths, for messages.
pub(super) const URL: &str =
    "a path that begins with / and contains only letters, digits and / . _ ~ -, such as /metrics";

/// The valid file paths, for messages.
pub(super) const FILE: &str =
    "the absolute path of a file that contains only letters, digits and / . _ -";

const MAX_BYTES: usize = 512;

pub(super) fn url(text: &str) -> Option<String> {
    safe(text, b"/._~-")
}

pub(super) fn file(text: &str) -> Option<String> {
    let mut parts = text.split('/').skip(1);
    let names_only = parts.all(|part| !matches!(part, "" | "." | ".."));
    safe(text, b"/._-").filter(|_| names_only)
}

fn safe(text: &str, marks: &[u8]) -> Option<String> {
    let good = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte));
    (good && text.starts_with('/') && text.len() <= MAX_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_contains_only_safe_characters() {
        for good in ["/metrics", "/a/b-c_d.e~f", "/"] {
            assert_eq!(url(good).as_deref(), Some(good));
        }
        for bad in [
            "metrics", "", "/a b", "/a?b=c", "/a#b", "/%2e", "/\n", "/é", "/$(x)",
        ] {
            assert_eq!(url(bad), None, "{bad:?}");
        }
        assert!(file("/home/model-server/key_file.json").is_some());
        for bad in ["/", "/a/", "/a//b", "/a/../b", "/./a", "a", "/a~"] {
            assert_eq!(file(bad), None, "{bad:?}");
        }
        assert_eq!(url(&format!("/{}", "a".repeat(512))), None);
    }
}
