//! The likeliest text by beam search, as transformers' `generate` does it without settings: a text counts by
//! the mean of its tokens' logarithms.

use candle_core::Result;

/// A text in the making or done, and how likely it is.
struct Beam {
    ids: Vec<u32>,
    /// Its place among the texts that it was made from.
    place: u32,
    /// While it is made, the sum of its tokens' logarithms; when it is done, their mean.
    score: f32,
}

/// The tokens after `begin`, `end` among them unless `most` come before it. `predict` is given the last tokens of texts,
/// and the place that each text had, without it, among those of the call before; it gives the logarithm of how likely each
/// token is next.
pub(super) fn search(
    begin: u32,
    end: u32,
    beams: usize,
    most: usize,
    mut predict: impl FnMut(&[u32], &[u32]) -> Result<Vec<Vec<f32>>>,
) -> Result<Vec<u32>> {
    let beams = beams.max(1);
    let mut running = vec![Beam {
        ids: vec![begin],
        place: 0,
        score: 0.0,
    }];
    let mut done: Vec<Beam> = vec![];
    for length in 1..=most {
        if running.is_empty() {
            break;
        }
        let last = running.iter().filter_map(|beam| beam.ids.last().copied());
        let places: Vec<u32> = running.iter().map(|beam| beam.place).collect();
        let next = predict(&last.collect::<Vec<_>>(), &places)?;
        let mut candidates = candidates(&running, &next, 2 * beams);
        running.clear();
        for (rank, candidate) in candidates.drain(..).enumerate() {
            let ends = candidate.ids.last() == Some(&end) || length == most;
            match (ends, rank < beams) {
                (true, true) => done.push(Beam {
                    score: candidate.score / length as f32,
                    ..candidate
                }),
                // Beyond the best few, what ends is given up.
                (true, false) => {}
                (false, _) if running.len() < beams => running.push(candidate),
                (false, _) => {}
            }
        }
        done.sort_by(|a, b| b.score.total_cmp(&a.score));
        done.truncate(beams);
        let best = running.first().map(|beam| beam.score / length as f32);
        let worst = done.last().map(|beam| beam.score);
        let is_full = done.len() == beams;
        // One beam takes the likeliest token each time: when that is the end, the text is done.
        if is_full && (beams == 1 || best.is_none_or(|best| worst.is_some_and(|it| best <= it))) {
            break;
        }
    }
    let mut best = done
        .into_iter()
        .next()
        .map(|beam| beam.ids)
        .unwrap_or_default();
    best.drain(..best.len().min(1));
    Ok(best)
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
    fn predict(last: &[u32], _: &[u32]) -> Result<Vec<Vec<f32>>> {
        let next = |token: &u32| -> Vec<f32> {
            let shares = match token {
                9 => [0.05, 0.5, 0.45, 0.0],
                1 => [0.1, 0.3, 0.3, 0.3],
                _ => [0.0, 0.0, 0.0, 1.0],
            };
            shares.map(|share: f32| share.max(1e-9).ln()).to_vec()
        };
        Ok(last.iter().map(next).collect())
    }

    #[test]
    fn places_lead_back_through_the_whole_text() {
        let mut texts = vec![vec![]];
        let mut all = vec![];
        let found = search(9, 3, 3, 5, |last, places| {
            let longer = places.iter().zip(last).map(|(place, token)| {
                let before: &Vec<u32> = &texts[*place as usize];
                [before.clone(), vec![*token]].concat()
            });
            texts = longer.collect();
            all.extend(texts.clone());
            predict(last, places)
        });
        assert_eq!(found.unwrap(), [2, 3]);
        // The three likeliest of one and of two tokens; that which ends there is not gone on with.
        assert_eq!(all[..4], [vec![9], vec![9, 1], vec![9, 2], vec![9, 0]]);
        assert!(all[4..].contains(&vec![9, 1, 1]), "{all:?}");
    }

    #[test]
    fn more_beams_find_likelier_texts() {
        assert_eq!(search(9, 3, 3, 5, predict).unwrap(), [2, 3]);
        assert_eq!(search(9, 3, 1, 1, predict).unwrap(), [1]);
        assert_eq!(search(9, 3, 1, 4, predict).unwrap()[0], 1);
        assert!(search(9, 3, 2, 0, predict).unwrap().is_empty());
    }
}
