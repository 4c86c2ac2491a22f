//! `read`: the prompt that an image file itself carries.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use unprompt::image::decode;
use unprompt::metadata::{self, Embedded};

use super::image_files;
use crate::args::ReadArgs;
use crate::output::status::{SomeFailed, line};
use crate::stop;

#[derive(Serialize)]
struct Line {
    image: String,
    embedded: Option<Embedded>,
}

pub(crate) fn run(args: &ReadArgs) -> Result<()> {
    let files = image_files(&args.images);
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for path in &files {
        stop::check()?;
        match read(path) {
            Ok(line) => {
                serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Err(error) => {
                failed += 1;
                eprintln!("unprompt: {}: {}", path.display(), line(&error));
            }
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(SomeFailed {
            failed,
            total: files.len(),
        }
        .into())
    }
}

fn read(path: &Path) -> Result<Line> {
    let embedded = metadata::read(&decode::read_file(path)?);
    Ok(Line {
        image: path.display().to_string(),
        embedded,
    })
}
