//! The prompts of a segment that have any of a query's words, but for the hopeless ones.
//!
//! MaxScore (Turtle and Flood, 1995), in windows of rows: words are taken in the order of what they
//! can add at most, and as soon as the rest of them cannot lift a prompt that has none of the words
//! so far among the best, only prompts whose sum can still get there are looked up in the lists
//! of the rest. These are the long ones: a word is light because it is frequent. What is left after
//! the last word is added up once more, in the order of the query, so that scores are to the last
//! bit those of adding up everything.
//!
//! Block-max WAND (Ding and Suel, 2011) steps from prompt to prompt instead, with all lists
//! abreast, which is slow for queries of many words: tantivy's takes 1.6 to 2.6 times as long as
//! its adding up of everything for 10 to 20 words and whole prompts, this 0.3 times (1.8 million
//! prompts, 100 best). With 200 000 it is 2.7 to 2.9 and 0.6, and none of the kinds of queries
//! measured is faster by adding up everything (`benches/runs/2026-11-26-emr-2core-keyword`).

use roaring::RoaringBitmap;

use super::bm25::Factors;
use super::postings::Postings;

/// Rows of a window, whose scores and lengths stay near the processor; twice and half as many are
/// as fast.
const WINDOW: usize = 1 << 14;

/// What a lookup costs in postings added up; half and four times as much are as fast.
const LOOKUP: usize = 16;

/// A word of the query in a segment.
pub(super) struct Word {
    weight: f32,
    postings: Postings,
    /// The same list, for adding up once more.
    again: Postings,
}

impl Word {
    pub(super) fn new(weight: f32, postings: Postings) -> Word {
        Word {
            weight,
            again: postings.clone(),
            postings,
        }
    }

    /// Adds its shares to the scores of a window.
    fn add(&mut self, window: Window, scores: &mut [f32]) {
        let end = window.start + window.lengths.len() as u32;
        self.postings.each(window.start, end, |row, count| {
            let place = row.wrapping_sub(window.start) as usize;
            // Damaged postings may step back, or beyond the last prompt: such rows are no prompt's.
            if let (Some(score), Some(&length)) = (scores.get_mut(place), window.lengths.get(place))
            {
                *score += self.weight * window.factors.of(count, length);
            }
        });
    }
}

/// Rows in a row.
#[derive(Clone, Copy)]
struct Window<'a> {
    start: u32,
    /// The codes of their lengths.
    lengths: &'a [u8],
    factors: &'a Factors,
}

impl Window<'_> {
    /// What a word adds to the score of a row.
    fn share(self, weight: f32, postings: &mut Postings, place: u32) -> f32 {
        let length = self.lengths[place as usize];
        let count = postings.count(self.start + place);
        count.map_or(0.0, |count| weight * self.factors.of(count, length))
    }
}

/// The words of a query in a segment.
pub(super) struct Union<'a> {
    factors: &'a Factors,
    lengths: &'a [u8],
    accept: Option<&'a RoaringBitmap>,
    /// In the order in which their shares are added.
    words: Vec<Word>,
    /// Their numbers, the heaviest first; no word adds more than its weight.
    order: Vec<usize>,
    /// The weights from each place in `order` on, added up.
    rest: Vec<f32>,
    /// The place in `order` from which on lookups were the cheaper way in the last window.
    lookups: usize,
    scores: Vec<f32>,
    /// Rows of the window that may be among the best.
    hopeful: Vec<u32>,
}

impl<'a> Union<'a> {
    /// The words of a query in their order, and the codes of the lengths of all rows; only rows of
    /// `accept` are found, if it is given.
    pub(super) fn new(
        words: Vec<Word>,
        factors: &'a Factors,
        lengths: &'a [u8],
        accept: Option<&'a RoaringBitmap>,
    ) -> Union<'a> {
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|&a, &b| words[b].weight.total_cmp(&words[a].weight));
        let mut rest = vec![0.0; words.len() + 1];
        for (place, &word) in order.iter().enumerate().rev() {
            rest[place] = rest[place + 1] + words[word].weight;
        }
        Union {
            factors,
            lengths,
            accept,
            words,
            order,
            rest,
            lookups: 0,
            scores: Vec::with_capacity(WINDOW),
            hopeful: Vec::new(),
        }
    }

    /// The first rows of all windows.
    pub(super) fn windows(&self) -> impl Iterator<Item = u32> + use<> {
        (0..self.lengths.len() as u32).step_by(WINDOW)
    }

    /// Gives `found` the rows of a window that score `least` or more, and their scores. Windows
    /// must be asked for in their order.
    pub(super) fn window(&mut self, start: u32, least: f32, found: &mut Vec<(u32, f32)>) {
        let lengths = &self.lengths[start as usize..];
        let window = Window {
            start,
            lengths: &lengths[..lengths.len().min(WINDOW)],
            factors: self.factors,
        };
        self.scores.clear();
        self.scores.resize(window.lengths.len(), 0.0);
        // Sums differ by as much as this where they are added up in another order.
        let slack = 1.0 + 4.0 * f32::EPSILON * self.words.len() as f32;
        let reach = least / slack;
        let heavy = self.rest.iter().take_while(|&&rest| rest >= reach).count();
        match heavy.max(self.lookups) {
            all if all >= self.words.len() => self.add_all(window, least, found),
            first => self.add_hopeful(window, first, reach, least, found),
        }
    }

    /// Adds up everything.
    fn add_all(&mut self, window: Window, least: f32, found: &mut Vec<(u32, f32)>) {
        for word in &mut self.words {
            word.add(window, &mut self.scores);
        }
        // Rows that have none of the words are not found, however little is asked for.
        let above_zero = f32::from_bits(1);
        self.hope(window, least.max(above_zero));
        let score = |&place: &u32| (window.start + place, self.scores[place as usize]);
        found.extend(self.hopeful.iter().map(score));
        // The next window shows whether looking up the last word has become worth it.
        self.lookups = self.lookups.min(self.words.len() - 1);
    }

    /// Adds up the `first` heaviest words, and the others for rows that may reach `reach`.
    fn add_hopeful(
        &mut self,
        window: Window,
        first: usize,
        reach: f32,
        least: f32,
        found: &mut Vec<(u32, f32)>,
    ) {
        for &word in &self.order[..first] {
            self.words[word].add(window, &mut self.scores);
        }
        self.hope(window, reach - self.rest[first]);
        // One word less makes more rows hopeful; twice as many is a guess.
        let cost = 2 * self.hopeful.len() * LOOKUP;
        let fewer = first.checked_sub(1);
        let fewer = fewer.filter(|&place| cost < self.postings(place, window));
        let mut lookups = self.words.len();
        for (place, &word) in self.order.iter().enumerate().skip(first) {
            let cost = self.hopeful.len() * LOOKUP;
            if cost < self.postings(place, window) {
                lookups = lookups.min(place);
                let Word {
                    weight, postings, ..
                } = &mut self.words[word];
                for &row in &self.hopeful {
                    self.scores[row as usize] += window.share(*weight, postings, row);
                }
            } else {
                self.words[word].add(window, &mut self.scores);
            }
            let (scores, needed) = (&self.scores, reach - self.rest[place + 1]);
            self.hopeful.retain(|&row| scores[row as usize] >= needed);
        }
        self.lookups = fewer.unwrap_or(lookups);
        for &row in &self.hopeful {
            let shares = self.words.iter_mut();
            let shares = shares.map(|it| window.share(it.weight, &mut it.again, row));
            let score = shares.fold(0.0, |sum, share| sum + share);
            if score >= least {
                found.push((window.start + row, score));
            }
        }
    }

    /// About how many rows of a window have the word at a place in `order`.
    fn postings(&self, place: usize, window: Window) -> usize {
        let postings = self.words[self.order[place]].postings.len();
        postings * window.lengths.len() / self.lengths.len()
    }

    /// Collects the rows that score `needed` or more so far.
    fn hope(&mut self, window: Window, needed: f32) {
        self.hopeful.clear();
        for (scores, first) in self.scores.chunks(16).zip((0..).step_by(16)) {
            // Most have none, which vector instructions see at once.
            if scores
                .iter()
                .map(|&score| u32::from(score >= needed))
                .sum::<u32>()
                > 0
            {
                let places = (first..).zip(scores).filter(|(_, score)| **score >= needed);
                self.hopeful.extend(places.map(|(place, _)| place));
            }
        }
        if let Some(accept) = self.accept {
            self.hopeful
                .retain(|place| accept.contains(window.start + place));
        }
    }
}
