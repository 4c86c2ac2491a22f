//! `caption`: what an image shows.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use unprompt::image::blip::Blip;
use unprompt::image::decode;

use super::{images, located};
use crate::args::{CaptionArgs, Global};

#[derive(Serialize)]
struct Line {
    image: String,
    caption: String,
}

pub(crate) fn run(args: &CaptionArgs, global: &Global) -> Result<()> {
    let model = Blip::open(&located::existing(&args.model)?, &global.device.open()?)?;
    let mut out = io::stdout().lock();
    images::each(
        &args.images,
        |path| {
            let image = decode::decode(&decode::read_file(path)?)?;
            let captions = model.captions(&[image], args.beams as usize)?;
            Ok(Line {
                image: path.display().to_string(),
                caption: captions.concat(),
            })
        },
        |line| {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            Ok(writeln!(out)?)
        },
    )
}
