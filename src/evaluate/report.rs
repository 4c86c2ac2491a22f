//! An evaluation as a page of Markdown with a plot.

use std::path::Path;

use plotters::prelude::*;

use super::calibration::{Bin, Calibration};
use super::{Evaluation, Figures, Recall};
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// A figure: its name, and its value for images whose prompt is in the index and for those whose meaning is not.
pub type Row = (String, [Option<f64>; 2]);

impl Evaluation {
    /// The figures of both settings by name, in the order of a reader's interest.
    pub fn rows(&self) -> Vec<Row> {
        let both =
            |value: &dyn Fn(&Figures) -> Option<f64>| [&self.in_index, &self.held_out].map(value);
        let row = |name: &str, value: fn(&Figures) -> f64| {
            (name.to_owned(), both(&|figures| Some(value(figures))))
        };
        let mut rows = vec![
            row("mean cosine of the predicted embedding", |f| f.mean_cosine),
            row("mean cosine of the answer", |f| f.answer_cosine),
            ("that of the best hit".to_owned(), both(&|f| f.hit_cosine)),
            (
                "that of the reconstruction".to_owned(),
                both(&|f| f.reconstruction_cosine),
            ),
            row("answer is the reconstruction", |f| f.reconstructed),
            row("true prompt is hit 1", |f| f.recall.at_1),
            row("true prompt among 10 hits", |f| f.recall.at_10),
            row("true prompt among 100 hits", |f| f.recall.at_100),
            row("true meaning among 10 hits", |f| f.meaning_recall_at_10),
            row("answer means the same", |f| f.same_meaning),
            row("F1 of the predicted words", |f| f.words_f1),
            row("encode, median ms", |f| f.median_ms.encode),
            row("search, median ms", |f| f.median_ms.search),
            row("reconstruct, median ms", |f| f.median_ms.reconstruct),
        ];
        for (place, (attribute, _)) in self.in_index.attributes.iter().enumerate() {
            let name = format!("answer's {attribute} is right");
            rows.push((
                name,
                both(&|figures| Some(figures.attributes.get(place)?.1)),
            ));
        }
        rows
    }

    /// Writes `report.md` and `reliability.svg` to `folder`, which is there.
    ///
    /// # Errors
    /// [`Error::Io`] if the files cannot be written.
    pub fn write_report(&self, folder: &Path) -> Result<()> {
        let plot = folder.join("reliability.svg");
        let svg = reliability(&self.calibration)
            .map_err(|why| Error::io("draw", &plot)(std::io::Error::other(why)))?;
        write_atomically(&plot, svg.as_bytes())?;
        write_atomically(&folder.join("report.md"), self.markdown().as_bytes())
    }

    fn ablation_table(&self) -> String {
        if self.ablation.is_empty() {
            return String::new();
        }
        let rows = self.ablation.iter().map(|it| {
            let Recall {
                at_1,
                at_10,
                at_100,
            } = it.recall;
            let cosine = it.hit_cosine;
            format!(
                "| {} | {at_1:.3} | {at_10:.3} | {at_100:.3} | {cosine:.3} |\n",
                it.sources
            )
        });
        let rows: String = rows.collect();
        format!(
            "| candidates, prompt in the index | hit 1 | among 10 | among 100 | cosine of hit 1 |\n\
             | --- | --- | --- | --- | --- |\n{rows}\n"
        )
    }

    fn markdown(&self) -> String {
        let cell = |value: Option<f64>| value.map_or("none".to_owned(), |it| format!("{it:.3}"));
        let rows: String = self
            .rows()
            .into_iter()
            .map(|(name, [present, absent])| {
                format!("| {name} | {} | {} |\n", cell(present), cell(absent))
            })
            .collect();
        let bounds = &self.bounds;
        let elsewhere = &self.elsewhere;
        format!(
            "# {}\n\n{} images of each kind, {} prompts in the index, seed {}.\n\n\
             | | prompt in the index | meaning held out |\n| --- | --- | --- |\n{rows}\n\
             {}Cosines to compare with: mean embedding {:.3}, nearest of {} training images in raw pixels {:.3}, \
             ceiling {}.\n\n\
             Of {} images of another world, {:.1}% are answered `unsure`.\n\n\
             Expected calibration error {:.3} ({:.3} by chance if the confidence were exact):\n\n\
             ![share of right answers by confidence](reliability.svg)\n",
            self.model,
            self.in_index.images,
            self.prompts,
            self.seed,
            self.ablation_table(),
            bounds.mean_embedding,
            bounds.known_images,
            bounds.pixel_neighbour,
            cell(bounds.ceiling),
            elsewhere.images,
            elsewhere.unsure * 100.0,
            self.calibration.error,
            self.calibration.chance,
        )
    }
}

/// The share of right answers over confidence; a disc's area is the number of answers.
fn reliability(calibration: &Calibration) -> std::result::Result<String, String> {
    let text = |error: DrawingAreaErrorKind<_>| error.to_string();
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (480, 480)).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)
        .map_err(text)?;
    chart
        .configure_mesh()
        .x_desc("confidence")
        .y_desc("share of answers that say the same")
        .draw()
        .map_err(text)?;
    let ideal = LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4));
    chart.draw_series(ideal).map_err(text)?;
    let colour = RGBColor(200, 70, 40);
    let points = || {
        calibration
            .bins
            .iter()
            .map(|bin| (bin.confidence, bin.right))
    };
    chart
        .draw_series(LineSeries::new(points(), colour.stroke_width(2)))
        .map_err(text)?;
    let most = calibration
        .bins
        .iter()
        .map(|bin| bin.answers)
        .max()
        .unwrap_or(1);
    let disc = |bin: &Bin| {
        let size = 14.0 * (bin.answers as f64 / most as f64).sqrt();
        Circle::new(
            (bin.confidence, bin.right),
            size.ceil() as i32,
            colour.mix(0.5).filled(),
        )
    };
    chart
        .draw_series(calibration.bins.iter().map(disc))
        .map_err(text)?;
    area.present().map_err(text)?;
    drop(chart);
    drop(area);
    Ok(svg)
}
