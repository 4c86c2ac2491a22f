//! What frozen variables make of images, on disk: made once for all epochs, and for other runs on the same images.
//!
//! A file begins with [`MAGIC`], the number of values in a row (u64) and the XXH3 of both (u64). The rows follow by number:
//! the XXH3 of the values, with the number as seed (u64), and the values (f32), all little-endian. A row that was not
//! written, was written by half or has been damaged does not agree with its checksum, and is made anew. Nothing else
//! depends on these files: who deletes one loses time, and where none can be written every epoch makes its features.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

const MAGIC: [u8; 8] = *b"UNPFEAT1";
const HEADER_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// To be raised whenever something changes that features are made of: decoding, resizing, or what a frozen network computes.
const VERSION: u32 = 2;

/// Where features are kept.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    /// The folder, for a file each of training and validation images.
    pub folder: PathBuf,
    /// The most bytes of a file; the features of images beyond it are made in each epoch.
    pub max_bytes: u64,
}

impl FeatureCache {
    /// The features of images that `key` tells from all others, as it does what makes them.
    pub(super) fn open(&self, key: &str) -> Features {
        let key = format!("{VERSION} {key}");
        let name = format!("{:032x}.features", xxh3_128(key.as_bytes()));
        let path = self.folder.join(name);
        let opened = fs::create_dir_all(&self.folder).and_then(|()| open(&path));
        let rows = opened.unwrap_or_else(|error| {
            // Somebody else's, which are of use all the same, or none.
            tracing::warn!("no features are kept in {}: {error}", path.display());
            let rows = File::open(&path).ok().and_then(|mut file| {
                let values = Some(read_header(&mut file)?);
                Some(Rows {
                    file: Some(file),
                    values,
                    is_writable: false,
                })
            });
            rows.unwrap_or_default()
        });
        Features {
            path,
            max_bytes: self.max_bytes,
            rows: Mutex::new(rows),
        }
    }
}

/// The rows at `path`, if any, to read and to write.
fn open(path: &Path) -> io::Result<Rows> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path)?;
    let values = read_header(&mut file);
    if values.is_none() {
        // What is there is none of ours, and its rows would be taken for some.
        file.set_len(0)?;
    }
    Ok(Rows {
        file: Some(file),
        values,
        is_writable: true,
    })
}

/// Rows of values by number, from any thread.
#[derive(Debug)]
pub(super) struct Features {
    path: PathBuf,
    max_bytes: u64,
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    /// None if there is none, or it has been given up.
    file: Option<File>,
    /// None until the first row is known.
    values: Option<usize>,
    is_writable: bool,
}

impl Features {
    /// A row, if it is there and whole.
    pub(super) fn read(&self, row: usize) -> Option<Vec<f32>> {
        let bytes = self.lock().read(row)?;
        let (checksum, values) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
        (*checksum == checksum_of(row, values)).then(|| {
            let (values, _) = values.as_chunks();
            values.iter().copied().map(f32::from_le_bytes).collect()
        })
    }

    /// Keeps a row, if there is room. A file that cannot be written, on a full disk say, is given up and gives back its
    /// room.
    pub(super) fn write(&self, row: usize, values: &[f32]) {
        let at = place(row, values.len());
        if place(row + 1, values.len()) > self.max_bytes {
            return;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        let bytes = [&checksum_of(row, &bytes), &bytes[..]].concat();
        let mut rows = self.lock();
        if let Err(error) = rows.write(at, &bytes, values.len()) {
            tracing::warn!(
                "features are no longer kept in {}: {error}",
                self.path.display()
            );
            // Whether it can be emptied or not, the run goes on.
            if let Some(file) = rows.file.take() {
                file.set_len(0).ok();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn read(&mut self, row: usize) -> Option<Vec<u8>> {
        let (file, values) = (self.file.as_mut()?, self.values?);
        let mut bytes = vec![0; CHECKSUM_BYTES + values * size_of::<f32>()];
        file.seek(SeekFrom::Start(place(row, values))).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn write(&mut self, at: u64, bytes: &[u8], values: usize) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.is_writable) else {
            return Ok(());
        };
        if *self.values.get_or_insert(values) != values {
            return Err(io::Error::other("its rows have another length"));
        }
        if file.metadata()?.len() < HEADER_BYTES as u64 {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header_of(values))?;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }
}

/// The number of values in a row; `None` if this is not such a file.
fn read_header(file: &mut File) -> Option<usize> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let values = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let values = usize::try_from(values)
        .ok()
        .filter(|it| *it <= MAX_VALUES)?;
    (header == header_of(values)).then_some(values)
}

fn header_of(values: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(values as u64).to_le_bytes());
    let checksum = xxh3_64(&header[..16]);
    header[16..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Values of a row at most: an autoencoder's latents of 4096 x 4096 pixels are a million.
const MAX_VALUES: usize = 1 << 24;

/// Where a row begins.
fn place(row: usize, values: usize) -> u64 {
    let row_bytes = (CHECKSUM_BYTES + values * size_of::<f32>()) as u64;
    HEADER_BYTES as u64 + row as u64 * row_bytes
}

fn checksum_of(row: usize, values: &[u8]) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(values, row as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [f32; 3] = [0.5, -1.0, 3.0];

    fn cache(folder: &Path, max_bytes: u64) -> FeatureCache {
        FeatureCache {
            folder: folder.to_owned(),
            max_bytes,
        }
    }

    #[test]
    fn rows_are_found_again_by_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        let features = cache.open("a");
        assert_eq!(features.read(0), None);
        features.write(2, &ROW);
        features.write(0, &[0.0; 3]);
        for features in [features, cache.open("a")] {
            assert_eq!(features.read(2).unwrap(), ROW);
            assert_eq!(features.read(0).unwrap(), [0.0; 3]);
            // One between those that were written, and one behind them.
            assert_eq!([features.read(1), features.read(3)], [None, None]);
        }
        assert_eq!(cache.open("b").read(2), None);
    }

    #[test]
    fn no_file_grows_beyond_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let two_rows = (HEADER_BYTES + 2 * (CHECKSUM_BYTES + size_of_val(&ROW))) as u64;
        let features = cache(folder.path(), two_rows).open("a");
        for row in 0..3 {
            features.write(row, &ROW);
        }
        let kept = |row| features.read(row).is_some();
        assert_eq!([kept(0), kept(1), kept(2)], [true, true, false]);
        assert_eq!(fs::metadata(&features.path).unwrap().len(), two_rows);
    }

    #[test]
    fn no_damaged_byte_is_taken_for_a_feature() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        let features = cache.open("a");
        features.write(0, &ROW);
        features.write(1, &ROW);
        let whole = fs::read(&features.path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&features.path, &damaged).unwrap();
            let found = cache.open("a");
            let hurt =
                (at >= HEADER_BYTES).then(|| usize::from(at >= place(1, ROW.len()) as usize));
            for row in [0, 1] {
                let expected = hurt.is_some_and(|hurt| hurt != row);
                assert_eq!(found.read(row).is_some(), expected, "byte {at}, row {row}");
            }
            fs::write(&features.path, &whole[..at]).unwrap();
            assert_eq!(cache.open("a").read(1), None, "{at} bytes");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let features = cache(folder.path(), 1 << 20).open("a");
        features.write(0, &ROW);
        features.lock().file = Some(File::open(&features.path).unwrap());
        features.write(1, &ROW);
        assert_eq!([features.read(0), features.read(1)], [None, None]);
        features.write(2, &ROW);
        assert_eq!(features.read(2), None);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a file");
        fs::write(&path, "").unwrap();
        let features = cache(&path, 1 << 20).open("a");
        features.write(0, &ROW);
        assert_eq!(features.read(0), None);
    }

    #[test]
    fn a_damaged_header_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        let features = cache.open("a");
        features.write(0, &ROW);
        let mut bytes = fs::read(&features.path).unwrap();
        bytes[8] = 2;
        fs::write(&features.path, bytes).unwrap();
        for features in [cache.open("a"), cache.open("a")] {
            features.write(0, &ROW);
            assert_eq!(features.read(0).unwrap(), ROW);
        }
    }
}
