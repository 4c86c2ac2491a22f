//! DiffusionDB's folders, as the dataset is downloaded and unpacked
//! (<https://github.com/poloclub/diffusiondb>): `metadata.parquet` or `metadata-large.parquet`,
//! which describe all images, and parts of a thousand images each, as folders with a JSON file or
//! as zip files, in `images/` or `diffusiondb-large-part-*/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::{self, Form};
use super::folder::{Listing, list, name};
use super::out::Out;
use super::read::ReadOptions;
use super::{parquet, part};
use crate::error::Result;

/// Tables of all images. The larger subset holds the smaller one.
const TABLES: [&str; 2] = ["metadata-large.parquet", "metadata.parquet"];

/// Reads the folder if it is one of DiffusionDB's, and says whether it is.
pub(super) fn read(out: &mut Out<'_>, options: &ReadOptions, listing: &Listing) -> Result<bool> {
    let mut groups = vec![Parts::of(out.path, listing)];
    for folder in folders_of_parts(listing) {
        groups.push(Parts::of(folder, &Listing::of(folder)?));
    }
    let tables: Vec<PathBuf> = TABLES
        .iter()
        .map(|table| out.path.join(table))
        .filter(|table| listing.files.contains(table))
        .collect();
    let parts: usize = groups.iter().map(|group| group.parts.len()).sum();
    let without_json: usize = groups.iter().map(|group| group.without_json.len()).sum();
    let unread = match parts + without_json {
        0 => None,
        1 => Some("1 part".to_owned()),
        parts => Some(format!("{parts} parts")),
    };
    match tables.as_slice() {
        [table, smaller @ ..] if unread.is_some() || !smaller.is_empty() => {
            let unread = smaller.iter().map(|path| name(path)).chain(unread);
            out.note(format!(
                "{}: read {}, which describes all images; not read: {}",
                out.path.display(),
                name(table),
                unread.collect::<Vec<_>>().join(", ")
            ));
            out.file(table, |out| parquet::read(out, options, None))?;
        }
        _ if parts > 0 => {
            for group in &groups {
                group.report(out);
            }
            let parts = groups.into_iter().flat_map(|group| group.parts);
            let parts = parts.map(|(_, path)| (path, ()));
            out.files(parts, |out, ()| file::read(out, options))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The zipped parts of the dataset in `folder`, in order.
pub(super) fn zipped_parts(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = Listing::of(folder)?;
    let mut found = listing.files.clone();
    for folder in folders_of_parts(&listing) {
        found.extend(Listing::of(folder)?.files);
    }
    found.retain(|file| Form::of(file) == Some(Form::ZippedPart) && part::number(file).is_some());
    Ok(found)
}

/// The folders of unpacked parts of the dataset in `folder`, by number.
pub(super) fn unpacked_parts(folder: &Path) -> Result<BTreeMap<u32, PathBuf>> {
    let listing = Listing::of(folder)?;
    let mut found = listing.folders.clone();
    for folder in folders_of_parts(&listing) {
        found.extend(Listing::of(folder)?.folders);
    }
    let numbered = found.into_iter();
    let numbered = numbered.filter_map(|folder| Some((part::number_of_folder(&folder)?, folder)));
    Ok(numbered.collect())
}

/// The folders that may hold parts.
fn folders_of_parts(listing: &Listing) -> impl Iterator<Item = &PathBuf> {
    listing.folders.iter().filter(|folder| {
        let name = name(folder);
        name == "images" || name.starts_with("diffusiondb-large-part-")
    })
}

/// The parts that lie in one folder.
struct Parts {
    folder: PathBuf,
    /// The JSON or zip file of each, by number.
    parts: BTreeMap<u32, PathBuf>,
    /// Folders of parts without their JSON.
    without_json: BTreeMap<u32, PathBuf>,
}

impl Parts {
    /// Those that lie in the folder at `path`, or the one that it is.
    fn of(path: &Path, listing: &Listing) -> Self {
        let mut found = Self {
            folder: path.to_owned(),
            parts: BTreeMap::new(),
            without_json: BTreeMap::new(),
        };
        // What is unpacked goes before what is zipped, as it is read faster.
        for form in [Form::ZippedPart, Form::Part] {
            let files = listing.files.iter();
            for file in files.filter(|file| Form::of(file) == Some(form)) {
                if let Some(number) = part::number(file) {
                    found.parts.insert(number, file.clone());
                }
            }
        }
        for folder in &listing.folders {
            let Some(number) = part::number_of_folder(folder) else {
                continue;
            };
            if let Some(json) = json_of(folder) {
                found.parts.insert(number, json);
            } else if !found.parts.contains_key(&number) {
                found.without_json.insert(number, folder.clone());
            }
        }
        found
    }

    /// Reports what is not there.
    fn report(&self, out: &mut Out<'_>) {
        for folder in self.without_json.values() {
            out.missing(format!(
                "{}: no {}.json in it",
                folder.display(),
                name(folder)
            ));
        }
        let mut numbers: Vec<u32> = self
            .parts
            .keys()
            .chain(self.without_json.keys())
            .copied()
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut count = 0;
        let mut gaps = Vec::new();
        for (before, after) in numbers.iter().zip(numbers.iter().skip(1)) {
            let (first, last) = (before + 1, after - 1);
            if first > last {
                continue;
            }
            count += last - first + 1;
            gaps.push(if first == last {
                format!("part-{first:06}")
            } else {
                format!("part-{first:06} to part-{last:06}")
            });
        }
        if count > 0 {
            out.missing(format!(
                "{}: {count} parts between the first and the last are not there: {}",
                self.folder.display(),
                list(&gaps)
            ));
        }
    }
}

/// The JSON in a part's folder: that of its name, or the only one there is. A folder that cannot be
/// looked into is one without.
fn json_of(folder: &Path) -> Option<PathBuf> {
    let named = folder.join(format!("{}.json", name(folder)));
    if named.is_file() {
        return Some(named);
    }
    let mut files = Listing::of(folder).ok()?.files;
    files.retain(|file| Form::of(file) == Some(Form::Part));
    files.pop().filter(|_| files.is_empty())
}
