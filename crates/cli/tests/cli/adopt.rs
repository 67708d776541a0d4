//! `pushscale adopt` of the files in `testdata/adopt`, each of which says in its first line what it is.
//! `PUSHSCALE_GENERATE=1` rewrites the expected outputs.

use std::fs;
use std::path::Path;
use std::process::Command;

use pushscale_cli::adopt::hpa_as_v2;
use serde_json::Value;

use crate::golden;

#[test]
fn adopted_manifests_match_the_expected_texts() {
    for file in golden::files("testdata/adopt", ".yaml", 7) {
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
        golden::check(&file.with_extension("txt"), &found);
    }
}

#[test]
fn the_printed_hpa_is_that_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/EXTERNAL-METRICS.md");
    let page = fs::read_to_string(page).unwrap();
    let file = |name: &str| -> Value {
        let (_, text) = page.split_once(&format!("```yaml\n# {name}\n")).unwrap();
        serde_saphyr::from_str(text.split("```").next().unwrap()).unwrap()
    };
    let printed = hpa_as_v2(file("published.yaml")).unwrap();
    assert_eq!(printed, file("hpa.yaml"));
}
