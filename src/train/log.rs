//! The record of a run: `training.csv`, and `training.svg` drawn from it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::checkpoint::write_atomically;
use super::task::Task;
use crate::error::{Error, Result};

/// The lines, in the folder of their run.
pub(super) const FILE: &str = "training.csv";

/// One line of `training.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    /// Steps done.
    pub step: usize,
    /// Passes over the data begun, from 0.
    pub epoch: usize,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// Parts of the loss on training examples, means since the line before, or since the run went on after it.
    pub parts: Vec<f64>,
    /// The score on validation examples, where it was measured.
    pub validation: Option<f64>,
    /// Training examples a second.
    pub images_per_s: f64,
}

impl LogRow {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.step.to_string(),
            self.epoch.to_string(),
            self.learning_rate.to_string(),
        ];
        cells.extend(self.parts.iter().map(ToString::to_string));
        cells.push(self.validation.map_or_else(String::new, |x| x.to_string()));
        cells.push(self.images_per_s.to_string());
        cells
    }

    /// `None` for a line that is cut off or not of `parts` parts.
    fn read(cells: &csv::StringRecord, parts: usize) -> Option<Self> {
        let number = |at: usize| cells.get(at)?.parse::<f64>().ok();
        if cells.len() != parts + 5 {
            return None;
        }
        Some(Self {
            step: cells.get(0)?.parse().ok()?,
            epoch: cells.get(1)?.parse().ok()?,
            learning_rate: number(2)?,
            parts: (3..3 + parts).map(number).collect::<Option<_>>()?,
            validation: number(3 + parts),
            images_per_s: number(4 + parts)?,
        })
    }
}

/// The log of a task's run.
pub(super) struct Log<'a> {
    task: &'a dyn Task,
    table: PathBuf,
    picture: PathBuf,
    rows: Vec<LogRow>,
}

impl<'a> Log<'a> {
    /// Takes up the log in `folder` up to and including `step`; later lines are dropped.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Io`] if the file cannot be read or written.
    pub(super) fn open(folder: &Path, task: &'a dyn Task, step: usize) -> Result<Self> {
        let table = folder.join(FILE);
        let rows = if step > 0 && table.exists() {
            read(&table, task.parts().len(), step)?
        } else {
            vec![]
        };
        let log = Self {
            task,
            picture: folder.join("training.svg"),
            rows,
            table,
        };
        write_atomically(&log.table, &log.text()?)?;
        Ok(log)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`Error::Table`] if the file cannot be written.
    pub(super) fn append(&mut self, row: LogRow) -> Result<LogRow> {
        let file: File = OpenOptions::new()
            .append(true)
            .open(&self.table)
            .map_err(Error::io("write", &self.table))?;
        let mut writer = csv::Writer::from_writer(file);
        writer
            .write_record(row.cells())
            .map_err(|source| self.failed(source))?;
        writer.flush().map_err(Error::io("write", &self.table))?;
        self.rows.push(row.clone());
        Ok(row)
    }

    /// Draws the scores of training and validation over the steps.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub(super) fn plot(&self) -> Result<()> {
        let mut svg = String::new();
        let score = |row: &LogRow| (row.step, self.task.score(&row.parts));
        let training: Vec<_> = self.rows.iter().map(score).collect();
        let validated = |row: &LogRow| Some((row.step, row.validation?));
        let validation: Vec<_> = self.rows.iter().filter_map(validated).collect();
        if training.is_empty() {
            return Ok(());
        }
        draw(&mut svg, self.task.score_name(), &training, &validation)
            .map_err(|error| Error::io("draw", &self.picture)(std::io::Error::other(error)))?;
        let mut file = File::create(&self.picture).map_err(Error::io("write", &self.picture))?;
        file.write_all(svg.as_bytes())
            .map_err(Error::io("write", &self.picture))
    }

    fn text(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(vec![]);
        let mut header = vec!["step", "epoch", "learning_rate"];
        let validation = format!("validation_{}", self.task.score_name());
        header.extend(self.task.parts());
        header.extend([validation.as_str(), "images_per_s"]);
        let mut write = |cells: &[String]| {
            let written = writer.write_record(cells);
            written.map_err(|source| self.failed(source))
        };
        write(&header.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        for row in &self.rows {
            write(&row.cells())?;
        }
        writer
            .into_inner()
            .map_err(|error| Error::io("write", &self.table)(error.into_error()))
    }

    fn failed(&self, source: csv::Error) -> Error {
        Error::Table {
            path: self.table.clone(),
            source,
        }
    }
}

/// Rows of an earlier part of the run. One that was cut off when the run was killed ends the reading:
/// its steps are done again.
fn read(path: &Path, parts: usize, step: usize) -> Result<Vec<LogRow>> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(|source| Error::Table {
            path: path.to_owned(),
            source,
        })?;
    let rows = reader
        .records()
        .map_while(|record| LogRow::read(&record.ok()?, parts));
    Ok(rows.take_while(|row| row.step <= step).collect())
}

fn draw(
    svg: &mut String,
    score: &str,
    training: &[(usize, f64)],
    validation: &[(usize, f64)],
) -> std::result::Result<(), String> {
    let text = |error: DrawingAreaErrorKind<_>| error.to_string();
    let steps = training.last().map_or(1, |point| point.0);
    // The first lines of a run are far below all others.
    let settled = training.get(training.len() / 20..).unwrap_or(training);
    let scores = || settled.iter().chain(validation).map(|point| point.1);
    let (low, high) = (
        scores().fold(f64::INFINITY, f64::min),
        scores().fold(f64::NEG_INFINITY, f64::max),
    );
    let margin = (0.05 * (high - low)).max(1e-3);
    let area = SVGBackend::with_string(svg, (800, 400)).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0..steps, (low - margin)..(high + margin))
        .map_err(text)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(score)
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
    line(settled, RGBColor(120, 150, 200), "training images")?;
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
