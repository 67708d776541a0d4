//! `pushscale status --watch`: the table of a watch of the API server.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use kube::Api;
use kube::runtime::watcher::{self, watcher};
use pushscale_api::PushScaler;

use super::row::{Columns, key, render, row};
use crate::CommandError;
use crate::cluster::ClusterError;
use crate::output::{Colors, is_terminal, print};

/// Ages change without an event.
const REDRAW_INTERVAL: Duration = Duration::from_secs(5);

/// Clears the screen, as `clear` does.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// Prints each change of the PushScaler of this name, or of all, until it is interrupted.
pub(super) async fn run(
    api: Api<PushScaler>,
    name: Option<&str>,
    columns: Columns,
) -> Result<ExitCode, CommandError> {
    let mut config = watcher::Config::default();
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let mut table = Table {
        scalers: BTreeMap::new(),
        columns,
        colors: Colors::detect(),
        redraws: is_terminal(),
        listed: false,
        has_header: false,
    };
    let events = watcher(api, config);
    pin_mut!(events);
    let mut tick = tokio::time::interval(REDRAW_INTERVAL);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => table.apply(event)?,
                // The watch is started again only if it has been running.
                Some(Err(watcher::Error::InitialListFailed(source))) => {
                    return Err(ClusterError::request("the PushScalers", source).into());
                }
                Some(Err(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                None => return Ok(ExitCode::SUCCESS),
            },
            _ = tick.tick(), if table.redraws => table.redraw()?,
        }
    }
}

struct Table {
    scalers: BTreeMap<(String, String), PushScaler>,
    columns: Columns,
    colors: Colors,
    /// Whether the whole table is drawn again for each change.
    redraws: bool,
    listed: bool,
    has_header: bool,
}

impl Table {
    fn apply(&mut self, event: watcher::Event<PushScaler>) -> Result<(), CommandError> {
        match event {
            watcher::Event::Init => {
                self.scalers.clear();
                self.listed = false;
            }
            watcher::Event::InitApply(scaler) => {
                self.scalers.insert(key(&scaler), scaler);
            }
            watcher::Event::InitDone => {
                self.listed = true;
                if !self.redraws {
                    let all: Vec<_> = self.scalers.values().cloned().collect();
                    self.append(&all)?;
                }
            }
            watcher::Event::Apply(scaler) => {
                let now = Timestamp::now();
                let known = self.scalers.get(&key(&scaler));
                let shown = known.map(|known| row(known, self.columns, now));
                let is_news = shown != Some(row(&scaler, self.columns, now));
                self.scalers.insert(key(&scaler), scaler.clone());
                if is_news && !self.redraws {
                    self.append(&[scaler])?;
                }
            }
            watcher::Event::Delete(scaler) => {
                self.scalers.remove(&key(&scaler));
            }
        }
        self.redraw()
    }

    /// Prints rows below the last ones, for a reader that is not a terminal.
    fn append(&mut self, scalers: &[PushScaler]) -> Result<(), CommandError> {
        let text = render(scalers, self.columns, Timestamp::now(), self.colors);
        let rows = text.split_once('\n').map_or("", |(_, rows)| rows);
        if self.has_header {
            return print(rows);
        }
        self.has_header = true;
        print(&text)
    }

    fn redraw(&self) -> Result<(), CommandError> {
        if !self.redraws || !self.listed {
            return Ok(());
        }
        let all: Vec<_> = self.scalers.values().cloned().collect();
        let text = render(&all, self.columns, Timestamp::now(), self.colors);
        print(&format!("{CLEAR}{text}"))
    }
}
