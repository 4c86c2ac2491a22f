//! A better prompt than any that was found: what hits say, put together anew.
//!
//! Where the true prompt is not in the index, each hit says a part of it. A beam search changes the best
//! prompts piece by piece and word by word, into what is put together as prompts of the hits are. Which
//! changes bring the embedding nearer to the predicted one is estimated by a regression on words, fitted
//! to the hits and to all that has been embedded since; the most promising of them are embedded, a batch
//! a round, until the time is up.

mod estimate;
mod lexicon;
mod origin;
mod pace;
mod prior;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::Serialize;
use unprompt_index::Hit;

use self::estimate::Estimate;
use self::lexicon::{BREAK, Lexicon};
pub(super) use self::pace::Pace;
use self::prior::Prior;
use super::answer::Phrase;
use crate::error::Result;
use crate::predictor::ranking::WordOdds;
use crate::text::{SentenceEncoder, cosine};

/// A prompt that was put together.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconstruction {
    /// The prompt.
    pub prompt: String,
    /// Cosine of its embedding to the predicted one.
    pub cosine: f32,
    /// Its pieces, and the hits they are from.
    pub phrases: Vec<Phrase>,
}

/// The best hits that a prompt is put together from.
const HITS: usize = 50;

/// Longer prompts are left out: what a round makes of a prompt grows with the square of its pieces.
const MAX_PROMPT_BYTES: usize = 1000;

/// Pieces that are exchanged and added, at most: those of the best hits.
const MAX_PIECES: usize = 300;

/// Prompts that are changed in a round.
const BEAM: usize = 4;

/// Changed prompts that are embedded in a round.
const BATCH: usize = 8;

/// Rounds without a better prompt after which the search ends.
const PATIENCE: usize = 2;

/// A text whose cosine to the target is known.
struct Known {
    numbers: Vec<u32>,
    /// Its distinct numbers, rising.
    words: Vec<u32>,
    cosine: f32,
    /// The cosine with what the text is worth besides.
    score: f64,
}

impl Known {
    fn new(numbers: Vec<u32>, cosine: f32, prior: &Prior) -> Self {
        let words = distinct(&numbers);
        Self {
            score: f64::from(cosine) + prior.of(&numbers, &words),
            words,
            numbers,
            cosine,
        }
    }
}

/// Puts a prompt together from the best of `hits`, whose embedding is as near to `target` (a unit vector) as
/// can be found within `budget`, and whose words have the best log-odds, each counted `odds_weight` times; a
/// round that does not fit into what is left is not begun. `None` if nothing better than the hits is found.
///
/// # Errors
/// If a text cannot be embedded.
pub(super) fn reconstruct(
    hits: &[Hit],
    target: &[f32],
    (odds, odds_weight): (&WordOdds<'_>, f64),
    sentences: &SentenceEncoder,
    (budget, pace): (Duration, &Pace),
) -> Result<Option<Reconstruction>> {
    let start = Instant::now();
    let hits: Vec<&Hit> = hits
        .iter()
        .take(HITS)
        .filter(|hit| hit.prompt.len() <= MAX_PROMPT_BYTES)
        .collect();
    let lexicon = Lexicon::of(hits.iter().map(|hit| hit.prompt.as_str()));
    let prior = Prior::new(&lexicon, odds, odds_weight);
    let mut seen = HashSet::new();
    let mut known: Vec<Known> = hits
        .iter()
        .filter_map(|hit| Some((lexicon.read(&hit.prompt), cosine_of(hit)?)))
        .filter(|(numbers, _)| seen.insert(numbers.clone()))
        .map(|(numbers, cosine)| Known::new(numbers, cosine, &prior))
        .collect();
    let found = seen.clone();
    let pool = pool(&lexicon, &known);
    let mut idle = 0;
    while idle < PATIENCE && pace.fits(budget.saturating_sub(start.elapsed())) {
        let began = Instant::now();
        known.sort_by(|a, b| b.score.total_cmp(&a.score));
        let proposals = propose(&lexicon, &prior, &pool, &known, &seen);
        if proposals.is_empty() {
            break;
        }
        let texts: Vec<String> = proposals.iter().map(|it| lexicon.write(it)).collect();
        let rows = sentences.embed(&texts)?;
        let best = known.first().map_or(f64::NEG_INFINITY, |it| it.score);
        for (numbers, row) in proposals.into_iter().zip(rows.rows()) {
            seen.insert(numbers.clone());
            known.push(Known::new(numbers, cosine(row, target), &prior));
        }
        let better = known.iter().any(|it| it.score > best);
        idle = if better { 0 } else { idle + 1 };
        pace.took(began.elapsed());
    }
    let best = known.into_iter().max_by(|a, b| a.score.total_cmp(&b.score));
    let best = best.filter(|best| !found.contains(&best.numbers));
    Ok(best.map(|best| Reconstruction {
        prompt: lexicon.write(&best.numbers),
        cosine: best.cosine,
        phrases: origin::phrases(&best.numbers, &lexicon, &hits),
    }))
}

/// The cosine that the search for `target` gave a hit.
pub(super) fn cosine_of(hit: &Hit) -> Option<f32> {
    hit.scores.kernel.or(hit.scores.vector)
}

/// The distinct pieces of prompts, those of the best first.
fn pool(lexicon: &Lexicon, known: &[Known]) -> Vec<Vec<u32>> {
    let mut seen = HashSet::new();
    let pieces = known.iter().flat_map(|it| lexicon.pieces(&it.numbers));
    pieces
        .filter(|piece| seen.insert(piece.clone()))
        .take(MAX_PIECES)
        .collect()
}

/// The most promising changes of the best of `known`, which come first in it.
fn propose(
    lexicon: &Lexicon,
    prior: &Prior,
    pool: &[Vec<u32>],
    known: &[Known],
    seen: &HashSet<Vec<u32>>,
) -> Vec<Vec<u32>> {
    let texts: Vec<(&[u32], f64)> = known
        .iter()
        .map(|it| (it.words.as_slice(), f64::from(it.cosine)))
        .collect();
    let Some(estimate) = Estimate::fit(&texts, lexicon.len()) else {
        return vec![];
    };
    let mut scored: Vec<(f64, Vec<u32>)> = vec![];
    let mut proposed = HashSet::new();
    for base in &known[..BEAM.min(known.len())] {
        let rest = f64::from(base.cosine) - estimate.of(&base.words);
        for numbers in changes(lexicon, pool, &base.numbers) {
            if seen.contains(&numbers) || !lexicon.is_plausible(&numbers) {
                continue;
            }
            let words = distinct(&numbers);
            let score = rest + estimate.of(&words) + prior.of(&numbers, &words);
            if proposed.insert(numbers.clone()) {
                scored.push((score, numbers));
            }
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(BATCH);
    scored.into_iter().map(|(_, numbers)| numbers).collect()
}

/// What a prompt becomes if a piece is left out, exchanged or added, or a word exchanged for another that
/// was seen after the word before it.
fn changes(lexicon: &Lexicon, pool: &[Vec<u32>], numbers: &[u32]) -> Vec<Vec<u32>> {
    let pieces = lexicon.pieces(numbers);
    let mut changes = vec![];
    for (at, old) in pieces.iter().enumerate() {
        let (before, after) = (pieces[..at].concat(), pieces[at + 1..].concat());
        let with = |piece: &[u32]| joined(&[&before, piece, &after]);
        changes.push(with(&[]));
        changes.extend(pool.iter().filter(|new| *new != old).map(|new| with(new)));
    }
    let added = |piece: &Vec<u32>| {
        let comma: &[u32] = if piece.first() == Some(&BREAK) {
            &[]
        } else {
            &[BREAK]
        };
        joined(&[numbers, comma, piece])
    };
    changes.extend(pool.iter().map(added));
    for (at, &old) in numbers.iter().enumerate().filter(|(_, old)| **old != BREAK) {
        let before = at.checked_sub(1).map_or(BREAK, |before| numbers[before]);
        let others = lexicon.followers(before).iter();
        changes.extend(
            others
                .filter(|new| **new != old && **new != BREAK)
                .map(|new| {
                    let mut changed = numbers.to_vec();
                    changed[at] = *new;
                    changed
                }),
        );
    }
    changes
}

/// The parts one after the other, without a comma at the start.
fn joined(parts: &[&[u32]]) -> Vec<u32> {
    let mut numbers = parts.concat();
    if numbers.first() == Some(&BREAK) {
        numbers.remove(0);
    }
    numbers
}

fn distinct(numbers: &[u32]) -> Vec<u32> {
    let mut words = numbers.to_vec();
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::vocabulary::Vocabulary;
    use crate::predictor::Prediction;

    const PROMPTS: [&str; 2] = ["a red cat on a beach, photo", "a blue cat, oil painting"];

    fn texts(changed: &[Vec<u32>], lexicon: &Lexicon) -> Vec<String> {
        changed.iter().map(|it| lexicon.write(it)).collect()
    }

    #[test]
    fn of_many_pieces_the_first_are_exchanged() {
        let long: String = (0..1000).map(|n| format!("piece {n}, ")).collect();
        let lexicon = Lexicon::of(std::iter::once(long.as_str()));
        let vocabulary = Vocabulary::of_prompts(&PROMPTS, 10);
        let odds = WordOdds::new(&Prediction::default(), &vocabulary);
        let prior = Prior::new(&lexicon, &odds, 1.0);
        let known = [Known::new(lexicon.read(&long), 0.5, &prior)];
        assert_eq!(pool(&lexicon, &known).len(), MAX_PIECES);
    }

    #[test]
    fn pieces_and_words_are_left_out_exchanged_and_added() {
        let lexicon = Lexicon::of(PROMPTS.into_iter());
        let vocabulary = Vocabulary::of_prompts(&PROMPTS, 10);
        let odds = WordOdds::new(&Prediction::default(), &vocabulary);
        let prior = Prior::new(&lexicon, &odds, 1.0);
        let known: Vec<Known> = PROMPTS
            .iter()
            .map(|prompt| Known::new(lexicon.read(prompt), 0.5, &prior))
            .collect();
        let pool = pool(&lexicon, &known);
        let changed = changes(&lexicon, &pool, &known[0].numbers);
        let all = texts(&changed, &lexicon);
        for change in [
            "a red cat, photo",
            "on a beach, photo",
            "a red cat on a beach, oil painting",
            "a red cat on a beach, photo, oil painting",
            "a blue cat on a beach, photo",
        ] {
            assert!(all.iter().any(|it| it == change), "{change}: {all:?}");
        }
        assert!(all.iter().all(|it| !it.starts_with(',')));

        // Of these, what was never said so is not proposed, nor what is known.
        let seen = known.iter().map(|it| it.numbers.clone()).collect();
        let proposed = texts(&propose(&lexicon, &prior, &pool, &known, &seen), &lexicon);
        assert!(
            proposed.contains(&"a blue cat on a beach, photo".to_owned()),
            "{proposed:?}"
        );
        assert!(
            !proposed.contains(&"on a beach, photo".to_owned()),
            "{proposed:?}"
        );
        assert!(
            PROMPTS
                .iter()
                .all(|it| !proposed.iter().any(|text| text == it))
        );
    }
}
