//! The table of permissions in docs/SECURITY.md has every rule of the chart and no other, and each program has its own
//! roles.

use std::collections::BTreeSet;

use pushscale_tests::charts::{Helm, objects};
use pushscale_tests::programs::repository;
use serde_json::{Value, json};

use crate::read;

const TABLE: &str = "| role | verbs | resource | names |";

#[test]
fn the_table_of_permissions_has_the_rules_of_the_chart() {
    let Some(helm) = Helm::for_test() else { return };
    let page = read(&repository().join("docs/SECURITY.md"));
    for watched in ["", "models"] {
        // The table has the rules of all options.
        let values = json!({
            "aggregator": { "watchNamespace": watched },
            "externalMetrics": { "enabled": true },
        });
        let granted = granted(&helm.template("pushscale", &values).unwrap());
        let listed = listed(&page, watched);
        assert!(listed.len() > 15, "{listed:#?}");
        let missing: Vec<_> = granted.difference(&listed).collect();
        assert!(missing.is_empty(), "the table does not list {missing:#?}");
        let unknown: Vec<_> = listed.difference(&granted).collect();
        assert!(unknown.is_empty(), "the chart does not have {unknown:#?}");
    }
}

#[test]
fn each_program_has_its_own_roles() {
    let Some(helm) = Helm::for_test() else { return };
    let rendered = helm.template("pushscale", &json!({})).unwrap();
    let mut programs = BTreeSet::new();
    for binding in objects(&rendered) {
        if !binding["kind"].as_str().unwrap().ends_with("RoleBinding") {
            continue;
        }
        let role = binding["roleRef"]["name"].as_str().unwrap();
        for subject in binding["subjects"].as_array().unwrap() {
            assert_eq!(subject["kind"], "ServiceAccount", "{binding:#}");
            let account = subject["name"].as_str().unwrap();
            assert!(role.starts_with(account), "{role} is bound to {account}");
            programs.insert(account.to_owned());
        }
    }
    let expected = ["aggregator", "certificates", "injector"];
    assert_eq!(
        programs,
        BTreeSet::from(expected.map(|program| format!("pushscale-{program}")))
    );
}

/// Returns the rules of the table, if only this namespace is watched; with an empty name, if all are.
fn listed(page: &str, watched: &str) -> BTreeSet<String> {
    let (_, table) = page.split_once(TABLE).expect("a table of permissions");
    let rows = table.lines().skip(2);
    let mut role = "";
    let mut rules = BTreeSet::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, first, verbs, resources, names, ..] = cells[..] else {
            panic!("not a row of five cells: {row}");
        };
        if !first.is_empty() {
            role = first;
        }
        let scope = if role.ends_with("own namespace") {
            "in pushscale".to_owned()
        } else if role.ends_with('*') && !watched.is_empty() {
            format!("in {watched}")
        } else {
            "in the cluster".to_owned()
        };
        let verbs = verbs.split(", ").map(str::to_owned).collect();
        // The group of a resource is behind it, in parentheses; the core group has no name.
        let (resources, group) = resources.split_once('(').unwrap_or((resources, "``"));
        let mut limits = quoted(names);
        if names.ends_with("or the one") && !watched.is_empty() {
            limits.push(watched.to_owned());
        }
        let role = quoted(role).concat();
        let groups = quoted(group);
        rules.insert(rule(
            &role,
            &scope,
            verbs,
            groups,
            quoted(resources),
            limits,
        ));
    }
    rules
}

/// Returns the rules of the rendered roles.
fn granted(rendered: &str) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for role in objects(rendered) {
        if !["Role", "ClusterRole"].contains(&role["kind"].as_str().unwrap()) {
            continue;
        }
        let name = role["metadata"]["name"].as_str().unwrap();
        let scope = match role["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("in {namespace}"),
            None => "in the cluster".to_owned(),
        };
        for one in role["rules"].as_array().unwrap() {
            let [verbs, groups, resources, names] =
                ["verbs", "apiGroups", "resources", "resourceNames"].map(|key| words(&one[key]));
            rules.insert(rule(name, &scope, verbs, groups, resources, names));
        }
    }
    rules
}

fn rule(
    role: &str,
    scope: &str,
    mut verbs: Vec<String>,
    mut groups: Vec<String>,
    mut resources: Vec<String>,
    mut names: Vec<String>,
) -> String {
    for list in [&mut verbs, &mut groups, &mut resources, &mut names] {
        list.sort();
    }
    format!(
        "{role} {scope}: {} {}/{} [{}]",
        verbs.join(","),
        groups.join(","),
        resources.join(","),
        names.join(",")
    )
}

/// Returns the words in backticks.
fn quoted(text: &str) -> Vec<String> {
    let words = text.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}
