//! Declares the settings of a program: the source of `--help`, of the known keys and of docs/REFERENCE.md.

/// A program and its settings.
#[derive(Debug)]
pub struct Program {
    /// The program's name, such as `pushscale-sidecar`.
    pub name: &'static str,
    /// What the program does, in one line.
    pub about: &'static str,
    /// The prefix of its environment variables, such as `PUSHSCALE_SIDECAR`.
    pub prefix: &'static str,
    /// The formats of its config file: the sidecar has no YAML parser.
    pub formats: &'static str,
    /// Commands other than running the program, each with a description.
    pub commands: &'static [(&'static str, &'static str)],
    /// The settings, in groups so that programs can share some.
    pub settings: &'static [&'static [Setting]],
}

/// One setting of a program.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file. The environment variable is the prefix and this in upper case.
    pub key: &'static str,
    /// The default. An empty text means no value; `None` means that a value is required.
    pub default: Option<&'static str>,
    /// The valid values.
    pub kind: Kind,
    /// What the setting does, in one line.
    pub description: &'static str,
}

/// Declares a list of settings, each as `key = default, kind, description;`. Without a default, a value is required.
#[macro_export]
macro_rules! settings {
    ($($key:ident $(= $default:expr)?, $kind:expr, $description:expr;)+) => {
        &[$($crate::config::Setting {
            key: stringify!($key),
            default: $crate::settings!(@default $($default)?),
            kind: $kind,
            description: $description,
        }),+]
    };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}

/// The valid values of a setting.
#[derive(Debug)]
pub enum Kind {
    /// Any text; the program may check it further.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A duration such as `250ms` or `1m30s` from the first to the second.
    Duration(&'static str, &'static str),
    /// A whole number from the first to the second.
    Number(usize, usize),
    /// An IP address and a port.
    Address,
}

impl Kind {
    /// Describes the valid values: `a duration from 100ms to 1m`.
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::OneOf(words) => match words {
                [first @ .., last] if !first.is_empty() => {
                    format!("{} or {last}", first.join(", "))
                }
                _ => words.concat(),
            },
            Self::Boolean => "true or false".to_owned(),
            Self::Duration(min, max) => format!("a duration from {min} to {max}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Address => "an IP address and a port, such as [::]:8490".to_owned(),
        }
    }
}

impl Program {
    /// Returns all settings.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> {
        self.settings.iter().copied().flatten()
    }

    /// Returns the environment variable of a key.
    pub fn variable(&self, key: &str) -> String {
        format!("{}_{}", self.prefix, key.to_uppercase())
    }

    /// Returns the text of `--help`.
    pub fn help(&self) -> String {
        let Self {
            name,
            about,
            prefix,
            formats,
            ..
        } = self;
        let mut help = format!("{about}\n\nUsage: {name} [OPTIONS]\n");
        for (command, description) in self.commands {
            help += &format!("       {name} {command}\n           {description}\n");
        }
        help += &format!(
            "
Options:
      --config FILE   Read settings from FILE ({formats}); the environment overrides it
      --print-config  Print the effective settings and their sources, and exit
  -h, --help          Print this help, and exit

Settings: environment variables, or keys of the file without {prefix}_ and in lower case:
"
        );
        for setting in self.settings() {
            let variable = self.variable(setting.key);
            let default = match setting.default {
                None => "required".to_owned(),
                Some("") => "default: none".to_owned(),
                Some(default) => format!("default: {default}"),
            };
            let kind = match setting.kind {
                Kind::Text | Kind::Address => String::new(),
                _ => format!("{}; ", setting.kind.expected()),
            };
            let description = setting.description;
            help += &format!("  {variable}\n      {description}\n      [{kind}{default}]\n");
        }
        help
    }

    /// Returns the settings as rows of the tables in docs/REFERENCE.md.
    pub fn markdown_rows(&self) -> String {
        let mut rows = String::new();
        for setting in self.settings() {
            let variable = setting.key.to_uppercase();
            let default = match setting.default {
                None => "required".to_owned(),
                Some("") => "none".to_owned(),
                Some(default) => format!("`{default}`"),
            };
            let kind = match setting.kind {
                Kind::Text | Kind::Address | Kind::Boolean => String::new(),
                Kind::OneOf(words) => format!(" (`{}`)", words.join("`, `")),
                Kind::Duration(min, max) => format!(" ({min} to {max})"),
                Kind::Number(min, max) => format!(" ({min} to {max})"),
            };
            let description = setting.description;
            rows += &format!("| `{variable}` | {default} | {description}{kind} |\n");
        }
        rows
    }
}
