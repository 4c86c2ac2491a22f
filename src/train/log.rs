//! The record of a run: `training.csv`, and `training.svg` drawn from it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::checkpoint::write_atomically;
use crate::error::{Error, Result};

/// One line of `training.csv`: means since the line before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Steps done.
    pub step: usize,
    /// Passes over the data begun, from 0.
    pub epoch: usize,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// `1 - cosine` on training images.
    pub cosine_loss: f64,
    /// Huber's loss on training images.
    pub huber_loss: f64,
    /// Cross-entropy of the vocabulary on training images, if there is one.
    pub words_loss: Option<f64>,
    /// Mean cosine on validation images, where it was measured.
    pub validation_cosine: Option<f64>,
    /// Images a second.
    pub images_per_s: f64,
}

/// Reads the rows of an earlier part of the run, up to and including `step`.
///
/// A row that was cut off when the run was killed ends the reading: its steps are done again.
///
/// # Errors
/// [`Error::Table`] if the file is there and cannot be opened.
pub fn read(path: &Path, step: usize) -> Result<Vec<LogRow>> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let opened = csv::Reader::from_path(path);
    let reader = opened.map_err(|source| Error::Table {
        path: path.to_owned(),
        source,
    })?;
    let rows = reader
        .into_deserialize::<LogRow>()
        .map_while(std::result::Result::ok);
    Ok(rows.take_while(|row| row.step <= step).collect())
}

/// Writes all rows anew, whole or not at all.
///
/// # Errors
/// [`Error::Table`] or [`Error::Io`] if the file cannot be written.
pub fn write(path: &Path, rows: &[LogRow]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in rows {
        writer.serialize(row).map_err(|source| Error::Table {
            path: path.to_owned(),
            source,
        })?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::io("write", path)(error.into_error()))?;
    write_atomically(path, &bytes)
}

/// Adds one row to a file made by [`write()`].
///
/// # Errors
/// [`Error::Table`] if the file cannot be written.
pub fn append(path: &Path, row: &LogRow) -> Result<()> {
    let empty = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    let file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::io("write", path))?;
    let mut writer = csv::WriterBuilder::new()
        .has_headers(empty)
        .from_writer(file);
    writer.serialize(row).map_err(|source| Error::Table {
        path: path.to_owned(),
        source,
    })?;
    writer.flush().map_err(Error::io("write", path))
}

/// Draws training and validation cosine over the steps as an SVG file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn plot(path: &Path, rows: &[LogRow]) -> Result<()> {
    let Some(last) = rows.last() else {
        return Ok(());
    };
    let mut svg = String::new();
    let training: Vec<_> = rows
        .iter()
        .map(|row| (row.step, 1.0 - row.cosine_loss))
        .collect();
    let validation: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.step, row.validation_cosine?)))
        .collect();
    let points = training.iter().chain(&validation);
    let lowest = points.map(|point| point.1).fold(0.8, f64::min);
    draw(&mut svg, last.step, lowest, &training, &validation)
        .map_err(|error| Error::io("draw", path)(std::io::Error::other(error)))?;
    let mut file = File::create(path).map_err(Error::io("write", path))?;
    file.write_all(svg.as_bytes())
        .map_err(Error::io("write", path))
}

fn draw(
    svg: &mut String,
    steps: usize,
    lowest: f64,
    training: &[(usize, f64)],
    validation: &[(usize, f64)],
) -> std::result::Result<(), String> {
    let text = |error: DrawingAreaErrorKind<_>| error.to_string();
    let area = SVGBackend::with_string(svg, (800, 400)).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .caption(
            "mean cosine of predicted and true prompt embedding",
            ("sans-serif", 16),
        )
        .build_cartesian_2d(0..steps, (lowest - 0.02)..0.9)
        .map_err(text)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc("cosine")
        .draw()
        .map_err(text)?;
    let mut line = |points: &[(usize, f64)], colour: RGBColor, name: &str| {
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(series)
            .map_err(text)?
            .label(name)
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        Ok::<_, String>(())
    };
    line(training, RGBColor(120, 150, 200), "training images")?;
    line(validation, RGBColor(200, 70, 40), "validation images")?;
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .position(SeriesLabelPosition::LowerRight)
        .draw()
        .map_err(text)?;
    area.present().map_err(text)
}
