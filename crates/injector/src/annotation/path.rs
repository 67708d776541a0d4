//! Paths of URLs and of files.

/// What a URL's path must be.
pub(super) const URL: &str =
    "a path that begins with / and has letters, digits and / . _ ~ - only, such as /metrics";

/// What a file's path must be.
pub(super) const FILE: &str =
    "the whole path of a file, which begins with / and has letters, digits and / . _ - only";

const LONGEST: usize = 512;

pub(super) fn url(text: &str) -> Option<String> {
    safe(text, b"/._~-")
}

pub(super) fn file(text: &str) -> Option<String> {
    let parts_are_names = text
        .split('/')
        .skip(1)
        .all(|part| !matches!(part, "" | "." | ".."));
    safe(text, b"/._-").filter(|_| parts_are_names)
}

fn safe(text: &str, marks: &[u8]) -> Option<String> {
    let good = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte));
    (good && text.starts_with('/') && text.len() <= LONGEST).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_tricks_in_it() {
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
