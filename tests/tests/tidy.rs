//! The repository is tidy: what documents and comments refer to exists, test data has plain names, and comments fit on
//! a screen.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_tests::programs::repository;

/// The widest line of a comment, in characters.
const WIDTH: usize = 120;

/// Directories whose paths are checked wherever they are mentioned.
const ROOTS: [&str; 6] = [".ci/", ".github/", "crates/", "docs/", "helm/", "tests/"];

/// A text file of the repository.
struct Source {
    /// Relative to the root.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is(&self, extensions: &[&str]) -> bool {
        let extension = self.path.extension().unwrap_or_default();
        extensions.iter().any(|one| extension == *one)
    }

    /// Lines that people read: all of Markdown, comments of all else, with their numbers from 1.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let markdown = self.is(&["md"]);
        let mark = if self.is(&["rs", "go"]) { "//" } else { "#" };
        let numbered = (1..).zip(self.text.lines());
        numbered.filter(move |(_, line)| markdown || line.trim_start().starts_with(mark))
    }
}

/// All files but those that git ignores, relative to the root.
fn files() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if matches!(name, ".git" | "target" | "__pycache__" | "pushscale-demo") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let root = repository();
    let mut found = Vec::new();
    walk(&root, &mut found);
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_path_buf();
    found.iter().map(relative).collect()
}

/// The files whose prose is checked.
fn sources() -> Vec<Source> {
    let text = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let known = ["md", "rs", "go", "toml", "yaml"].map(|extension| format!(".{extension}"));
        let wanted = known.iter().any(|suffix| name.ends_with(suffix))
            || matches!(
                name,
                "Makefile" | "Dockerfile" | ".gitignore" | ".editorconfig" | "provision"
            )
            || path.starts_with(".ci");
        let data = path.iter().any(|part| part == "testdata");
        wanted && !data
    };
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(repository().join(&path)).unwrap(),
        path,
    };
    files().into_iter().filter(text).map(read).collect()
}

/// The Rust files that a line mentions, such as `control_loop/decide.rs`.
fn rust_files(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    words.filter(|word| word.contains('/') && word.ends_with(".rs"))
}

#[test]
fn mentioned_rust_files_exist() {
    let files = files();
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.prose() {
            for name in rust_files(line) {
                if !files.iter().any(|file| file.ends_with(name)) {
                    wrong.push(format!("{}:{number}: {name}", source.path.display()));
                }
            }
        }
    }
    report(&wrong);
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The paths of the repository that a line mentions.
fn paths(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for root in ROOTS {
        for (start, _) in line.match_indices(root) {
            let before = line[..start].chars().next_back();
            // Part of a longer path or of an address.
            if before.is_some_and(|c| c.is_alphanumeric() || "/.-_$}@".contains(c)) {
                continue;
            }
            let path = &line[start..];
            let end = path
                .find(|c: char| !c.is_alphanumeric() && !"/._-".contains(c))
                .unwrap_or(path.len());
            // A pattern is no path.
            if path[end..].starts_with(['<', '*', '{', '$', '…', '[', '\\']) {
                continue;
            }
            found.push(path[..end].trim_end_matches(['.', '-', '_']));
        }
    }
    found
}

#[test]
fn mentioned_paths_exist() {
    let mut wrong = Vec::new();
    for source in sources() {
        let changelog = source.path == Path::new("CHANGELOG.md");
        for (number, line) in source.prose() {
            for path in paths(line) {
                // The repository's, or those of the file's own directory.
                let places = [
                    repository(),
                    repository().join(source.path.parent().unwrap()),
                ];
                if !changelog && !places.iter().any(|place| place.join(path).exists()) {
                    wrong.push(format!("{}:{number}: {path}", source.path.display()));
                }
            }
        }
    }
    report(&wrong);
}

/// The anchors of a page, as GitHub and mdBook make them from its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn links_resolve() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.is(&["md"])) {
        for (number, line) in source.prose() {
            for (start, _) in line.match_indices("](") {
                let target = &line[start + 2..];
                let target = &target[..target.find([')', ' ']).unwrap_or(target.len())];
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = match file {
                    "" => repository().join(&source.path),
                    file => repository().join(source.path.parent().unwrap()).join(file),
                };
                let resolves = match anchor {
                    "" => path.exists(),
                    anchor => {
                        fs::read_to_string(&path).is_ok_and(|page| anchors(&page).contains(anchor))
                    }
                };
                if !resolves {
                    wrong.push(format!("{}:{number}: {target}", source.path.display()));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn mentioned_make_targets_exist() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let is_target = |name: &str| {
        makefile.lines().any(|line| {
            let targets = line.split_once(':').map_or("", |(targets, _)| targets);
            targets
                .split_whitespace()
                .any(|target| match target.strip_suffix('%') {
                    Some(prefix) => name.starts_with(prefix),
                    None => target == name,
                })
        })
    };
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.prose() {
            for (start, mark) in line.match_indices("`make ") {
                let words = &line[start + mark.len()..];
                let words = &words[..words.find('`').unwrap_or(0)];
                // `make test-cluster CASES=10`: options and variables are no targets.
                let is_name =
                    |word: &&str| !word.contains(['=', '…', '.']) && !word.starts_with('-');
                for name in words.split_whitespace().filter(is_name) {
                    if !is_target(name) {
                        wrong.push(format!("{}:{number}: make {name}", source.path.display()));
                    }
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn names_of_files_are_plain() {
    let plain = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
    };
    // Test data: kebab-case.
    let kebab = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
    };
    let mut wrong = Vec::new();
    for path in files() {
        let names: Vec<&str> = path.iter().map(|name| name.to_str().unwrap()).collect();
        let data = names.iter().position(|name| *name == "testdata");
        let data = data.map_or(&[][..], |start| &names[start..]);
        if !names.iter().all(|name| plain(name)) || !data.iter().all(|name| kebab(name)) {
            wrong.push(path.display().to_string());
        }
    }
    report(&wrong);
}

#[test]
fn comments_fit_on_a_screen() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.is(&["md", "yaml"]))
    {
        for (number, line) in source.prose() {
            // A link cannot be broken.
            if line.chars().count() > WIDTH && !line.contains("://") {
                wrong.push(format!(
                    "{}:{number}: {} characters",
                    source.path.display(),
                    line.chars().count()
                ));
            }
        }
    }
    report(&wrong);
}
