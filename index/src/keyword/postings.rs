//! The prompts that have a word, in the order of their rows, by the blocks that tantivy keeps them
//! in.

use tantivy::postings::BlockSegmentPostings;

/// A place in a word's list, which only goes forward.
#[derive(Clone)]
pub(super) struct Postings {
    blocks: BlockSegmentPostings,
    /// In the block at hand.
    at: usize,
}

impl Postings {
    pub(super) fn new(blocks: BlockSegmentPostings) -> Postings {
        Postings { blocks, at: 0 }
    }

    /// Prompts in the list.
    pub(super) fn len(&self) -> usize {
        self.blocks.doc_freq() as usize
    }

    /// Gives `each` the rows from `start` to before `end` and how often each has the word, and
    /// goes on to `end`.
    #[inline]
    pub(super) fn each(&mut self, start: u32, end: u32, mut each: impl FnMut(u32, u32)) {
        if self
            .blocks
            .docs()
            .get(self.at)
            .is_some_and(|&row| row < start)
        {
            self.at = self.blocks.seek(start);
        }
        loop {
            let (rows, counts) = (self.blocks.docs(), self.blocks.freqs());
            let (Some(rows), Some(counts)) = (rows.get(self.at..), counts.get(self.at..)) else {
                return;
            };
            let Some(&last) = rows.last() else {
                return;
            };
            let inside = match last < end {
                true => rows.len(),
                false => rows.partition_point(|&row| row < end),
            };
            for (&row, &count) in rows.iter().zip(counts).take(inside) {
                each(row, count);
            }
            if last >= end {
                self.at += inside;
                return;
            }
            self.blocks.advance();
            self.at = 0;
        }
    }

    /// How often the prompt of a row has the word; rows must not step back.
    #[inline]
    pub(super) fn count(&mut self, row: u32) -> Option<u32> {
        self.at = self.blocks.seek(row);
        let found = self.blocks.docs().get(self.at) == Some(&row);
        found.then(|| self.blocks.freq(self.at))
    }
}
