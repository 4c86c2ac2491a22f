//! Where each piece of a prompt comes from.

use unprompt_index::{Hit, PromptId};

use super::lexicon::{BREAK, Lexicon};
use crate::reverse::answer::Phrase;

/// The pieces of a prompt, cut into the longest runs of words that a hit has, each with the hits that have
/// it, best first.
pub(super) fn phrases(numbers: &[u32], lexicon: &Lexicon, hits: &[&Hit]) -> Vec<Phrase> {
    let hits: Vec<(PromptId, Vec<u32>)> = hits
        .iter()
        .map(|hit| (hit.id, lexicon.read(&hit.prompt)))
        .collect();
    let having = |run: &[u32]| -> Vec<PromptId> {
        let hits = hits.iter();
        let having = hits.filter(|(_, whole)| whole.windows(run.len()).any(|part| part == run));
        having.map(|(id, _)| *id).collect()
    };
    let mut phrases = vec![];
    for piece in lexicon.pieces(numbers) {
        let mut rest = piece.strip_prefix(&[BREAK]).unwrap_or(&piece);
        while !rest.is_empty() {
            let found = (1..=rest.len()).rev().find_map(|length| {
                let from = having(&rest[..length]);
                (!from.is_empty()).then_some((length, from))
            });
            let (length, from) = found.unwrap_or((1, vec![]));
            phrases.push(Phrase {
                text: lexicon.write(&rest[..length]),
                from,
            });
            rest = &rest[length..];
        }
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reverse::fixture::hit;

    #[test]
    fn every_piece_is_in_the_hits_it_is_said_to_be_from() {
        let hits = ["a red cat on a beach, photo", "a blue cat, photo"].map(hit);
        let lexicon = Lexicon::of(hits.iter().map(|hit| hit.prompt.as_str()));
        let phrases = phrases(
            &lexicon.read("a blue cat on a beach, photo"),
            &lexicon,
            &hits.each_ref(),
        );
        let [first, second] = [hits[0].id, hits[1].id];
        let expected: [(&str, &[PromptId]); 3] = [
            ("a blue cat", &[second]),
            ("on a beach", &[first]),
            ("photo", &[first, second]),
        ];
        assert_eq!(phrases.len(), expected.len());
        for (phrase, (text, from)) in phrases.iter().zip(expected) {
            assert_eq!((phrase.text.as_str(), phrase.from.as_slice()), (text, from));
        }
    }

    #[test]
    fn a_piece_that_no_hit_has_is_cut_into_runs_that_some_have() {
        let hits = ["two red cats", "blue cats run"].map(hit);
        let lexicon = Lexicon::of(hits.iter().map(|hit| hit.prompt.as_str()));
        let phrases = phrases(&lexicon.read("two blue cats"), &lexicon, &hits.each_ref());
        let texts: Vec<&str> = phrases.iter().map(|phrase| phrase.text.as_str()).collect();
        assert_eq!(texts, ["two", "blue cats"]);
    }
}
