//! Writes a segment: vectors and words as they come, graph and images at the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;

use super::{GIVEN, GRAPH, IMAGES, PROMPTS, VECTORS};
use crate::error::{Error, Result};
use crate::given;
use crate::id::PromptId;
use crate::images::ImagesWriter;
use crate::keyword::PromptsWriter;
use crate::mmap::Mmap;
use crate::record::ImageRecord;
use crate::vector::element::Element;
use crate::vector::flat::{Vectors, VectorsWriter};
use crate::vector::form::{Form, MAX_ROWS};
use crate::vector::hnsw::build::{Parameters, build};

/// Images written between two chances to stop.
const IMAGES_PER_STEP: usize = 10_000;

/// What [`SegmentWriter::finish`] is about to do, or how far it is.
pub(crate) enum Step {
    Graph { done: usize, total: usize },
    Keywords,
    Images,
}

/// What a segment holds in the end.
pub(crate) struct Written {
    pub(crate) prompts: usize,
    pub(crate) images: usize,
}

/// A segment being written. Images are held in memory until the end, since a prompt's images may
/// come in any order and are stored together.
pub(crate) struct SegmentWriter {
    dir: PathBuf,
    vectors: VectorsWriter,
    prompts: PromptsWriter,
    ids: Vec<PromptId>,
    rows: HashMap<PromptId, u32>,
    images: Vec<(u32, ImageRecord)>,
    /// Prompts that were given by themselves.
    given: RoaringBitmap,
}

impl SegmentWriter {
    /// Makes the folder `dir`.
    pub(crate) fn create(dir: &Path, dim: usize, element: Element) -> Result<SegmentWriter> {
        fs::create_dir(dir).map_err(Error::io("create", dir))?;
        Ok(SegmentWriter {
            dir: dir.to_owned(),
            vectors: VectorsWriter::create(&dir.join(VECTORS), dim, Form::searched(dim, element))?,
            prompts: PromptsWriter::create(&dir.join(PROMPTS))?,
            ids: Vec::new(),
            rows: HashMap::new(),
            images: Vec::new(),
            given: RoaringBitmap::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn row(&self, id: PromptId) -> Option<u32> {
        self.rows.get(&id).copied()
    }

    /// Adds a prompt that is not there yet.
    pub(crate) fn push(&mut self, id: PromptId, prompt: &str, vector: &[f32]) -> Result<u32> {
        let row = self.ids.len();
        if row >= MAX_ROWS {
            return Err(self.full("prompts"));
        }
        self.vectors.push(vector)?;
        self.prompts.push(id, prompt)?;
        self.ids.push(id);
        self.rows.insert(id, row as u32);
        Ok(row as u32)
    }

    /// Notes that a prompt was given by itself.
    pub(crate) fn give(&mut self, row: u32) {
        self.given.insert(row);
    }

    /// Removes the images of a name.
    pub(crate) fn remove_images(&mut self, name: &str) -> usize {
        let before = self.images.len();
        self.images.retain(|(_, image)| image.image_name != name);
        before - self.images.len()
    }

    /// Adds images of a prompt. Of two that are the same, the later one counts.
    pub(crate) fn add_images(&mut self, row: u32, images: Vec<ImageRecord>) -> Result<()> {
        if self.images.len() + images.len() > MAX_ROWS {
            return Err(self.full("images"));
        }
        self.images
            .extend(images.into_iter().map(|image| (row, image)));
        Ok(())
    }

    fn full(&self, what: &'static str) -> Error {
        Error::Full {
            path: self.dir.clone(),
            what,
            limit: MAX_ROWS,
        }
    }

    /// Writes all that is missing. `progress` may ask to stop.
    pub(crate) fn finish(
        self,
        parameters: Parameters,
        progress: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Written> {
        let SegmentWriter {
            dir,
            vectors,
            prompts,
            ids,
            mut images,
            given,
            ..
        } = self;
        let mut go = |step| match progress(step) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        };
        let total = ids.len();
        go(Step::Graph { done: 0, total })?;
        vectors.finish(&ids)?;
        drop(ids);
        write_graph(
            &dir,
            parameters,
            &mut |done| match go(Step::Graph { done, total }) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
        )?;
        go(Step::Keywords)?;
        prompts.finish()?;
        go(Step::Images)?;
        let path = dir.join(GIVEN);
        fs::write(&path, given::to_bytes(&given)).map_err(Error::io("write", &path))?;
        images.sort_by_key(|(row, _)| *row);
        let mut writer = ImagesWriter::create(&dir.join(IMAGES))?;
        let mut written = 0;
        let mut images = images.into_iter().peekable();
        while let Some((row, first)) = images.next() {
            let mut of_prompt = vec![first];
            while let Some((_, image)) = images.next_if(|(next, _)| *next == row) {
                of_prompt.push(image);
            }
            for image in distinct(of_prompt) {
                if written % IMAGES_PER_STEP == IMAGES_PER_STEP - 1 {
                    go(Step::Images)?;
                }
                writer.push(row, &image)?;
                written += 1;
            }
        }
        writer.finish()?;
        Ok(Written {
            prompts: total,
            images: written,
        })
    }
}

/// The images of one prompt, each name of a part once: the last one, in the place of the first.
pub(crate) fn distinct(images: Vec<ImageRecord>) -> Vec<ImageRecord> {
    let mut distinct: Vec<ImageRecord> = Vec::with_capacity(images.len());
    let mut places = HashMap::new();
    for image in images {
        match places.entry((image.part_id, image.image_name.clone())) {
            Entry::Vacant(place) => {
                place.insert(distinct.len());
                distinct.push(image);
            }
            Entry::Occupied(place) => distinct[*place.get()] = image,
        }
    }
    distinct
}

fn write_graph(
    dir: &Path,
    parameters: Parameters,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<()> {
    let path = dir.join(VECTORS);
    let vectors = Vectors::new(Mmap::open(&path)?, &path)?;
    let links = build(vectors.rows(), parameters, progress)?;
    let path = dir.join(GRAPH);
    let file = File::create_new(&path).map_err(Error::io("create", &path))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    links
        .write_to(&mut file)
        .and_then(|()| file.flush())
        .map_err(Error::io("write", &path))
}
