//! README.md and values.schema.json are generated from values.yaml. `make generate` rewrites them.

use std::{env, fs};

use pushscale_tests::charts::{keys, readme, schema};

use crate::{CHARTS, directory, read};

#[test]
fn the_generated_table_and_schema_are_up_to_date() {
    for chart in CHARTS {
        let keys = keys(&read(&directory(chart).join("values.yaml")));
        let readme_file = directory(chart).join("README.md");
        let table = readme(&read(&readme_file), &keys);
        for (file, generated) in [
            (
                directory(chart).join("values.schema.json"),
                schema(chart, &keys),
            ),
            (readme_file, table),
        ] {
            if env::var_os("PUSHSCALE_GENERATE").is_some() {
                fs::write(&file, &generated).unwrap();
            }
            let kept = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                kept == generated,
                "{} is not up to date: run `make generate`",
                file.display()
            );
        }
    }
}

#[test]
fn every_value_has_a_comment() {
    for chart in CHARTS {
        for key in keys(&read(&directory(chart).join("values.yaml"))) {
            assert!(
                key.is_section || key.what.ends_with('.'),
                "{chart}: {} has no sentence above it: {:?}",
                key.name(),
                key.what
            );
        }
    }
}
