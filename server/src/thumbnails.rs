//! Images of the index, and small ones of them, made when they are first asked for.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use image::{ImageFormat, imageops};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use unprompt::Error;
use unprompt::data::pictures::{Pictures, Place};
use unprompt::image::decode;

use crate::metrics::Metrics;
use crate::problem::Problem;

/// Bytes of small images that are kept.
const KEPT_BYTES: u64 = 64 << 20;

/// What a small image takes, for the cache to plan with.
const USUAL_BYTES: u64 = 16 << 10;

/// The longest side that may be asked for, in pixels.
pub(crate) const MAX_SIZE: u32 = 1024;

/// Bytes of an image, with their media type.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: &'static str,
}

/// A file as it was, and a size.
type Key = (Place, Option<SystemTime>, u32);

#[derive(Clone)]
struct Length;

impl Weighter<Key, Picture> for Length {
    fn weight(&self, _: &Key, picture: &Picture) -> u64 {
        picture.bytes.len() as u64 + 256
    }
}

/// The folder of images.
pub(crate) struct Thumbnails {
    pictures: Pictures,
    metrics: Arc<Metrics>,
    kept: Cache<Key, Picture, Length>,
}

impl Thumbnails {
    pub(crate) fn new(folder: &Path, metrics: Arc<Metrics>) -> unprompt::error::Result<Self> {
        let usual = (KEPT_BYTES / USUAL_BYTES) as usize;
        Ok(Self {
            pictures: Pictures::open(folder)?,
            metrics,
            kept: Cache::with_weighter(usual, KEPT_BYTES, Length),
        })
    }

    /// The image of a name, no longer than `size` on either side if given. `part` tells DiffusionDB's part that it is in.
    ///
    /// # Errors
    /// [`Problem::not_found`] if there is no image of that name in the folder, wherever else there may be one; what is
    /// wrong with the image.
    pub(crate) fn get(
        &self,
        name: &str,
        size: Option<u32>,
        part: impl FnOnce() -> Option<u32>,
    ) -> Result<Picture, Problem> {
        let place = self.pictures.find(name, part).ok_or_else(absent)?;
        let Some(size) = size else {
            return whole(self.read(&place)?);
        };
        let modified = match &place {
            Place::File(path) => path.metadata().and_then(|it| it.modified()).ok(),
            Place::Zipped(..) => None,
        };
        let key = (place, modified, size);
        // Whoever asks for it meanwhile waits for this one.
        self.kept.get_or_insert_with(&key, || {
            let start = Instant::now();
            let picture = small(&self.read(&key.0)?, size);
            let ms = start.elapsed().as_secs_f64() * 1e3;
            self.metrics.stage("thumbnail", ms);
            picture
        })
    }

    fn read(&self, place: &Place) -> Result<Vec<u8>, Problem> {
        // In general terms: where a file lies is nobody's business.
        self.pictures.read(place).map_err(|error| match error {
            Error::ImageFileTooLarge { .. } => unshowable(),
            error => {
                tracing::debug!("{}", unprompt::error::one_line(&error));
                absent()
            }
        })
    }
}

/// It is there, but damaged, too large, or none.
fn unshowable() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "the image cannot be read, or is too large",
    )
}

fn absent() -> Problem {
    Problem::not_found("there is no such image")
}

fn whole(bytes: Vec<u8>) -> Result<Picture, Problem> {
    // What is not an image by its bytes is not shown, whatever its name.
    decode::check_format(&bytes).map_err(|_| unshowable())?;
    let format = image::guess_format(&bytes);
    Ok(Picture {
        bytes: bytes.into(),
        media_type: format.map_or("application/octet-stream", |it| it.to_mime_type()),
    })
}

fn small(bytes: &[u8], size: u32) -> Result<Picture, Problem> {
    let image = decode::decode(bytes).map_err(|_| unshowable())?;
    let longest = image.width().max(image.height());
    let image = if longest <= size {
        image
    } else {
        let scaled = |side: u32| (u64::from(side) * u64::from(size) / u64::from(longest)).max(1);
        let (width, height) = (scaled(image.width()), scaled(image.height()));
        imageops::thumbnail(&image, width as u32, height as u32)
    };
    let mut bytes = Cursor::new(vec![]);
    image
        .write_to(&mut bytes, ImageFormat::Jpeg)
        .map_err(Problem::internal)?;
    Ok(Picture {
        bytes: bytes.into_inner().into(),
        media_type: "image/jpeg",
    })
}
