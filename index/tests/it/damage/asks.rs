//! Every call that reads an index, with what it answers.

use std::fmt::Debug;
use std::path::Path;

use unprompt_index::{
    EntryId, Error, Filter, Hit, Index, KeywordQuery, PromptId, SearchRequest, VectorOptions,
};

use super::sample::{images, text, vector};

const FILTERS: [&str; 4] = [
    "",
    "fox -\"red fox\"",
    "sampler:k_lms cfg:[2 TO 15]",
    "grey seed:*",
];

/// What an index answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What does not depend on how prompts are spread over segments, nor on graphs.
    pub(super) lasting: Vec<String>,
    /// The rest.
    other: Vec<String>,
    pub(super) errors: Vec<Error>,
}

impl PartialEq for Answers {
    fn eq(&self, other: &Answers) -> bool {
        self.lasting == other.lasting
            && self.other == other.other
            && self.errors.is_empty()
            && other.errors.is_empty()
    }
}

impl Answers {
    fn lasting<T: Debug>(&mut self, what: &str, answer: Result<T, Error>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.lasting.push(format!("{what}: {answer:?}"));
                Some(answer)
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    fn other<T: Debug>(&mut self, what: &str, answer: Result<T, Error>) {
        match answer {
            Ok(answer) => self.other.push(format!("{what}: {answer:?}")),
            Err(error) => self.errors.push(error),
        }
    }
}

/// Asks everything there is, and goes on after errors.
pub(super) fn ask(dir: &Path) -> Answers {
    let mut answers = Answers::default();
    let index = match Index::open(dir) {
        Ok(index) => index,
        Err(error) => {
            answers.errors.push(error);
            return answers;
        }
    };
    answers.other("stats", index.stats());
    answers.lasting("length", Ok((index.len(), index.is_empty())));
    let query = vector(5);
    entries(&index, query, &mut answers);
    lists(&index, query, &mut answers);
    searches(&index, query, &mut answers);
    answers
}

/// What is known of single entries.
fn entries(index: &Index, query: &[f32], answers: &mut Answers) {
    let all: Vec<EntryId> = index.entries().collect();
    assert_eq!(all.len(), index.len());
    for i in (0..165).step_by(6).chain([7, 8, 120]) {
        let id = PromptId::of(&text(i));
        let found = index.find(&id);
        answers.lasting("find", found.as_ref().map(Option::is_some).or(Ok(false)));
        match found {
            Ok(Some(entry)) => {
                assert!(all.contains(&entry), "{entry:?} is not listed");
                known(index, entry, query, answers);
            }
            Ok(None) => {}
            Err(error) => answers.errors.push(error),
        }
    }
    for &entry in all.iter().skip(1).step_by(13) {
        answers.other("entry", index.prompt(entry));
        answers.other("images of entry", index.images(entry, None, 3));
    }
}

fn known(index: &Index, entry: EntryId, query: &[f32], answers: &mut Answers) {
    answers.lasting("id", index.id(entry));
    answers.lasting("prompt", index.prompt(entry));
    answers.lasting("vector", index.vector(entry));
    answers.lasting("cosine", index.cosine(entry, query));
    answers.lasting("images", index.images(entry, None, 9));
    let filter = Filter::parse("sampler:ddim").unwrap();
    answers.lasting("some images", index.images(entry, Some(&filter), 1));
}

/// Scored lists.
fn lists(index: &Index, query: &[f32], answers: &mut Answers) {
    let filter = Filter::parse("white").unwrap();
    for exact in [false, true] {
        let options = VectorOptions {
            k: 7,
            exact,
            ef: Some(8),
        };
        for filter in [None, Some(&filter)] {
            let found = index.vector_search(query, &options, filter);
            answers.other("vectors", found);
        }
    }
    let words = KeywordQuery::Text("grey fox 7".into());
    answers.other("keywords", index.keyword_search(&words, 200, None));
    answers.other("keywords", index.keyword_search(&words, 5, Some(&filter)));
}

/// Pages of hits, in all modes.
fn searches(index: &Index, query: &[f32], answers: &mut Answers) {
    for filter in FILTERS {
        let filter = Some(Filter::parse(filter).unwrap());
        for (vector, words, exact) in [
            (true, false, false),
            (true, false, true),
            (false, true, true),
            (true, true, false),
            (true, true, true),
        ] {
            let request = SearchRequest {
                vector: vector.then(|| query.to_vec()),
                keywords: words.then(|| KeywordQuery::Text("red fox 7 of canvas".into())),
                filter: filter.clone(),
                exact,
                ..SearchRequest::default()
            };
            let found = index.search(&request);
            if let Ok(hits) = &found {
                sensible(hits);
            }
            match exact {
                true => drop(answers.lasting("hits", found)),
                false => answers.other("hits", found),
            }
        }
    }
}

/// Holds of hits whatever the files say.
fn sensible(hits: &[Hit]) {
    assert!(hits.len() <= 10);
    assert!(hits.iter().all(|hit| hit.score.is_finite()));
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(hits.iter().all(|hit| hit.images.len() <= hit.image_count));
    assert!(hits.iter().enumerate().all(|(i, hit)| hit.rank == i + 1));
}

/// What the sample holds of a prompt, for changes that add to it.
pub(super) fn more_images(i: usize) -> Vec<unprompt_index::ImageRecord> {
    let mut images = images(i + 1);
    images.extend(self::images(i));
    images
}
