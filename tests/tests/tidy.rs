//! The repository is tidy: what documents and comments mention exists, files are named and modules are laid out in one
//! way, and comments fit on a screen. Each rule is a function that `the_rules_can_fail` runs on bad samples.

#![cfg(test)]

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fmt::Display;
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

/// Whether a directory has this name of one with inputs of tests.
fn is_data(name: &OsStr) -> bool {
    name == "testdata" || name == "corpus"
}

/// The files whose prose is checked.
fn sources() -> Vec<Source> {
    let text = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let known =
            ["md", "rs", "go", "toml", "yaml", "json"].map(|extension| format!(".{extension}"));
        let wanted = known.iter().any(|suffix| name.ends_with(suffix))
            || matches!(
                name,
                "Makefile" | "Dockerfile" | ".gitignore" | ".editorconfig" | "provision"
            )
            || path.starts_with(".ci");
        wanted && !path.iter().any(is_data)
    };
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(repository().join(&path)).unwrap(),
        path,
    };
    files().into_iter().filter(text).map(read).collect()
}

/// The Rust files that a line mentions, such as `control_loop/scalers.rs`.
fn rust_files(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    words.filter(|word| word.contains('/') && word.ends_with(".rs"))
}

/// Runs a rule on every line of prose of the chosen files. The rule returns what is wrong in a line.
fn check<W: Display>(
    advice: &str,
    is_checked: impl Fn(&Source) -> bool,
    rule: impl Fn(&Source, &str) -> Vec<W>,
) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| is_checked(source)) {
        for (number, line) in source.prose() {
            for what in rule(source, line) {
                wrong.push(format!("{}:{number}: {what}", source.path.display()));
            }
        }
    }
    report(advice, &wrong);
}

fn report(advice: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{advice}:\n{}\n", wrong.join("\n"));
}

/// The changelog also names what releases of the past had.
fn is_current(source: &Source) -> bool {
    source.path != Path::new("CHANGELOG.md")
}

#[test]
fn mentioned_rust_files_exist() {
    let files = files();
    check(
        "name a Rust file that exists",
        |_| true,
        |_, line| {
            let missing = |name: &&str| !files.iter().any(|file| file.ends_with(name));
            rust_files(line)
                .filter(missing)
                .map(str::to_owned)
                .collect()
        },
    );
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
    check("name a path that exists", is_current, |source, line| {
        // Relative to the repository, to the file's directory or to its crate.
        let directory = repository().join(&source.path);
        let bases: Vec<&Path> = directory
            .ancestors()
            .skip(1)
            .take_while(|base| base.starts_with(repository()))
            .filter(|base| Some(*base) == directory.parent() || base.join("Cargo.toml").exists())
            .collect();
        let missing = |path: &&str| !bases.iter().any(|base| base.join(path).exists());
        paths(line)
            .into_iter()
            .filter(missing)
            .map(str::to_owned)
            .collect()
    });
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
    report("link to a page and a heading that exist", &wrong);
}

/// The targets of make that a line mentions: `` `make test-cluster CASES=10` ``.
fn make_targets(line: &str) -> Vec<&str> {
    // Options and variables are no targets.
    let is_name = |word: &&str| !word.contains(['=', '…', '.']) && !word.starts_with('-');
    let mut found = Vec::new();
    for (start, mark) in line.match_indices("`make ") {
        let words = &line[start + mark.len()..];
        let words = &words[..words.find('`').unwrap_or(0)];
        found.extend(words.split_whitespace().filter(is_name));
    }
    found
}

fn is_make_target(makefile: &str, name: &str) -> bool {
    let mut targets = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(targets, _)| targets.split_whitespace());
    targets.any(|target| match target.strip_suffix('%') {
        Some(prefix) => name.starts_with(prefix),
        None => target == name,
    })
}

#[test]
fn mentioned_make_targets_exist() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    check("name a target of the Makefile", is_current, |_, line| {
        let missing = |name: &&str| !is_make_target(&makefile, name);
        make_targets(line)
            .into_iter()
            .filter(missing)
            .map(str::to_owned)
            .collect()
    });
}

/// The names that code, manifests and scripts use outside comments.
#[derive(Default)]
struct Code {
    words: HashSet<String>,
    /// The texts between quotation marks.
    quoted: HashSet<String>,
}

impl Code {
    fn read() -> Self {
        let mut code = Self::default();
        for source in sources() {
            // This file contains bad samples.
            if source.is(&["md"]) || source.path.ends_with("tests/tidy.rs") {
                continue;
            }
            let prose: HashSet<usize> = source.prose().map(|(number, _)| number).collect();
            for (number, line) in (1..).zip(source.text.lines()) {
                if !prose.contains(&number) {
                    code.add(line);
                }
            }
        }
        code
    }

    fn add(&mut self, line: &str) {
        self.words.extend(words(line).map(str::to_owned));
        let quoted = line.split('"').skip(1).step_by(2);
        self.quoted.extend(quoted.map(str::to_owned));
    }

    /// The environment variables in a line that no program reads. A program's settings are a prefix and a quoted name.
    fn unknown_variables<'a>(&self, line: &'a str) -> Vec<&'a str> {
        let is_known = |name: &str| {
            let setting = PROGRAMS.iter().find_map(|program| {
                let prefix = format!("PUSHSCALE_{}_", program.to_uppercase());
                name.strip_prefix(&prefix)
            });
            // A name that ends with an underscore is the prefix of several.
            name.ends_with('_')
                || setting.map_or(self.words.contains(name), |it| self.quoted.contains(it))
        };
        words(line)
            .filter(|word| word.starts_with("PUSHSCALE_") && !is_known(word))
            .collect()
    }

    /// The metrics in a line that no program has.
    fn unknown_metrics<'a>(&self, line: &'a str) -> Vec<&'a str> {
        let is_unknown = |name: &&str| {
            let metric = PROGRAMS
                .iter()
                .find_map(|program| name.strip_prefix(&format!("pushscale_{program}_")));
            metric.is_some_and(|metric| {
                let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
                let names = suffixes.map(|suffix| metric.strip_suffix(suffix));
                !metric.is_empty() && !names.iter().flatten().any(|it| self.quoted.contains(*it))
            })
        };
        words(line).filter(is_unknown).collect()
    }

    /// The names of conditions, reasons, kinds and types in a line that the code does not have.
    fn unknown_camel_case<'a>(&self, line: &'a str) -> Vec<&'a str> {
        let is_camel_case = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric())
                && name.chars().filter(char::is_ascii_uppercase).count() > 1
                && name.chars().any(|c| c.is_ascii_lowercase())
        };
        let spans = line.split('`').skip(1).step_by(2);
        spans
            .filter(|name| is_camel_case(name) && !self.words.contains(*name))
            .collect()
    }
}

/// The programs whose settings and metrics have a prefix.
const PROGRAMS: [&str; 4] = ["aggregator", "certificates", "injector", "sidecar"];

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn mentioned_names_exist() {
    let code = Code::read();
    check(
        "name an environment variable, metric, condition or reason of the code",
        |source| source.is(&["md"]) && is_current(source),
        |_, line| {
            let mut unknown = code.unknown_variables(line);
            unknown.extend(code.unknown_metrics(line));
            unknown.extend(code.unknown_camel_case(line));
            unknown.into_iter().map(str::to_owned).collect()
        },
    );
}

/// Whether a file has a plain name. Test data has kebab-case names, but for what a captured server wrote itself.
fn has_plain_name(path: &Path) -> bool {
    let is_plain = |name: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        name.chars().all(is_allowed)
    };
    let is_kebab_case = |name: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        name == "README.md" || name.ends_with(".log") || name.chars().all(is_allowed)
    };
    let names: Vec<&str> = path.iter().map(|name| name.to_str().unwrap()).collect();
    let data = names.iter().skip_while(|name| !is_data(name.as_ref()));
    names.iter().all(|name| is_plain(name)) && data.into_iter().all(|name| is_kebab_case(name))
}

#[test]
fn names_of_files_are_plain() {
    let wrong = files().into_iter().filter(|path| !has_plain_name(path));
    let wrong: Vec<_> = wrong.map(|path| path.display().to_string()).collect();
    report(
        "use letters, digits, '.', '-' and '_', and kebab-case for test data",
        &wrong,
    );
}

/// The modules with a directory that are not its `mod.rs`.
fn modules_beside_their_directory(files: &[PathBuf]) -> Vec<String> {
    let is_beside = |file: &&PathBuf| {
        let directory = file.with_extension("");
        file.extension().is_some_and(|extension| extension == "rs")
            && file.iter().any(|part| part == "src")
            && files.iter().any(|other| other.starts_with(&directory))
    };
    let beside = files.iter().filter(is_beside);
    beside.map(|file| file.display().to_string()).collect()
}

#[test]
fn modules_with_a_directory_are_its_mod_rs() {
    report(
        "move the file to mod.rs in its directory",
        &modules_beside_their_directory(&files()),
    );
}

fn is_too_wide(line: &str) -> bool {
    // A link cannot be broken.
    line.chars().count() > WIDTH && !line.contains("://")
}

#[test]
fn comments_fit_on_a_screen() {
    check(
        "wrap the comment at 120 columns",
        |source| !source.is(&["md", "yaml"]),
        |_, line| {
            is_too_wide(line)
                .then(|| line.chars().count())
                .into_iter()
                .collect()
        },
    );
}

#[test]
fn the_rules_can_fail() {
    assert_eq!(
        rust_files("as `no/such.rs` does").collect::<Vec<_>>(),
        ["no/such.rs"]
    );
    assert_eq!(
        paths("see crates/none/src, and docs/NONE.md."),
        ["crates/none/src", "docs/NONE.md"]
    );
    assert_eq!(make_targets("run `make -j none CASES=1`"), ["none"]);
    assert!(!is_make_target("test: check\nbench-%:\n", "check"));
    assert!(!anchors("# A heading").contains("another-heading"));

    let mut code = Code::default();
    code.add(r#"register("pushes"); read("LISTEN"); Reason::TargetWithinReach"#);
    let line = "`PUSHSCALE_SIDECAR_LISTEN`, PUSHSCALE_SIDECAR_LISTENS";
    assert_eq!(code.unknown_variables(line), ["PUSHSCALE_SIDECAR_LISTENS"]);
    let line = "pushscale_aggregator_pushes_total, pushscale_sidecar_looks_total";
    assert_eq!(
        code.unknown_metrics(line),
        ["pushscale_sidecar_looks_total"]
    );
    let line = "`TargetWithinReach`, not `WithinReach`";
    assert_eq!(code.unknown_camel_case(line), ["WithinReach"]);

    assert!(!has_plain_name(Path::new("docs/two words.md")));
    assert!(!has_plain_name(Path::new(
        "crates/api/testdata/TwoWords.txt"
    )));
    let files = ["src/a.rs", "src/a/b.rs", "src/c/mod.rs"].map(PathBuf::from);
    assert_eq!(modules_beside_their_directory(&files), ["src/a.rs"]);
    assert!(is_too_wide(&"x".repeat(WIDTH + 1)));
}
