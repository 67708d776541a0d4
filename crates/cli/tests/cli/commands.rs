//! Runs the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The result of a command.
pub(crate) struct CommandOutput {
    arguments: String,
    code: Option<i32>,
    out: String,
    error: String,
}

/// Runs `pushscale` with these arguments, as in a shell, in a directory.
pub(crate) fn pushscale(arguments: &str, directory: &Path) -> CommandOutput {
    let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(words(arguments))
        .current_dir(directory)
        .env_remove("PUSHSCALE_TRACES")
        .output()
        .unwrap();
    CommandOutput {
        arguments: arguments.to_owned(),
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

impl CommandOutput {
    /// Asserts success and returns the standard output.
    pub(crate) fn succeeded(self) -> String {
        let Self {
            arguments, error, ..
        } = &self;
        assert_eq!(self.code, Some(0), "{arguments}: {error}");
        assert_eq!(error, "", "{arguments}");
        self.out
    }

    /// Asserts exit code 2 and returns the standard error.
    pub(crate) fn rejected(self) -> String {
        assert_eq!(self.code, Some(2), "{}: {}", self.arguments, self.error);
        assert_eq!(self.out, "", "{}", self.arguments);
        self.error
    }
}

/// Creates a directory for a test.
pub(crate) fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("simulate")
        .join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Returns the tags of a text, which must be XML: tags are nested, attributes quoted, `&` only in references.
pub(crate) fn tags(text: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = text.trim();
    while let Some((words, after)) = rest.split_once('<') {
        is_text(words);
        assert!(
            seen.is_empty() || !open.is_empty(),
            "a second root: {after:.40}"
        );
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, alone) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let quotes: Vec<&str> = attributes.split('"').collect();
        assert!(quotes.len() % 2 == 1, "{tag}: a quote is missing");
        for (index, part) in quotes.iter().enumerate() {
            is_text(part);
            if index % 2 == 0 && index + 1 < quotes.len() {
                assert!(part.ends_with('='), "{tag}: {part}");
            }
        }
        seen.push(name.to_owned());
        if !alone {
            open.push(name.to_owned());
        }
    }
    assert!(
        open.is_empty() && rest.is_empty(),
        "{open:?} are not closed; {rest}"
    );
    seen
}

fn is_text(words: &str) {
    assert!(!words.contains('>'), "{words}");
    for reference in words.split('&').skip(1) {
        let name = reference.split(';').next().unwrap();
        let known = ["lt", "gt", "amp", "quot", "apos"].contains(&name) || name.starts_with('#');
        assert!(known && reference.contains(';'), "&{reference:.10}");
    }
}

/// Splits a command into words like a shell, with single quotes.
pub(crate) fn words(command: &str) -> Vec<String> {
    let quoted = command.split('\'').enumerate();
    let mut words = Vec::new();
    for (index, part) in quoted {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
