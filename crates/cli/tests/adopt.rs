//! `pushscale adopt` of the files in `testdata/adopt`, each of which says in its first line what it is.
//! `PUSHSCALE_GENERATE=1` rewrites the expected outputs.

#![cfg(test)]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use pushscale_cli::adopt::hpa_as_v2;
use serde_json::Value;

#[test]
fn adopted_manifests_match_the_expected_texts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/adopt");
    let files = fs::read_dir(&directory).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    assert!(files.len() >= 7, "{} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{}: no first line", file.display());
        // Arguments are in the second line, after `#$`.
        let arguments = text.lines().find_map(|line| line.strip_prefix("#$ "));
        let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
            .args(["adopt", "-f"])
            .arg(&file)
            .args(arguments.unwrap_or_default().split_whitespace())
            .output()
            .unwrap();
        let mut found = String::from_utf8(output.stdout).unwrap();
        found.push_str(&String::from_utf8(output.stderr).unwrap());
        found.push_str(&format!("exit status: {}\n", output.status.code().unwrap()));
        let expected = file.with_extension("txt");
        if env::var_os("PUSHSCALE_GENERATE").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let text = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, text, "{}", file.display());
    }
}

#[test]
fn the_printed_hpa_is_that_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/EXTERNAL_METRICS.md");
    let page = fs::read_to_string(page).unwrap();
    let file = |name: &str| -> Value {
        let (_, text) = page.split_once(&format!("```yaml\n# {name}\n")).unwrap();
        serde_saphyr::from_str(text.split("```").next().unwrap()).unwrap()
    };
    let printed = hpa_as_v2(file("published.yaml")).unwrap();
    assert_eq!(printed, file("hpa.yaml"));
}
