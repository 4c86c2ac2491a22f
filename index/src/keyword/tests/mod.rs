use std::collections::HashMap;

use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, TermQuery};

use super::*;
use crate::folder::listed;

mod pruning;

fn prompts(texts: &[&str]) -> (tempfile::TempDir, Prompts) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prompts");
    let mut writer = PromptsWriter::create(&path).unwrap();
    for text in texts {
        writer.push(PromptId::of(text), text).unwrap();
    }
    writer.finish().unwrap();
    let opened = Prompts::open(&path, listed(&path), texts.len()).unwrap();
    (dir, opened)
}

/// Row and score of the `k` best of one folder.
fn best(prompts: &Prompts, query: &KeywordQuery, k: usize) -> Vec<(u32, f32)> {
    best_of(prompts, query, k, None)
}

fn best_of(
    prompts: &Prompts,
    query: &KeywordQuery,
    k: usize,
    accept: Option<&RoaringBitmap>,
) -> Vec<(u32, f32)> {
    let part = Part {
        segment: 0,
        prompts,
        rows: prompts.folder.searcher().num_docs() as usize,
        deleted: None,
        accept,
        id: Box::new(|row| Ok(PromptId::of(&row.to_string()))),
    };
    let found = Corpus { parts: vec![part] }.best(query, k).unwrap();
    found.iter().map(|f| (f.entry.ordinal, f.score)).collect()
}

fn rows(found: &[(u32, f32)]) -> Vec<u32> {
    found.iter().map(|(row, _)| *row).collect()
}

#[test]
fn rows_are_in_the_order_of_writing() {
    let texts: Vec<String> = (0..3000).map(|i| format!("prompt number {i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (_dir, prompts) = prompts(&texts);
    for row in [0, 1, 1499, 2999] {
        assert_eq!(prompts.text(row).unwrap(), texts[row as usize]);
        let id = PromptId::of(texts[row as usize]);
        assert_eq!(prompts.find(id).unwrap(), Some(row));
    }
    assert_eq!(prompts.find(PromptId::of("absent")).unwrap(), None);
    assert!(prompts.text(3000).is_err());
}

#[test]
fn the_smallest_weights_find_prompts_too() {
    let (_dir, prompts) = prompts(&["a red fox", "a blue bird", "an owl"]);
    let query = KeywordQuery::Weighted(vec![("red".into(), 1e-40)]);
    let found = best(&prompts, &query, 10);
    assert_eq!(rows(&found), [0]);
    assert!(found[0].1.is_subnormal(), "{}", found[0].1);
}

#[test]
fn weights_decide_and_bad_ones_are_left_out() {
    let (_dir, prompts) = prompts(&["a red fox", "a blue bird", "an owl"]);
    let find = |words: &[(&str, f32)]| {
        let words = words
            .iter()
            .map(|(word, w)| ((*word).to_owned(), *w))
            .collect();
        rows(&best(&prompts, &KeywordQuery::Weighted(words), 10))
    };
    assert_eq!(find(&[("fox", 0.9), ("bird", 0.2)]), [0, 1]);
    assert_eq!(find(&[("fox", 0.1), ("bird", 0.2)]), [1, 0]);
    assert_eq!(
        find(&[
            ("fox", f32::NAN),
            ("bird", -1.0),
            ("owls", 0.5),
            ("red", 0.0)
        ]),
        [2]
    );
    assert!(find(&[]).is_empty());
}

#[test]
fn text_is_never_a_syntax_error() {
    let (_dir, prompts) = prompts(&["a red fox"]);
    for text in [
        "fox AND",
        "\"fox",
        "-fox:[",
        "(((fox",
        "fox~^*\\",
        "FOX OR OR",
    ] {
        let found = best(&prompts, &KeywordQuery::Text(text.into()), 10);
        assert_eq!(rows(&found), [0], "{text}");
    }
    assert!(best(&prompts, &KeywordQuery::Text("?!".into()), 10).is_empty());
}

#[test]
fn scores_are_those_of_a_union_of_terms() {
    // More prompts than a window, and words from everywhere to almost nowhere.
    let texts: Vec<String> = (0..70_000u32)
        .map(|i| {
            (0..8)
                .map(|j| format!("w{} ", (i * 31 + j * j * 17) % (20 + j * j * 300)))
                .collect()
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (_dir, prompts) = prompts(&texts);
    let weights: Vec<(String, f32)> = (0..8)
        .map(|i| (format!("w{}", i * 95), 1.0 + i as f32))
        .collect();
    let query = weights.iter().map(|(word, weight)| {
        let term = Term::from_field_text(prompts.fields.prompt, word);
        let term = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
        Box::new(BoostQuery::new(term, *weight)) as Box<dyn Query>
    });
    let union = BooleanQuery::union(query.collect());
    let searcher = prompts.folder.searcher();
    let scoring = EnableScoring::enabled_from_searcher(searcher);
    let mut expected = HashMap::new();
    union
        .weight(scoring)
        .unwrap()
        .for_each(searcher.segment_reader(0), &mut |row, score| {
            expected.insert(row, score);
        })
        .unwrap();
    let query = KeywordQuery::Weighted(weights);
    let all = best(&prompts, &query, usize::MAX);
    assert_eq!(all.len(), expected.len());
    for (row, score) in &all {
        assert!((score - expected[row]).abs() <= score * 1e-5, "row {row}");
    }
    assert!(all.is_sorted_by(|a, b| a.1 >= b.1));
    assert_eq!(best(&prompts, &query, 50), all[..50]);
    let even: RoaringBitmap = (0..70_000).filter(|row| row % 2 == 0).collect();
    let accepted = best_of(&prompts, &query, usize::MAX, Some(&even));
    let expected: Vec<_> = all.into_iter().filter(|(row, _)| row % 2 == 0).collect();
    assert_eq!(accepted, expected);
}
