//! Images that a writer takes out of the segments that were there.

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::segment::Segment;

/// Which images go, by segment.
pub(super) struct Removal(Vec<RoaringBitmap>);

impl Removal {
    /// None yet, of so many segments.
    pub(super) fn new(segments: usize) -> Removal {
        Removal(vec![RoaringBitmap::new(); segments])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(RoaringBitmap::is_empty)
    }

    /// Those of each segment.
    pub(super) fn images(&self) -> &[RoaringBitmap] {
        &self.0
    }

    /// Adds the images of a name; how many have neither gone before nor moved with their prompt.
    pub(super) fn add(
        &mut self,
        segments: &[Segment],
        name: &str,
        moved: &[RoaringBitmap],
    ) -> Result<usize> {
        let mut count = 0;
        for ((segment, gone), moved) in segments.iter().zip(&mut self.0).zip(moved) {
            let images = segment.named(name)? - &*gone;
            for row in segment.prompts_of(&images)? - moved {
                count += (segment.image_rows(row, None)? & &images).len() as usize;
            }
            *gone |= images;
        }
        Ok(count)
    }

    /// Those of `images`, of one segment, which stay.
    pub(super) fn left_of(&self, place: usize, images: &RoaringBitmap) -> RoaringBitmap {
        match self.0.get(place) {
            Some(gone) => images - gone,
            None => images.clone(),
        }
    }

    /// Adds the prompts to `gone` of which all images go and which were not given by themselves.
    pub(super) fn add_emptied(
        &self,
        segments: &[Segment],
        gone: &mut [RoaringBitmap],
    ) -> Result<()> {
        for ((segment, images), gone) in segments.iter().zip(&self.0).zip(gone) {
            for row in segment.prompts_of(images)? - &*gone {
                let all = segment.image_rows(row, None)?;
                if all.is_subset(images) && !segment.is_given(row)? {
                    gone.insert(row);
                }
            }
        }
        Ok(())
    }
}
