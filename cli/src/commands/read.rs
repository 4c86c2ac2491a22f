//! `read`: the prompt that an image file itself carries.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use unprompt::image::decode;
use unprompt::metadata::{self, Embedded};

use super::images;
use crate::args::ReadArgs;

#[derive(Serialize)]
struct Line {
    image: String,
    embedded: Option<Embedded>,
    /// All that the file says, with keywords, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<(String, String)>>,
}

pub(crate) fn run(args: &ReadArgs) -> Result<()> {
    let mut out = io::stdout().lock();
    images::each(
        &args.images,
        |path| read(path, args.raw),
        |line| {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            Ok(writeln!(out)?)
        },
    )
}

fn read(path: &Path, raw: bool) -> Result<Line> {
    let bytes = decode::read_file(path)?;
    let embedded = metadata::read(&bytes);
    if embedded.is_none() {
        // Carrying no prompt is an answer; being no image is not.
        decode::check_format(&bytes)?;
    }
    Ok(Line {
        image: path.display().to_string(),
        embedded,
        texts: raw.then(|| metadata::texts(&bytes)),
    })
}
