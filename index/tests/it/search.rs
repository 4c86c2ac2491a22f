//! The three modes of search, pages and ties.

use unprompt_index::{
    Error, Filter, Fusion, Index, KeywordQuery, PromptId, SearchRequest, VectorOptions, fusion,
};

use crate::util::{Built, built, clustered, image};

const PLANE: usize = 2;

fn at(degrees: f32) -> Vec<f32> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    vec![cos, sin]
}

fn animals() -> Built {
    built(
        PLANE,
        [
            ("a red fox", at(0.0), vec![image("fox.png")]),
            ("a red panda", at(20.0), vec![]),
            ("a snowy owl", at(40.0), vec![]),
            ("an owl on a red barn", at(60.0), vec![]),
        ],
    )
}

fn request(vector: Option<f32>, words: Option<&str>) -> SearchRequest {
    SearchRequest {
        vector: vector.map(at),
        keywords: words.map(|words| KeywordQuery::Text(words.into())),
        ..SearchRequest::default()
    }
}

fn prompts(index: &Index, request: &SearchRequest) -> Vec<String> {
    index
        .search(request)
        .unwrap()
        .into_iter()
        .map(|hit| hit.prompt)
        .collect()
}

#[test]
fn by_vector_the_score_is_the_cosine() {
    let built = animals();
    let hits = built.index.search(&request(Some(45.0), None)).unwrap();
    let order: Vec<_> = hits
        .iter()
        .map(|hit| (hit.rank, hit.prompt.as_str()))
        .collect();
    let expected = [
        (1, "a snowy owl"),
        (2, "an owl on a red barn"),
        (3, "a red panda"),
        (4, "a red fox"),
    ];
    assert_eq!(order, expected);
    for (hit, degrees) in hits.iter().zip([5.0f32, 15.0, 25.0, 45.0]) {
        assert!((hit.score - degrees.to_radians().cos()).abs() < 1e-6);
        assert_eq!(hit.scores.vector, Some(hit.score));
        assert_eq!((hit.scores.kernel, hit.scores.keyword), (None, None));
        assert_eq!(hit.id, PromptId::of(&hit.prompt));
    }
    assert_eq!(
        (hits[3].image_count, hits[3].images[0].image_name.as_str()),
        (1, "fox.png")
    );
}

#[test]
fn by_keyword_the_score_is_bm25() {
    let built = animals();
    let hits = built
        .index
        .search(&request(None, Some("Red owls")))
        .unwrap();
    assert_eq!(hits.len(), 4);
    assert_eq!(hits[0].prompt, "an owl on a red barn");
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(
        hits.iter()
            .all(|hit| hit.scores.keyword == Some(hit.score) && hit.score > 0.0)
    );
    assert!(hits.iter().all(|hit| hit.scores.vector.is_none()));
    assert!(
        built
            .index
            .search(&request(None, Some("zebra")))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn by_both_ranks_are_fused_and_every_hit_has_its_cosine() {
    let built = animals();
    let mut request = request(Some(45.0), Some("panda"));
    request.fusion = Fusion::ReciprocalRank { k: 5.0 };
    let hits = built.index.search(&request).unwrap();
    // Third of four by vector and first by words: 1/8 + 1/6 beats 1/6.
    assert_eq!(hits[0].prompt, "a red panda");
    assert!((hits[0].score - (1.0 / 8.0 + 1.0 / 6.0)).abs() < 1e-6);
    assert!(hits[0].scores.keyword.is_some() && hits[1].scores.keyword.is_none());
    assert_eq!(
        (hits[0].ranks.vector, hits[0].ranks.keyword),
        (Some(3), Some(1))
    );
    assert_eq!(
        (hits[1].ranks.vector, hits[1].ranks.keyword),
        (Some(1), None)
    );
    for hit in &hits {
        let entry = built.index.find(&hit.id).unwrap().unwrap();
        let cosine = built.index.cosine(entry, &at(45.0)).unwrap();
        assert_eq!(hit.scores.vector, Some(cosine));
    }
}

#[test]
fn a_second_vector_is_a_list_of_its_own() {
    let built = animals();
    let mut both = request(Some(0.0), Some("panda"));
    both.kernel = Some(at(45.0));
    both.fusion = Fusion::ReciprocalRank { k: 5.0 };
    let hits = built.index.search(&both).unwrap();
    for hit in &hits {
        let ranks = [hit.ranks.vector, hit.ranks.kernel, hit.ranks.keyword];
        let shares = ranks
            .iter()
            .flatten()
            .map(|&rank| 1.0 / (5.0 + rank as f32));
        assert!((hit.score - shares.sum::<f32>()).abs() < 1e-6, "{hit:?}");
        let entry = built.index.find(&hit.id).unwrap().unwrap();
        let cosine = |query: &[f32]| Some(built.index.cosine(entry, query).unwrap());
        assert_eq!(hit.scores.vector, cosine(&at(0.0)));
        assert_eq!(hit.scores.kernel, cosine(&at(45.0)));
    }
    assert!(hits.iter().any(|hit| hit.ranks.vector != hit.ranks.kernel));

    // By vectors alone: each has half of a weighted sum.
    both.keywords = None;
    both.fusion = Fusion::WeightedSum { vector: 1.0 };
    let by_both = built.index.search(&both).unwrap();
    assert_eq!(by_both.len(), 4);
    let mut swapped = both.clone();
    std::mem::swap(&mut swapped.vector, &mut swapped.kernel);
    let by_swapped = built.index.search(&swapped).unwrap();
    for (hit, other) in by_both.iter().zip(&by_swapped) {
        assert_eq!((&hit.prompt, hit.score), (&other.prompt, other.score));
    }

    let mut alone = both.clone();
    alone.vector = None;
    let hits = built.index.search(&alone).unwrap();
    assert_eq!(hits.len(), 4);
    assert!(hits.iter().all(|hit| hit.scores.kernel == Some(hit.score)));
    both.kernel = Some(vec![1.0]);
    assert!(built.index.search(&both).is_err());
}

#[test]
fn a_hit_found_by_words_alone_has_its_cosine_too() {
    let vectors = clustered(3, 2000, 8, 5);
    let texts: Vec<String> = (0..2000).map(|i| format!("number {i}")).collect();
    let entries = texts
        .iter()
        .zip(&vectors)
        .map(|(t, v)| (t.as_str(), v.clone(), vec![]));
    let built = built(8, entries);
    let worst = built
        .index
        .entries()
        .min_by(|a, b| {
            let cosine = |entry| built.index.cosine(entry, &vectors[0]).unwrap();
            cosine(*a).total_cmp(&cosine(*b))
        })
        .unwrap();
    let word = built.index.prompt(worst).unwrap();
    let request = SearchRequest {
        vector: Some(vectors[0].clone()),
        keywords: Some(KeywordQuery::Text(
            word.split(' ').next_back().unwrap().into(),
        )),
        ..SearchRequest::default()
    };
    let hits = built.index.search(&request).unwrap();
    let hit = hits.iter().find(|hit| hit.prompt == word).unwrap();
    assert_eq!(
        hit.scores.vector,
        Some(built.index.cosine(worst, &vectors[0]).unwrap())
    );
}

#[test]
fn pages_join_to_the_whole() {
    let built = animals();
    for mode in [
        (Some(10.0), None),
        (None, Some("red owl")),
        (Some(10.0), Some("red owl")),
    ] {
        let mut request = request(mode.0, mode.1);
        let whole = built.index.search(&request).unwrap();
        assert_eq!(whole.len(), 4);
        request.k = 2;
        let mut pages = built.index.search(&request).unwrap();
        request.offset = 2;
        pages.extend(built.index.search(&request).unwrap());
        assert_eq!(pages, whole);
        request.offset = 4;
        assert!(built.index.search(&request).unwrap().is_empty());
        request.offset = usize::MAX;
        request.k = usize::MAX;
        assert!(built.index.search(&request).unwrap().is_empty());
        request.offset = 0;
        assert_eq!(built.index.search(&request).unwrap(), whole);
        request.k = 0;
        assert!(built.index.search(&request).unwrap().is_empty());
    }
}

#[test]
fn a_depth_bounds_what_each_search_brings() {
    let built = animals();
    let mut both = request(Some(0.0), Some("owl"));
    both.depth = Some(1);
    let nearest = "a red fox";
    let found = prompts(&built.index, &both);
    assert!(
        found.len() == 2 && found.contains(&nearest.to_owned()),
        "{found:?}"
    );
    assert!(
        found.iter().any(|prompt| prompt.contains("owl")),
        "{found:?}"
    );
    both.depth = None;
    assert_eq!(prompts(&built.index, &both).len(), 4);
    let mut one = request(Some(0.0), None);
    one.depth = Some(1);
    assert_eq!(prompts(&built.index, &one), [nearest]);
}

#[test]
fn vectors_come_where_they_are_asked_for() {
    let built = animals();
    let without = built
        .index
        .search(&request(Some(0.0), Some("owl")))
        .unwrap();
    assert!(without.iter().all(|hit| hit.vector.is_none()));
    let with = SearchRequest {
        with_vectors: true,
        ..request(Some(0.0), Some("owl"))
    };
    let hits = built.index.search(&with).unwrap();
    assert_eq!(hits.len(), without.len());
    for hit in hits {
        let entry = built.index.find(&hit.id).unwrap().unwrap();
        assert_eq!(hit.vector, Some(built.index.vector(entry).unwrap()));
    }
}

#[test]
fn a_least_score_cuts_off() {
    let built = animals();
    let mut request = request(Some(0.0), None);
    request.min_score = Some(30f32.to_radians().cos());
    assert_eq!(
        prompts(&built.index, &request),
        ["a red fox", "a red panda"]
    );
}

#[test]
fn equal_scores_stand_by_id() {
    let texts: Vec<String> = (0..20).map(|i| format!("twin {i}")).collect();
    let built = built(
        PLANE,
        texts.iter().map(|text| (text.as_str(), at(0.0), vec![])),
    );
    for request in [request(Some(0.0), None), request(None, Some("twin"))] {
        let request = SearchRequest { k: 20, ..request };
        let hits = built.index.search(&request).unwrap();
        assert_eq!(hits.len(), 20);
        assert!(hits.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}

#[test]
fn long_queries_give_what_short_ones_do() {
    let texts: Vec<String> = (0..500)
        .map(|i| format!("a{} b{} c{}", i % 7, i % 11, i))
        .collect();
    let vectors = clustered(9, 500, 8, 3);
    let built = built(
        8,
        texts
            .iter()
            .zip(vectors)
            .map(|(t, v)| (t.as_str(), v, vec![])),
    );
    let short = "a1 b2 c3 c4 c5";
    // Words that no prompt has lengthen a query beyond what is pruned, and change no score.
    let long: String = (0..20).map(|i| format!(" zz{i}")).collect();
    let search = |text: String| {
        let found = built
            .index
            .keyword_search(&KeywordQuery::Text(text), 50, None)
            .unwrap();
        found
            .into_iter()
            .map(|hit| (hit.entry, (hit.score * 1e4).round()))
            .collect::<Vec<_>>()
    };
    assert_eq!(search(short.to_owned() + &long), search(short.to_owned()));
}

#[test]
fn requests_that_ask_nothing_are_refused() {
    let built = animals();
    let nothing = built.index.search(&request(None, None));
    assert!(matches!(nothing, Err(Error::Option { .. })));
    for k in [0.0, -1.0, f32::NAN] {
        let request = SearchRequest {
            fusion: Fusion::ReciprocalRank { k },
            ..request(Some(0.0), Some("fox"))
        };
        assert!(matches!(
            built.index.search(&request),
            Err(Error::Option {
                name: "fusion k",
                ..
            })
        ));
    }
    let other = animals();
    let many = built_many();
    let foreign = many.index.entries().last().unwrap();
    assert!(matches!(
        other.index.prompt(foreign),
        Err(Error::NoSuchEntry { .. })
    ));
    assert!(matches!(
        other.index.cosine(foreign, &at(0.0)),
        Err(Error::NoSuchEntry { .. })
    ));
}

fn built_many() -> Built {
    let texts: Vec<String> = (0..9).map(|i| format!("{i}")).collect();
    built(
        PLANE,
        texts.iter().map(|text| (text.as_str(), at(1.0), vec![])),
    )
}

#[test]
fn fusion_of_the_two_searches_is_the_hybrid_search() {
    let built = animals();
    let options = VectorOptions {
        k: 100,
        ..VectorOptions::default()
    };
    let by_vector = built
        .index
        .vector_search(&at(45.0), &options, None)
        .unwrap();
    let text = KeywordQuery::Text("red owl".into());
    let by_words = built.index.keyword_search(&text, 100, None).unwrap();
    let fused = fusion::reciprocal_rank(&[&by_vector, &by_words], 60.0);
    let hits = built
        .index
        .search(&request(Some(45.0), Some("red owl")))
        .unwrap();
    let score = |hit: &unprompt_index::Hit| {
        let entry = built.index.find(&hit.id).unwrap().unwrap();
        fused
            .iter()
            .find(|fused| fused.entry == entry)
            .unwrap()
            .score
    };
    assert_eq!(hits.len(), fused.len());
    assert!(hits.iter().all(|hit| hit.score == score(hit)));
}

#[test]
fn a_filter_narrows_every_mode() {
    let built = animals();
    for mode in [
        (Some(0.0), None),
        (None, Some("red owl")),
        (Some(0.0), Some("red owl")),
    ] {
        let filter = Some(Filter::parse("owl -barn").unwrap());
        let request = SearchRequest {
            filter,
            ..request(mode.0, mode.1)
        };
        assert_eq!(prompts(&built.index, &request), ["a snowy owl"]);
    }
}
