//! A better prompt than any that was found: what hits say, put together anew.
//!
//! Where the true prompt is not in the index, each hit says a part of it. A beam search changes the best
//! prompts piece by piece and word by word, into what is put together as prompts of the hits are. Which
//! changes make the embedding likelier is estimated by a regression on words, fitted
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
use super::target::Target;
use crate::error::Result;
use crate::predictor::ranking::{Evidence, Ranking};
use crate::text::SentenceEncoder;

/// A prompt that was put together.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconstruction {
    /// The prompt.
    pub prompt: String,
    /// Cosine of its embedding to the predicted one, adapted if the model is.
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

/// A text whose embedding is known.
struct Known {
    numbers: Vec<u32>,
    /// Its distinct numbers, rising.
    words: Vec<u32>,
    /// For whoever asks how near it is.
    cosine: f32,
    /// What the embedding is worth: the logarithm of a likelihood.
    nearness: f64,
    /// The same with what the text is worth besides.
    score: f64,
}

impl Known {
    fn new(numbers: Vec<u32>, evidence: &Evidence, (ranking, prior): (&Ranking, &Prior)) -> Self {
        let words = distinct(&numbers);
        let nearness = ranking.nearness(evidence);
        Self {
            score: nearness + prior.of(&numbers, &words),
            words,
            numbers,
            cosine: evidence.cosine(),
            nearness,
        }
    }
}

/// Puts a prompt together from the best of `hits`, each with its evidence: the likeliest one for `target` that can be
/// found within `budget`; a round that does not fit into what is left is not begun. `None` if nothing better than the
/// hits is found.
///
/// # Errors
/// If a text cannot be embedded.
pub(super) fn reconstruct(
    (hits, evidence): (&[Hit], &[Evidence]),
    target: &Target<'_>,
    sentences: &SentenceEncoder,
    (budget, pace): (Duration, &Pace),
) -> Result<Option<Reconstruction>> {
    let start = Instant::now();
    let (hits, evidence): (Vec<&Hit>, Vec<&Evidence>) = hits
        .iter()
        .zip(evidence)
        .take(HITS)
        .filter(|(hit, _)| hit.prompt.len() <= MAX_PROMPT_BYTES)
        .unzip();
    let lexicon = Lexicon::of(hits.iter().map(|hit| hit.prompt.as_str()));
    // Weights are fitted to prompts as people write them. Against its own words a search would find what is none.
    let ranking = &target.ranking().softened();
    let words = ranking.words.max(0.0);
    let prior = Prior::new(&lexicon, target.odds(), words);
    let mut seen = HashSet::new();
    let mut known: Vec<Known> = hits
        .iter()
        .zip(evidence)
        .map(|(hit, evidence)| (lexicon.read(&hit.prompt), evidence))
        .filter(|(numbers, _)| seen.insert(numbers.clone()))
        .map(|(numbers, evidence)| Known::new(numbers, evidence, (ranking, &prior)))
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
            known.push(Known::new(
                numbers,
                &target.of_embedding(row),
                (ranking, &prior),
            ));
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
        .map(|it| (it.words.as_slice(), it.nearness))
        .collect();
    let Some(estimate) = Estimate::fit(&texts, lexicon.len()) else {
        return vec![];
    };
    let mut scored: Vec<(f64, Vec<u32>)> = vec![];
    let mut proposed = HashSet::new();
    for base in &known[..BEAM.min(known.len())] {
        let rest = base.nearness - estimate.of(&base.words);
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
    use crate::predictor::ranking::WordOdds;

    const PROMPTS: [&str; 2] = ["a red cat on a beach, photo", "a blue cat, oil painting"];

    fn known(numbers: Vec<u32>, prior: &Prior) -> Known {
        let evidence = Evidence {
            vector: 0.5,
            ..Evidence::default()
        };
        Known::new(numbers, &evidence, (&Ranking::UNFITTED, prior))
    }

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
        let known = [known(lexicon.read(&long), &prior)];
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
            .map(|prompt| known(lexicon.read(prompt), &prior))
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
