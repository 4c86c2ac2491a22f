//! Random lists of changes against a plain model in memory.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use unprompt_index::{Filter, ImageRecord, Index, KeywordQuery, PromptId, Scored, VectorOptions};

use crate::changes::{Change, Model, WIDE, WORDS, text, vector};
use crate::util::{built, state};

/// Prompts that there are; few, so that they meet again.
const PROMPTS: usize = 30;

fn change() -> impl Strategy<Value = Change> {
    let prompt = 0..PROMPTS;
    prop_oneof![
        4 => vec((prompt.clone(), 0..5usize), 1..12).prop_map(Change::Add),
        3 => (vec((prompt.clone(), 0..5usize), 1..20), vec((prompt.clone(), 0..5usize), 0..6))
            .prop_map(|(old, new)| Change::Replace(old, new)),
        2 => vec(prompt, 1..6).prop_map(Change::Delete),
        1 => (0..3u32).prop_map(Change::DeletePart),
        1 => (0..WORDS).prop_map(Change::DeleteWord),
        1 => Just(Change::Compact),
    ]
}

impl Model {
    fn cosines(&self, query: &[f32]) -> BTreeMap<String, f64> {
        let cosine = |&prompt: &usize| {
            let pairs = vector(prompt).into_iter().zip(query);
            let dot = pairs.map(|(a, b)| f64::from(a) * f64::from(*b)).sum();
            (text(prompt), dot)
        };
        self.0.keys().map(cosine).collect()
    }

    /// BM25 as it is defined, with k1 = 1.2 and b = 0.75.
    fn bm25(&self, words: &[&str]) -> BTreeMap<String, f64> {
        let split =
            |prompt: usize| -> Vec<String> { text(prompt).split(' ').map(str::to_owned).collect() };
        let count = self.0.len() as f64;
        let average = self.0.keys().map(|&p| split(p).len()).sum::<usize>() as f64 / count;
        let score = |prompt: usize| -> f64 {
            let own = split(prompt);
            let of = |word: &&str| {
                let with = self
                    .0
                    .keys()
                    .filter(|p| split(**p).iter().any(|w| w == word));
                let with = with.count() as f64;
                let idf = (1.0 + (count - with + 0.5) / (with + 0.5)).ln();
                let times = own.iter().filter(|w| w == word).count() as f64;
                let length = 0.25 + 0.75 * own.len() as f64 / average;
                idf * times * 2.2 / (times + 1.2 * length)
            };
            words.iter().map(of).sum()
        };
        let scores = self.0.keys().map(|&prompt| (text(prompt), score(prompt)));
        scores.filter(|(_, score)| *score > 0.0).collect()
    }
}

/// What was found has the scores of the model, and stands in their order, ties by id.
fn same(
    index: &Index,
    found: &[Scored],
    expected: &BTreeMap<String, f64>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for hit in found {
        let score = expected.get(&index.prompt(hit.entry).unwrap());
        prop_assert!(score.is_some_and(|score| (f64::from(hit.score) - score).abs() < 1e-4));
    }
    let id = |hit: &Scored| index.id(hit.entry).unwrap();
    prop_assert!(
        found.is_sorted_by(|a, b| a.score > b.score || a.score == b.score && id(a) < id(b))
    );
    Ok(())
}

/// The index answers as the model does.
fn agree(index: &Index, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.len(), model.0.len());
    for prompt in 0..PROMPTS {
        let entry = index.find(&PromptId::of(&text(prompt))).unwrap();
        let images = entry.map(|entry| index.images(entry, None, 99).unwrap().0);
        prop_assert_eq!(images.as_ref(), model.0.get(&prompt));
        for image in images.iter().flatten() {
            let found = index.find_image(&image.image_name).unwrap();
            prop_assert_eq!(Some(&*found), entry.as_ref().map(std::slice::from_ref));
        }
    }
    let mut listed = BTreeMap::new();
    let some = Filter::parse("part_id:[1 TO 2]").unwrap();
    let take = &mut |entry, image: ImageRecord| {
        listed.insert(image.image_name, index.prompt(entry).unwrap());
    };
    index.for_each_image(&some, take).unwrap();
    let expected = model.0.iter().flat_map(|(&prompt, images)| {
        let some = images
            .iter()
            .filter(|image| matches!(image.part_id, Some(1 | 2)));
        some.map(move |image| (image.image_name.clone(), text(prompt)))
    });
    prop_assert_eq!(listed, expected.collect::<BTreeMap<_, _>>());
    let options = VectorOptions {
        k: 99,
        exact: true,
        ef: None,
    };
    for query in [3, 14] {
        let query = vector(query);
        let found = index.vector_search(&query, &options, None).unwrap();
        same(index, &found, &model.cosines(&query))?;
    }
    for words in [&["w1", "n7"][..], &["w0", "w2", "w5", "absent"]] {
        let query = KeywordQuery::Text(words.join(" "));
        let found = index.keyword_search(&query, 99, None).unwrap();
        same(index, &found, &model.bm25(words))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_leave_what_the_model_has(changes in vec(change(), 1..14)) {
        let built = built(WIDE, []);
        let mut model = Model::default();
        let mut snapshot = Index::open(&built.dir).unwrap();
        for change in &changes {
            let before = snapshot.len();
            change.make(&built.dir, &mut |_| {}).unwrap();
            prop_assert_eq!(snapshot.len(), before);
            model.apply(change);
            snapshot = Index::open(&built.dir).unwrap();
            agree(&snapshot, &model)?;
        }
        let (_, content) = state(&built.dir).unwrap().unwrap();
        prop_assert_eq!(content, model.content());
    }
}
