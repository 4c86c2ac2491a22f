//! Images of the index as they lie in one folder, and small ones of them, made when they are first asked for.

use std::io::{self, Cursor};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use image::{ImageFormat, imageops};
use lru::LruCache;
use unprompt::image::{decode, files};

use crate::problem::Problem;

/// Small images that are kept, of some 20 KB each.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The longest side that may be asked for, in pixels.
pub(crate) const MAX_SIZE: u32 = 1024;

/// Bytes of an image, with their media type.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) media_type: &'static str,
}

/// A file as it was, and a size.
type Key = (PathBuf, Option<SystemTime>, u32);

/// The folder of images.
pub(crate) struct Thumbnails {
    folder: PathBuf,
    kept: Mutex<LruCache<Key, Picture>>,
}

impl Thumbnails {
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            folder: folder.canonicalize()?,
            kept: Mutex::new(LruCache::new(KEPT)),
        })
    }

    /// The image of a name, no longer than `size` on either side if given.
    ///
    /// # Errors
    /// [`Problem::not_found`] if there is no image of that name in the folder, wherever else there may be one; what is
    /// wrong with the image.
    pub(crate) fn get(&self, name: &str, size: Option<u32>) -> Result<Picture, Problem> {
        let path = self.path(name)?;
        let Some(size) = size else {
            let bytes = decode::read_file(&path)?;
            let media_type = media_type(&bytes)?;
            return Ok(Picture {
                bytes: bytes.into(),
                media_type,
            });
        };
        let modified = path.metadata().and_then(|it| it.modified()).ok();
        let key = (path, modified, size);
        if let Some(kept) = self.lock().get(&key) {
            return Ok(kept.clone());
        }
        let picture = small(&key.0, size)?;
        self.lock().put(key, picture.clone());
        Ok(picture)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Key, Picture>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a name, which is a path in the folder, absolute or not. Links that lead out of it lead nowhere.
    fn path(&self, name: &str) -> Result<PathBuf, Problem> {
        let absent = || Problem::not_found("there is no such image");
        let path = self.folder.join(name);
        let path = path.canonicalize().map_err(|_| absent())?;
        let inside = path.starts_with(&self.folder) && path.is_file() && files::is_image(&path);
        inside.then_some(path).ok_or_else(absent)
    }
}

/// The media type of an image file.
fn media_type(bytes: &[u8]) -> Result<&'static str, Problem> {
    // What is not an image by its bytes is not shown, whatever its name.
    decode::check_format(bytes)?;
    Ok(image::guess_format(bytes).map_or("application/octet-stream", |it| it.to_mime_type()))
}

fn small(path: &Path, size: u32) -> Result<Picture, Problem> {
    let image = decode::decode(&decode::read_file(path)?)?;
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
        .map_err(|error| Problem::internal(&error))?;
    Ok(Picture {
        bytes: bytes.into_inner().into(),
        media_type: "image/jpeg",
    })
}
