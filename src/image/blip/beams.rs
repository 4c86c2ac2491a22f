//! The likeliest text by beam search, as transformers' `generate` does it without settings: a text counts by
//! the mean of its tokens' logarithms.

use super::MAX_BEAMS;

/// A text in the making or done, and how likely it is.
struct Beam {
    ids: Vec<u32>,
    /// Its place among the texts that it was made from.
    place: u32,
    /// While it is made, the sum of its tokens' logarithms; when it is done, their mean.
    score: f32,
}

/// A search for the text that follows a first token.
pub(super) struct Search {
    end: u32,
    beams: usize,
    most: usize,
    /// Tokens of each text in the making, with the first.
    length: usize,
    running: Vec<Beam>,
    done: Vec<Beam>,
}

impl Search {
    /// Among texts after `begin`, which end with `end` unless they have `most` tokens before it, by so many beams.
    pub(super) fn new(begin: u32, end: u32, beams: usize, most: usize) -> Self {
        let first = Beam {
            ids: vec![begin],
            place: 0,
            score: 0.0,
        };
        Self {
            end,
            beams: beams.clamp(1, MAX_BEAMS),
            most,
            length: 1,
            running: if most > 0 { vec![first] } else { vec![] },
            done: vec![],
        }
    }

    /// The last token of each text in the making, and the place that the text had, without it, among those of the call
    /// before; none once the search is over.
    pub(super) fn asked(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        let last = |beam: &Beam| beam.ids.last().copied().unwrap_or_default();
        self.running
            .iter()
            .map(move |beam| (last(beam), beam.place))
    }

    /// Goes on, told for each text [`asked`](Self::asked) about the logarithm of how likely each token is next.
    pub(super) fn go_on(&mut self, next: &[Vec<f32>]) {
        let (beams, length) = (self.beams, self.length);
        let candidates = candidates(&self.running, next, 2 * beams);
        self.running.clear();
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let ends = candidate.ids.last() == Some(&self.end) || length == self.most;
            match (ends, rank < beams) {
                (true, true) => self.done.push(Beam {
                    score: candidate.score / length as f32,
                    ..candidate
                }),
                // Beyond the best few, what ends is given up.
                (true, false) => {}
                (false, _) if self.running.len() < beams => self.running.push(candidate),
                (false, _) => {}
            }
        }
        self.done.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.done.truncate(beams);
        let best = self.running.first().map(|beam| beam.score / length as f32);
        let worst = self.done.last().map(|beam| beam.score);
        let is_full = self.done.len() == beams;
        // One beam takes the likeliest token each time: when that is the end, the text is done.
        if is_full && (beams == 1 || best.is_none_or(|best| worst.is_some_and(|it| best <= it))) {
            self.running.clear();
        }
        self.length += 1;
    }

    /// The tokens of the likeliest text that is done, without the first.
    pub(super) fn best(self) -> Vec<u32> {
        let best = self.done.into_iter().next();
        let mut ids = best.map(|beam| beam.ids).unwrap_or_default();
        ids.drain(..ids.len().min(1));
        ids
    }
}

/// The likeliest `count` texts that are a token longer, the best first.
fn candidates(running: &[Beam], next: &[Vec<f32>], count: usize) -> Vec<Beam> {
    let mut all: Vec<(usize, u32, f32)> = running
        .iter()
        .zip(next)
        .enumerate()
        .flat_map(|(number, (beam, next))| {
            let scored = next.iter().zip(0u32..);
            scored.map(move |(share, token)| (number, token, beam.score + share))
        })
        .collect();
    let count = count.min(all.len());
    if count < all.len() {
        all.select_nth_unstable_by(count, |a, b| b.2.total_cmp(&a.2));
        all.truncate(count);
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    let longer = all.into_iter().map(|(number, token, score)| {
        let mut ids = running[number].ids.clone();
        ids.push(token);
        let place = number as u32;
        Beam { ids, place, score }
    });
    longer.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token 1 is likelier at first, but only what follows token 2 is certain.
    fn next(token: u32) -> Vec<f32> {
        let shares = match token {
            9 => [0.05, 0.5, 0.45, 0.0],
            1 => [0.1, 0.3, 0.3, 0.3],
            _ => [0.0, 0.0, 0.0, 1.0],
        };
        shares.map(|share: f32| share.max(1e-9).ln()).to_vec()
    }

    fn found(beams: usize, most: usize) -> Vec<u32> {
        let mut search = Search::new(9, 3, beams, most);
        while search.asked().len() > 0 {
            let next: Vec<Vec<f32>> = search.asked().map(|(token, _)| next(token)).collect();
            search.go_on(&next);
        }
        search.best()
    }

    #[test]
    fn places_lead_back_through_the_whole_text() {
        let mut search = Search::new(9, 3, 3, 5);
        let mut texts = vec![vec![]];
        let mut all = vec![];
        while search.asked().len() > 0 {
            let longer = search.asked().map(|(token, place)| {
                let before: &Vec<u32> = &texts[place as usize];
                [before.clone(), vec![token]].concat()
            });
            texts = longer.collect();
            all.extend(texts.clone());
            let next: Vec<Vec<f32>> = search.asked().map(|(token, _)| next(token)).collect();
            search.go_on(&next);
        }
        assert_eq!(search.best(), [2, 3]);
        // The three likeliest of one and of two tokens; that which ends there is not gone on with.
        assert_eq!(all[..4], [vec![9], vec![9, 1], vec![9, 2], vec![9, 0]]);
        assert!(all[4..].contains(&vec![9, 1, 1]), "{all:?}");
    }

    #[test]
    fn more_beams_find_likelier_texts() {
        assert_eq!(found(3, 5), [2, 3]);
        assert_eq!(found(1, 1), [1]);
        assert_eq!(found(1, 4)[0], 1);
        assert!(found(2, 0).is_empty());
    }
}
