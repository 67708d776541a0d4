//! Follows a page of docs/: runs its commands and writes its files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::repository;
use crate::test_cluster::TestCluster;

/// A page with its sections, in order.
#[derive(Debug)]
pub struct Document {
    name: String,
    sections: Vec<Section>,
}

/// The content below a heading of the second level.
#[derive(Debug)]
pub struct Section {
    title: String,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    language: String,
    text: String,
}

impl Document {
    /// Returns the text of a page of docs/.
    pub fn text(name: &str) -> String {
        fs::read_to_string(repository().join("docs").join(name)).unwrap()
    }

    /// Reads a page of docs/.
    pub fn read(name: &str) -> Self {
        let text = Self::text(name);
        let mut sections = Vec::new();
        let mut fenced: Option<Block> = None;
        for line in text.lines() {
            match (&mut fenced, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    fenced = Some(Block {
                        language: language.to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => {
                    let section: &mut Section = sections.last_mut().expect("a heading comes first");
                    section.blocks.extend(fenced.take());
                }
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {
                    if let Some(title) = line.strip_prefix("## ") {
                        sections.push(Section {
                            title: title.to_owned(),
                            blocks: Vec::new(),
                        });
                    }
                }
            }
        }
        Self {
            name: name.to_owned(),
            sections,
        }
    }

    /// Returns the section with this heading.
    pub fn section(&self, title: &str) -> &Section {
        self.sections
            .iter()
            .find(|section| section.title == title)
            .unwrap_or_else(|| panic!("{} has no section {title:?}", self.name))
    }

    /// Returns the number of blocks with commands.
    pub fn commands(&self) -> usize {
        self.sections
            .iter()
            .map(|section| section.commands().count())
            .sum()
    }
}

impl Section {
    /// Returns the block that starts with `# NAME`.
    pub fn file(&self, name: &str) -> &str {
        let first = format!("# {name}");
        let is_named = |block: &&Block| block.text.lines().next() == Some(first.as_str());
        let block = self.blocks.iter().find(is_named);
        &block
            .unwrap_or_else(|| panic!("{:?} has no block {first:?}", self.title))
            .text
    }

    fn commands(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.language == "sh")
    }
}

/// A reader who follows a page: a directory with the reader's files, and a shell.
pub struct Reader {
    /// The working directory.
    pub directory: PathBuf,
    command: Box<dyn Fn() -> Command>,
    run: usize,
}

impl Reader {
    /// Creates a reader with a directory of this name, which gets a link to `helm`, and with a shell that reaches the
    /// cluster. `path` are more directories of programs.
    pub fn new(cluster: &TestCluster, name: &str, path: &[&Path]) -> Self {
        let directory = cluster.logs_dir().join(name);
        let path: Vec<PathBuf> = path.iter().map(|directory| directory.into()).collect();
        let shell = cluster.command("sh");
        let command = move || with_path(&shell, &path);
        fs::remove_dir_all(&directory).ok();
        fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink(repository().join("helm"), directory.join("helm")).unwrap();
        Self {
            directory,
            command: Box::new(command),
            run: 0,
        }
    }

    /// Returns the number of blocks that were run.
    pub fn blocks_run(&self) -> usize {
        self.run
    }

    /// Writes a file that the reader already has.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    /// Follows a section, and returns the output of each block of commands. A block that starts with `# NAME.yaml` is a
    /// file, which is written unless the reader has one of that name. A block of `text` shows an output. `between` is
    /// called before each block of commands, with its index.
    pub fn follow(&mut self, section: &Section, mut between: impl FnMut(usize)) -> Vec<String> {
        let mut outputs = Vec::new();
        for block in &section.blocks {
            match block.language.as_str() {
                "sh" => {
                    between(outputs.len());
                    outputs.push(self.run(&block.text));
                }
                "yaml" => {
                    let first = block.text.lines().next().unwrap_or_default();
                    let name = first
                        .strip_prefix("# ")
                        .expect("a file block starts with its name");
                    let path = self.directory.join(name);
                    if !path.exists() {
                        fs::write(path, &block.text).unwrap();
                    }
                }
                "text" => {}
                other => panic!("{:?}: a block of {other:?} is not run", section.title),
            }
        }
        outputs
    }

    /// Runs commands as a user would paste them. Each must succeed.
    pub fn run(&mut self, commands: &str) -> String {
        writeln!(std::io::stderr(), "{commands}").ok();
        self.run += 1;
        let output = (self.command)()
            .args(["-eu", "-c", commands])
            .current_dir(&self.directory)
            .output()
            .unwrap();
        let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{commands}\n{output_text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output_text
    }
}

/// Returns the same command with more directories on PATH.
fn with_path(command: &Command, more: &[PathBuf]) -> Command {
    let mut extended = Command::new(command.get_program());
    extended.args(command.get_args());
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default();
        if name == "PATH" {
            let all = more.iter().cloned().chain(std::env::split_paths(value));
            extended.env(name, std::env::join_paths(all).unwrap());
        } else {
            extended.env(name, value);
        }
    }
    extended
}
