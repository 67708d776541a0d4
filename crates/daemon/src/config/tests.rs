use super::*;

const SECOND: Duration = Duration::from_secs(1);

const fn setting(key: &'static str, default: Option<&'static str>, kind: Kind) -> Setting {
    Setting {
        key,
        default,
        kind,
        description: "what it does",
    }
}

static PROGRAM: Program = Program {
    name: "pushscale-test",
    about: "A test.",
    prefix: "PUSHSCALE_TEST",
    formats: ".toml",
    commands: &[],
    settings: &[
        &[
            setting("interval", Some("1s"), Kind::Duration("100ms", "60s")),
            setting("listen", Some("0.0.0.0:1"), Kind::Address),
            setting("limit", Some("5"), Kind::Number(1, 10)),
        ],
        &[
            setting("pod_name", None, Kind::Text),
            setting("fast", Some("false"), Kind::Boolean),
            setting("mode", Some("auto"), Kind::OneOf(&["auto", "on", "off"])),
            setting("ca_file", Some(""), Kind::Text),
        ],
    ],
};

fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::from_pairs(&PROGRAM, pairs.iter().copied()).unwrap()
}

/// Reads every setting.
fn read(mut settings: Settings) -> Result<String, Vec<String>> {
    let modes = [("auto", 0), ("on", 1), ("off", 2)];
    let read = format!(
        "{:?} {} {} {:?} {} {:?} {:?}",
        settings.duration("interval"),
        settings.address("listen"),
        settings.number("limit"),
        settings.text("pod_name"),
        settings.boolean("fast"),
        settings.one_of("mode", &modes),
        settings.optional("ca_file"),
    );
    let errors = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect();
    settings.finish(read).map_err(errors)
}

/// Reads a file with this text, under the given pairs of the environment.
fn with_file(name: &str, text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Vec<ConfigError>> {
    // One directory per call: tests run side by side in one process.
    let process = std::process::id();
    let directory = std::env::temp_dir().join(format!("pushscale-config-{process}-{name}"));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    let settings = Settings::read(
        &PROGRAM,
        Some(path),
        environment_of(&PROGRAM, pairs.iter().copied()),
    );
    std::fs::remove_dir_all(&directory).unwrap();
    settings
}

#[test]
fn all_config_errors_are_reported_at_once_and_name_the_variable() {
    let errors = read(settings(&[
        ("PUSHSCALE_TEST_INTERVAL", "soon"),
        ("PUSHSCALE_TEST_LISTEN", "here"),
        ("PUSHSCALE_TEST_LIMIT", "0"),
        ("PUSHSCALE_TEST_INTERWAL", "1s"),
        ("PUSHSCALE_TEST_FAST", "yes"),
        ("PUSHSCALE_TEST_MODE", "true"),
        ("UNRELATED", "1"),
    ]))
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "PUSHSCALE_TEST_INTERWAL: unknown setting; did you mean PUSHSCALE_TEST_INTERVAL?",
            "PUSHSCALE_TEST_INTERVAL: is \"soon\": it must be a duration from 100ms to 60s",
            "PUSHSCALE_TEST_LISTEN: is \"here\": it must be an IP address and a port, such as [::]:8490",
            "PUSHSCALE_TEST_LIMIT: is \"0\": it must be a whole number from 1 to 10",
            "PUSHSCALE_TEST_POD_NAME: is required: what it does",
            "PUSHSCALE_TEST_FAST: is \"yes\": it must be true or false",
            "PUSHSCALE_TEST_MODE: is \"true\": it must be auto, on or off",
        ]
    );
}

#[test]
fn defaults_are_valid() {
    let read = read(settings(&[("PUSHSCALE_TEST_POD_NAME", "p")]));
    assert_eq!(read.unwrap(), "1s 0.0.0.0:1 5 \"p\" false Some(0) None");
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "interval = \"1m\"\nlimit = 7\nfast = true\npod_name = \"file\"\n";
    let pairs = [("PUSHSCALE_TEST_POD_NAME", "environment")];
    let settings = with_file("overlay.toml", text, &pairs).unwrap();
    assert_eq!(
        settings.effective(),
        "interval = \"1m\" # file
listen = \"0.0.0.0:1\" # default
limit = \"7\" # file
pod_name = \"environment\" # environment
fast = \"true\" # file
mode = \"auto\" # default
# ca_file is not set
"
    );
    assert_eq!(
        read(settings).unwrap(),
        "60s 0.0.0.0:1 7 \"environment\" true Some(0) None"
    );
}

#[test]
fn the_printed_settings_are_a_valid_file() {
    let printed = settings(&[("PUSHSCALE_TEST_POD_NAME", "a \"b\"")]).effective();
    let again = with_file("printed.toml", &printed, &[]).unwrap();
    assert_eq!(
        again.effective(),
        printed
            .replace("# environment", "# file")
            .replace("# default", "# file")
    );
}

#[test]
fn errors_in_a_file_name_the_file_and_the_key() {
    let text = "interval = 5\nlimt = 1\nmode = [1]\nLIMIT = 3\n";
    let pairs = [
        ("PUSHSCALE_TEST_POD_NAME", "p"),
        ("PUSHSCALE_TEST_LIMIT", "x"),
    ];
    let errors = read(with_file("errors.toml", text, &pairs).unwrap()).unwrap_err();
    let errors: Vec<&str> = errors
        .iter()
        .map(|error| {
            error
                .rsplit_once('/')
                .map_or(error.as_str(), |(_, error)| error)
        })
        .collect();
    assert_eq!(
        errors,
        [
            "errors.toml: LIMIT: unknown setting; did you mean limit?",
            "errors.toml: limt: unknown setting; did you mean limit?",
            "errors.toml: mode: must be text, a number, true or false",
            "errors.toml: interval: is \"5\": it must be a duration from 100ms to 60s",
            "PUSHSCALE_TEST_LIMIT: is \"x\": it must be a whole number from 1 to 10",
        ]
    );
}

#[test]
fn a_file_that_is_missing_broken_or_of_another_format_is_an_error() {
    let error = |found: Result<Settings, Vec<ConfigError>>| found.unwrap_err()[0].to_string();
    let missing = Settings::load(&PROGRAM, Some("/nowhere/settings.toml".into()));
    assert!(error(missing).starts_with("/nowhere/settings.toml: failed to read: No such file"));
    let broken = error(with_file("broken.toml", "interval = ", &[]));
    assert!(
        broken.contains("broken.toml: ") && broken.contains("line 1"),
        "{broken}"
    );
    assert!(error(with_file("settings.ini", "", &[])).contains("settings.ini: must end in .toml"));
}

#[cfg(feature = "yaml")]
#[test]
fn a_file_can_be_yaml() {
    let text = "interval: 30s\nlimit: 7\npod_name: p\nfast: true\n";
    for name in ["settings.yaml", "settings.yml"] {
        let read = read(with_file(name, text, &[]).unwrap());
        assert_eq!(read.unwrap(), "30s 0.0.0.0:1 7 \"p\" true Some(0) None");
    }
}

#[test]
fn variables_of_a_service_with_our_name_are_ignored() {
    let settings = settings(&[
        ("PUSHSCALE_TEST_PORT", "tcp://10.96.7.1:8490"),
        ("PUSHSCALE_TEST_PORT_8490_TCP_ADDR", "10.96.7.1"),
        ("PUSHSCALE_TEST_SERVICE_HOST", "10.96.7.1"),
    ]);
    assert_eq!(settings.finish(7), Ok(7));
}

#[test]
fn help_describes_every_setting() {
    let help = PROGRAM.help();
    for expected in [
        "Usage: pushscale-test [OPTIONS]",
        "  PUSHSCALE_TEST_INTERVAL\n      what it does\n      [a duration from 100ms to 60s; default: 1s]\n",
        "  PUSHSCALE_TEST_POD_NAME\n      what it does\n      [required]\n",
        "  PUSHSCALE_TEST_MODE\n      what it does\n      [auto, on or off; default: auto]\n",
        "  PUSHSCALE_TEST_CA_FILE\n      what it does\n      [default: none]\n",
    ] {
        assert!(help.contains(expected), "{help}");
    }
}

#[test]
fn durations_have_units() {
    let cases = [
        ("250ms", Some(SECOND / 4)),
        ("1.5s", Some(SECOND * 3 / 2)),
        ("2m", Some(SECOND * 120)),
        ("1m30s", Some(SECOND * 90)),
        ("1", None),
        ("-1s", None),
        ("s", None),
        ("1e400s", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_duration(text), expected, "{text}");
    }
}
