//! A page of docs/, taken at its word: its commands are run and its files are written.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by panicking"
)]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::programs::repository;

/// A page: its sections in order.
#[derive(Debug)]
pub struct Document {
    name: String,
    sections: Vec<Section>,
}

/// What stands under one heading of the second level.
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
    /// A page of docs/.
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(repository().join("docs").join(name)).unwrap();
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

    /// The section under this heading.
    pub fn section(&self, title: &str) -> &Section {
        self.sections
            .iter()
            .find(|section| section.title == title)
            .unwrap_or_else(|| panic!("{} has no section {title:?}", self.name))
    }

    /// How many blocks of commands there are in all.
    pub fn commands(&self) -> usize {
        self.sections
            .iter()
            .map(|section| section.commands().count())
            .sum()
    }
}

impl Section {
    fn commands(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.language == "sh")
    }
}

/// Where a page is followed: a folder with what the reader has, and the programs.
pub struct Reader {
    /// The folder.
    pub folder: PathBuf,
    command: Box<dyn Fn() -> Command>,
    run: usize,
}

impl Reader {
    /// In this folder, which has `helm` as the repository has it. `command` makes a shell where the cluster is.
    pub fn new(folder: PathBuf, command: impl Fn() -> Command + 'static) -> Self {
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(repository().join("helm"), folder.join("helm")).unwrap();
        Self {
            folder,
            command: Box::new(command),
            run: 0,
        }
    }

    /// Blocks of commands that were run so far.
    pub fn blocks_run(&self) -> usize {
        self.run
    }

    /// A file that the reader has written before.
    pub fn has(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    /// Does what the section says. A block that begins with `# NAME.yaml` is a file of that name, unless the reader has
    /// one. `between` is called before each block of commands, with its number from 0.
    pub fn follow(&mut self, section: &Section, mut between: impl FnMut(usize)) {
        let mut number = 0;
        for block in &section.blocks {
            match block.language.as_str() {
                "sh" => {
                    between(number);
                    number += 1;
                    self.run(&block.text);
                }
                "yaml" => {
                    let first = block.text.lines().next().unwrap_or_default();
                    let name = first.strip_prefix("# ").expect("a file says its name");
                    let path = self.folder.join(name);
                    if !path.exists() {
                        fs::write(path, &block.text).unwrap();
                    }
                }
                other => panic!("{:?}: a block of {other:?} is not run", section.title),
            }
        }
    }

    /// Runs commands as a person would paste them, each of which must succeed.
    pub fn run(&mut self, commands: &str) -> String {
        writeln!(std::io::stderr(), "{commands}").ok();
        self.run += 1;
        let output = (self.command)()
            .args(["-eu", "-c", commands])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{commands}\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}
