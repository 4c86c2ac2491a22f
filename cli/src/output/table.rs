//! Tables for people.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use unprompt::reverse::Verdict;
use unprompt_index::Hit;

/// Width of a table where there is no terminal to ask.
const DEFAULT_WIDTH: u16 = 120;

/// Hits: rank, score, cosine (and after domain adaptation, if there was one), BM25, images, prompt, and the first image
/// where there are some.
pub(crate) fn hits(hits: &[Hit]) -> Table {
    let adapted = hits.iter().any(|hit| hit.scores.kernel.is_some());
    let named = hits.iter().any(|hit| !hit.images.is_empty());
    let number = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let row = |hit: &Hit| {
        let mut row = vec![
            hit.rank.to_string(),
            format!("{:.4}", hit.score),
            number(hit.scores.vector),
            number(hit.scores.keyword),
            hit.image_count.to_string(),
            printable(&hit.prompt),
        ];
        if adapted {
            row.insert(3, number(hit.scores.kernel));
        }
        if named {
            row.push(first_image(hit));
        }
        row
    };
    let mut header = vec!["rank", "score", "cosine", "keyword", "images", "prompt"];
    if adapted {
        header.insert(3, "adapted");
    }
    let numbers = header.len() - 1;
    if named {
        header.push("first image");
    }
    let mut table = rows(&header, hits.iter().map(row).collect());
    for column in table.column_iter_mut().take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The name of a hit's first image, without its folder; `--paths` prints all of it.
fn first_image(hit: &Hit) -> String {
    let name = hit.images.first().map(|image| image.image_name.as_str());
    let name = Path::new(name.unwrap_or_default()).file_name();
    printable(&name.unwrap_or_default().to_string_lossy())
}

/// Rows under a header.
pub(crate) fn rows(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = new(UTF8_HORIZONTAL_ONLY);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table
}

/// Names and values.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> Table {
    let mut table = new(NOTHING);
    table.add_rows(
        pairs
            .iter()
            .map(|(name, value)| vec![(*name).to_owned(), value.clone()]),
    );
    table
}

/// A verdict as it stands in JSON.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Embedded => "embedded",
        Verdict::Exact => "exact",
        Verdict::Near => "near",
        Verdict::Reconstructed => "reconstructed",
        Verdict::Unsure => "unsure",
    }
}

fn new(style: TableStyle) -> Table {
    let mut table = Table::new();
    table
        .load_style(style)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !stdout().is_terminal() {
        table.set_width(DEFAULT_WIDTH);
    }
    table
}

/// A text from a file as it can be shown: control characters, which a terminal might obey, become
/// spaces.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
