//! `embed`: sentence embeddings, one JSON line a text.

use std::io::{self, BufRead, BufWriter, Write, stdin};

use anyhow::{Context, Result};
use serde::Serialize;

use super::sentences;
use crate::args::{EmbedArgs, Global};
use crate::stop;

/// Texts that are read from standard input before they are embedded together.
const TEXTS_AT_ONCE: usize = 1024;

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    embedding: &'a [f32],
}

pub(crate) fn run(args: &EmbedArgs, global: &Global) -> Result<()> {
    let encoder = sentences::chosen(global)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut print = |texts: &[String]| -> Result<()> {
        let rows = encoder.embed_with(texts, |_| stop::requested())?;
        for (text, embedding) in texts.iter().zip(rows.rows()) {
            serde_json::to_writer(&mut out, &Line { text, embedding }).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Ok(out.flush()?)
    };
    if !args.texts.is_empty() {
        return print(&args.texts);
    }
    let mut texts = vec![];
    for line in stdin().lock().lines() {
        texts.push(line.context("cannot read standard input as UTF-8 text")?);
        if texts.len() == TEXTS_AT_ONCE {
            print(&texts)?;
            texts.clear();
        }
    }
    print(&texts)
}
