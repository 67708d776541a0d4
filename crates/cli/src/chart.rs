//! What the charts of all commands share.

use std::io;

use plotters::style::RGBColor;

pub(crate) const BLUE: RGBColor = RGBColor(37, 99, 235);
pub(crate) const GREEN: RGBColor = RGBColor(22, 163, 74);
pub(crate) const GREY: RGBColor = RGBColor(148, 163, 184);
pub(crate) const RED: RGBColor = RGBColor(220, 38, 38);
pub(crate) const SLATE: RGBColor = RGBColor(100, 116, 139);

/// Why a chart was not drawn.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Returns what `plot` draws, as an SVG.
pub(crate) fn svg(plot: impl FnOnce(&mut String) -> Result<(), Failure>) -> io::Result<String> {
    let mut picture = String::new();
    plot(&mut picture).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(picture)
}
