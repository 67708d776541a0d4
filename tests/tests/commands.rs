//! Every command of the documentation is run by a test, or is listed here with the reason why not.
//!
//! A command is a line of a block of `sh`, or of a block of `console` after `$ `, or a line of an indented block or
//! inline code that begins with one of [`PROGRAMS`]. Inline code of plain words only names a command, and one with `…`
//! is a pattern.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_tests::programs::repository;

const PROGRAMS: [&str; 11] = [
    "alias",
    "cargo",
    "curl",
    "echo",
    "for",
    "helm",
    "kubectl",
    "make",
    "pushscale",
    "pushscale-test-cluster",
    "skopeo",
];

/// The sections that a test follows: page, heading, and the test. `*` are all sections.
const FOLLOWED: [(&str, &str, &str); 15] = [
    ("docs/EXTERNAL-METRICS.md", "Enabling it", PUBLISHED_HPA),
    (
        "docs/EXTERNAL-METRICS.md",
        "Selecting the pods",
        PUBLISHED_HPA,
    ),
    (
        "docs/EXTERNAL-METRICS.md",
        "The published HPA",
        PUBLISHED_HPA,
    ),
    (
        "docs/EXTERNAL-METRICS.md",
        "KEDA",
        "tests/tests/node/keda.rs",
    ),
    ("docs/INSTALL.md", "Pushscale", INSTALLING),
    ("docs/INSTALL.md", "Labelling the namespace", INSTALLING),
    ("docs/INSTALL.md", "Using the chart", INSTALLING),
    ("docs/INSTALL.md", "Changing your manifests", INSTALLING),
    ("docs/INSTALL.md", "Upgrading and uninstalling", INSTALLING),
    (
        "docs/KSERVE.md",
        "Scale its Deployment",
        "tests/tests/node/kserve.rs",
    ),
    ("docs/MIGRATING.md", "1. Run alongside the HPA", MIGRATING),
    ("docs/MIGRATING.md", "2. Switch", MIGRATING),
    ("docs/MIGRATING.md", "3. Undo", MIGRATING),
    (
        "docs/REFERENCE.md",
        "Deleting a PushScaler",
        "tests/tests/cluster/on_delete.rs",
    ),
    (
        "docs/SIMULATING.md",
        "*",
        "crates/cli/tests/cli/simulating_document.rs",
    ),
];

const PUBLISHED_HPA: &str = "tests/tests/node/published_hpa.rs";
const INSTALLING: &str = "tests/tests/node/install/installing.rs";
const MIGRATING: &str = "tests/tests/node/install/migrating.rs";
const PLAIN: &str = "tests/tests/node/install/plain.rs";

/// Who runs a command that no test reads from its page in order.
#[derive(Clone, Copy)]
enum Runs {
    /// A function of a test: file and name.
    By(&'static str, &'static str),
    /// The same, but the function runs the commands of this page only: page, file and name.
    OfPage(&'static str, &'static str, &'static str),
    /// Nothing, for this reason.
    Not(&'static str),
}
use Runs::{By, Not, OfPage};

/// The other commands, on every page unless one is named. `*` at the end matches any text.
const LISTED: &[(&str, Runs)] = &[
    // Development.
    (
        "make *",
        Not("tidy.rs checks that the target exists; .ci/run runs those that are no benchmarks"),
    ),
    ("cargo test *", Not("it runs tests")),
    (
        "cargo run *",
        Not("it builds a program that tests run without cargo"),
    ),
    (
        "alias pushscale-test-cluster=*",
        Not("tests run the program without cargo"),
    ),
    (
        "pushscale-test-cluster build *",
        Not("it builds Kubernetes; `make programs` does that before the tests"),
    ),
    (
        "pushscale-test-cluster exec *",
        By(
            "tests/tests/test_cluster/command_line.rs",
            "up_exec_status_and_down_work",
        ),
    ),
    // Registries.
    (
        "helm install pushscale helm/pushscale -n pushscale --create-namespace --wait --set imageRegistry=registry.example.com/mirror",
        Not("it needs a registry; docs/INSTALL.md has the command without one"),
    ),
    (
        "helm install my-model helm/torchserve *",
        Not(
            "it needs an image with a model; docs/INSTALL.md has the command with values for the tests",
        ),
    ),
    (
        "helm install pushscale helm/pushscale",
        Not("it names the command of the next section, whose options it describes"),
    ),
    (
        "helm install torchserve helm/torchserve",
        Not("it names the command of a later section, whose options it describes"),
    ),
    (
        "for name in sidecar aggregator certificates injector; do",
        Not("it needs a registry"),
    ),
    ("skopeo copy *", Not("it needs a registry")),
    // The state of an installation.
    (
        "kubectl label namespace NAMESPACE pushscale.dev/inject=enabled && *",
        By(INSTALLING, "watches"),
    ),
    ("kubectl get pushscalers", By(INSTALLING, "watches")),
    (
        "kubectl describe pushscaler torchserve",
        By(INSTALLING, "watches"),
    ),
    ("pushscale status", By(INSTALLING, "watches")),
    ("pushscale explain torchserve", By(INSTALLING, "watches")),
    ("pushscale doctor", By(INSTALLING, "watches")),
    (
        "kubectl -n pushscale port-forward deployment/pushscale-aggregator 8491",
        By(INSTALLING, "forwards_ports"),
    ),
    (
        "curl --fail localhost:8491/debug/scalers/*",
        By(INSTALLING, "replays_decisions"),
    ),
    (
        "pushscale replay decisions.jsonl --explain",
        By(INSTALLING, "replays_decisions"),
    ),
    (
        "pushscale replay --explain",
        By(INSTALLING, "replays_decisions"),
    ),
    (
        "kubectl explain pushscaler.spec*",
        By(INSTALLING, "operates"),
    ),
    (
        "kubectl -n NAMESPACE *",
        OfPage("docs/RUNBOOK.md", INSTALLING, "operates"),
    ),
    (
        "kubectl -n MODELS *",
        OfPage("docs/RUNBOOK.md", INSTALLING, "operates"),
    ),
    (
        "kubectl label namespace pushscale pod-security.kubernetes.io/enforce=restricted",
        By(INSTALLING, "operates"),
    ),
    (
        "kubectl -n pushscale get secret pushscale-aggregator-tls *",
        By(INSTALLING, "operates"),
    ),
    (
        "kubectl -n pushscale delete secret *",
        By(
            "tests/tests/cluster/certificates.rs",
            "two_processes_publish_one_ca_to_every_namespace_and_an_uninstall_removes_it",
        ),
    ),
    (
        "kubectl get pushscalercheckpoints",
        By(
            "tests/tests/cluster/checkpoint.rs",
            "what_was_learned_survives_a_restart_of_both_aggregators",
        ),
    ),
    // Manifests.
    (
        "pushscale inject -f *",
        By(
            INSTALLING,
            "every_command_of_the_page_works_and_the_replicas_follow_a_load_without_lost_requests",
        ),
    ),
    (
        "pushscale inject --container",
        By(
            "crates/cli/tests/cli/inject.rs",
            "the_container_option_names_torchserves_container",
        ),
    ),
    (
        "pushscale inject --help",
        By(
            "crates/cli/tests/cli/inject.rs",
            "the_help_describes_the_options_of_the_reference",
        ),
    ),
    (
        "kubectl apply edit-last-applied deployment/NAME",
        Not("it opens an editor"),
    ),
    (
        "echo *| kubectl apply --server-side --field-manager=replicas -f -",
        By(
            "tests/tests/cluster/targets.rs",
            "the_documented_apply_keeps_the_replicas_of_a_manifest_without_them",
        ),
    ),
    (
        "kubectl apply -f -",
        Not("what it applies is on standard input"),
    ),
    // The plain manifests.
    (
        "kubectl apply -f helm/plain/*",
        By(PLAIN, "the_plain_manifests_scale_a_deployment"),
    ),
    (
        "kubectl -n pushscale rollout status deployment/pushscale-aggregator",
        By(PLAIN, "the_plain_manifests_scale_a_deployment"),
    ),
    (
        "pushscale inject --auth=none *",
        By(PLAIN, "the_plain_manifests_scale_a_deployment"),
    ),
    (
        "kubectl -n models apply -f pushscaler.yaml",
        By(PLAIN, "the_plain_manifests_scale_a_deployment"),
    ),
    (
        "kubectl delete -f helm/plain/*",
        By(PLAIN, "the_plain_manifests_scale_a_deployment"),
    ),
    // Other autoscalers.
    (
        "pushscale adopt --switch",
        By(MIGRATING, "an_hpa_is_observed_replaced_and_restored"),
    ),
    (
        "pushscale adopt scaledobject/NAME --target 50ms",
        By(
            "tests/tests/cluster/adopt.rs",
            "a_scaled_object_is_paused_by_a_switch_and_resumed_by_its_undo",
        ),
    ),
    // Simulations.
    (
        "pushscale simulate --sweep pod-seconds-per-violation=37..3660",
        By(
            "crates/cli/tests/cli/sweep.rs",
            "a_sweep_of_the_price_draws_the_trade_off",
        ),
    ),
    (
        "pushscale simulate --from torchserve -n models",
        By(
            "tests/tests/node/command_line.rs",
            "explain_simulate_and_doctor_reach_the_leader_without_flags",
        ),
    ),
    (
        "curl -G http://prometheus:9090/api/v1/query_range *",
        By("tests/tests/cluster/monitoring.rs", "imports_a_load"),
    ),
    (
        "kubectl logs --timestamps",
        Not("it names the option whose output is described"),
    ),
];

/// A command of a page.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Command {
    page: String,
    line: usize,
    /// The heading of the second level.
    section: String,
    text: String,
    /// In a block of `sh` or `console`, which a test that follows the section runs.
    is_fenced: bool,
}

/// All pages for users and for developers, relative to the root.
fn pages() -> Vec<PathBuf> {
    let mut found = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    for directory in ["docs", "helm", "tests"] {
        found.extend(files(Path::new(directory), "md"));
    }
    found
}

/// Returns the files below a directory with this extension, relative to the root.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository().join(directory)).unwrap() {
        let path = directory.join(entry.unwrap().file_name());
        if repository().join(&path).is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// Whether a line begins with a program.
fn is_command(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    PROGRAMS.contains(&first)
}

/// Whether inline code only names a command or a pattern of commands.
fn is_name(text: &str) -> bool {
    let is_plain = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_lowercase() || "-_".contains(c))
            && !word.starts_with('-')
    };
    text.contains('…') || text.split(' ').all(is_plain)
}

/// Removes a comment, and the spaces of a layout.
fn plain(text: &str) -> String {
    let (command, _comment) = text.split_once(" #").unwrap_or((text, ""));
    command.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the commands of a page.
fn commands(page: &str, text: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut language: Option<&str> = None;
    let mut continued: Option<(usize, String)> = None;
    let mut add = |line: usize, section: &str, text: &str, is_fenced: bool| {
        found.push(Command {
            page: page.to_owned(),
            line,
            section: section.to_owned(),
            text: plain(text),
            is_fenced,
        });
    };
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if let Some(fence) = trimmed.strip_prefix("```") {
            language = language.is_none().then_some(fence);
            continue;
        }
        if let Some((first, start)) = continued.take() {
            let joined = format!("{start} {}", trimmed.trim_end_matches('\\'));
            match trimmed.ends_with('\\') {
                true => continued = Some((first, joined)),
                false => add(first, &section, &joined, language.is_some()),
            }
            continue;
        }
        let is_indented = language.is_none() && line.starts_with("    ");
        let command = match language {
            Some("sh") => Some(trimmed),
            Some("console") => trimmed.strip_prefix("$ "),
            Some(_) => None,
            None => Some(trimmed).filter(|text| is_indented && is_command(text)),
        };
        if let Some(command) = command.filter(|command| !command.is_empty()) {
            match command.strip_suffix('\\') {
                Some(start) => continued = Some((number, start.to_owned())),
                None => add(number, &section, command, language.is_some()),
            }
        }
        if language.is_some() || is_indented {
            continue;
        }
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        let code = line.split('`').skip(1).step_by(2);
        for inline in code.filter(|text| is_command(text) && !is_name(text)) {
            add(number, &section, inline, false);
        }
    }
    found
}

fn all_commands() -> Vec<Command> {
    let read = |page: PathBuf| {
        let text = read(&page);
        commands(page.to_str().unwrap(), &text)
    };
    pages().into_iter().flat_map(read).collect()
}

/// Whether an item of [`LISTED`] covers a command.
fn covers((pattern, runs): &(&str, Runs), command: &Command) -> bool {
    let is_on_page = match runs {
        OfPage(page, ..) => command.page == *page,
        By(..) | Not(_) => true,
    };
    is_on_page && matches(&command.text, pattern)
}

/// Whether a text matches the pattern of an item of [`LISTED`].
fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut exact = true;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        exact = !part.is_empty();
    }
    !exact || rest.is_empty()
}

fn is_followed(command: &Command) -> bool {
    command.is_fenced
        && FOLLOWED.iter().any(|(page, section, _)| {
            command.page == *page && (*section == "*" || command.section == *section)
        })
}

#[test]
fn every_command_is_run_by_a_test_or_listed_with_a_reason() {
    let all = all_commands();
    let followed: BTreeSet<&str> = all
        .iter()
        .filter(|command| is_followed(command))
        .map(|command| command.text.as_str())
        .collect();
    let is_known = |command: &&Command| {
        followed.contains(command.text.as_str()) || LISTED.iter().any(|item| covers(item, command))
    };
    let wrong: Vec<_> = all
        .iter()
        .filter(|command| !is_known(command))
        .map(|command| format!("{}:{}: {}", command.page, command.line, command.text))
        .collect();
    assert!(
        wrong.is_empty(),
        "run these in a test, or list them in tests/tests/commands.rs:\n{}\n",
        wrong.join("\n")
    );
}

#[test]
fn the_list_names_commands_and_tests_that_exist() {
    let all = all_commands();
    for item @ (pattern, runs) in LISTED {
        let is_used = all.iter().any(|command| covers(item, command));
        assert!(is_used, "no page has {pattern:?}");
        match runs {
            By(file, function) | OfPage(_, file, function) => {
                let name = format!("fn {function}(");
                assert!(read(file).contains(&name), "{file} has no {name}…)");
            }
            Not(reason) => assert!(!reason.is_empty(), "{pattern}"),
        }
    }
    for (page, section, test) in FOLLOWED {
        let is_used = all
            .iter()
            .any(|command| is_followed(command) && command.page == page);
        assert!(is_used, "{page} has no commands in {section:?}");
        let test = read(test);
        let name = page.trim_start_matches("docs/");
        let heading = format!("section(\"{section}\")");
        assert!(
            test.contains(name) && (section == "*" || test.contains(&heading)),
            "no test follows {page}, {section:?}"
        );
    }
}

/// What a page or `doctor` advises to search a log for is logged.
#[test]
fn searched_messages_are_in_the_sources() {
    let rust = |directory: &str| -> String {
        let files = files(Path::new(directory), "rs");
        files.into_iter().map(read).collect()
    };
    let programs = ["aggregator", "certificates", "injector", "sidecar"];
    let sources = programs.map(|program| rust(&format!("crates/{program}/src")));
    let sources = sources.concat();
    let texts = rust("crates/cli/src/doctor/checks");
    let mut texts = texts.replace("\\\"", "\"");
    for page in pages() {
        texts.push_str(&read(page));
    }
    let searched = texts.split("grep \"").skip(1);
    let searched: BTreeSet<&str> = searched.filter_map(|text| text.split('"').next()).collect();
    assert!(searched.len() >= 3, "{searched:?}");
    for message in searched {
        assert!(sources.contains(message), "no program logs {message:?}");
    }
}

#[test]
fn the_rules_can_fail() {
    let page = "## One\n`helm upgrade` and `helm upgrade x --wait`\n\n    make all  # comment\n\n## Two\n```sh\n\
                kubectl get \\\n  pods\n```\n```console\n$ pushscale status -A\noutput\n```\n";
    let found = commands("docs/PAGE.md", page);
    let found: Vec<_> = found
        .iter()
        .map(|command| {
            (
                command.section.as_str(),
                command.text.as_str(),
                command.is_fenced,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("One", "helm upgrade x --wait", false),
            ("One", "make all", false),
            ("Two", "kubectl get pods", true),
            ("Two", "pushscale status -A", true),
        ]
    );
    for (page, expected) in [("docs/PAGE.md", true), ("docs/OTHER.md", false)] {
        let item = ("kubectl get *", OfPage(page, "file", "function"));
        let commands = commands("docs/PAGE.md", "`kubectl get pods -A`");
        assert_eq!(covers(&item, &commands[0]), expected, "{page}");
    }
    assert!(matches("make all", "make *"));
    assert!(matches("echo 1 | kubectl -f -", "echo *| kubectl -f -"));
    assert!(!matches("make all", "make"));
    assert!(!matches("echo 1 | kubectl -f x", "echo *| kubectl -f -"));
}
