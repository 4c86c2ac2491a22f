//! Files that are not what was written: `check` tells, and nothing panics.

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::RngExt;
use unprompt_index::{Filter, ImageRecord, Index, KeywordQuery, PromptId, SearchRequest, check};

use crate::util::{Built, built, clustered, files, rng};

const COUNT: usize = 300;
const WIDE: usize = 16;

fn sample() -> (Built, Vec<f32>) {
    let texts: Vec<String> = (0..COUNT)
        .map(|i| format!("a fox number {i} of {}, oil on canvas", i % 9))
        .collect();
    let vectors = clustered(8, COUNT, WIDE, 10);
    let query = vectors[5].clone();
    let image = |i: usize| ImageRecord {
        image_name: format!("{i}.png"),
        seed: Some(i as u64 * 1_000_003),
        cfg: (!i.is_multiple_of(3)).then_some(i as f32 / 8.0),
        sampler: Some(["k_lms", "ddim"][i % 2].into()),
        timestamp: Some(i as i64),
        ..ImageRecord::default()
    };
    let entries = texts.iter().zip(vectors).enumerate();
    (
        built(
            WIDE,
            entries.map(|(i, (t, v))| (t.as_str(), v, vec![image(i), image(i + 1)])),
        ),
        query,
    )
}

/// Opens and asks all sorts of things; an error is as good as an answer of the right shape.
fn ask(dir: &Path, query: &[f32]) -> Result<(), unprompt_index::Error> {
    let index = Index::open(dir)?;
    let mut outcome = Ok(());
    let filters = [
        "",
        "fox",
        "sampler:k_lms",
        "cfg:[2 TO 30] -\"fox number\"",
        "seed:5000015",
    ];
    for filter in filters {
        for (vector, words) in [(true, false), (false, true), (true, true)] {
            let request = SearchRequest {
                vector: vector.then(|| query.to_vec()),
                keywords: words.then(|| KeywordQuery::Text("fox 7 of canvas".into())),
                filter: Some(Filter::parse(filter).unwrap()),
                ..SearchRequest::default()
            };
            match index.search(&request) {
                Ok(hits) => {
                    assert!(hits.len() <= 10);
                    assert!(hits.iter().all(|hit| hit.score.is_finite()));
                    assert!(hits.iter().all(|hit| hit.images.len() <= hit.image_count));
                }
                Err(error) => outcome = Err(error),
            }
        }
    }
    for i in 0..5 {
        let text = format!("a fox number {i} of {}, oil on canvas", i % 9);
        match index.find(&PromptId::of(&text)) {
            Ok(found) => assert!(found.is_none_or(|entry| index.entries().any(|e| e == entry))),
            Err(error) => outcome = Err(error),
        }
    }
    outcome.and(index.stats().map(drop))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `ask` with nothing printed of panics that are caught inside.
fn ask_quietly(dir: &Path, query: &[f32], what: &str) -> Result<(), unprompt_index::Error> {
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| ask(dir, query)));
    QUIET.set(false);
    outcome.unwrap_or_else(|_| panic!("panicked on {what}"))
}

fn silence() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            hook(panic);
        }
    }));
}

#[test]
fn damage_is_reported_and_never_panics() {
    let (built, query) = sample();
    let dir = &built.dir;
    drop(built.index);
    silence();
    ask(dir, &query).unwrap();
    let sound = check(dir).unwrap();
    let all: Vec<_> = files(dir)
        .into_iter()
        .filter(|file| !file.ends_with("LOCK"))
        .collect();
    let bytes = all
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum::<u64>();
    assert_eq!(
        (sound.files, sound.bytes, sound.damaged),
        (all.len(), bytes, vec![])
    );

    let mut rng = rng(12);
    let (mut answers, mut errors) = (0, 0);
    for file in &all {
        let good = fs::read(file).unwrap();
        let name = file.strip_prefix(dir).unwrap().display().to_string();
        let mut cases: Vec<(String, Option<Vec<u8>>)> = vec![
            (format!("{name} missing"), None),
            (format!("{name} empty"), Some(Vec::new())),
            (
                format!("{name} halved"),
                Some(good[..good.len() / 2].to_vec()),
            ),
            (
                format!("{name} one short"),
                Some(good[..good.len() - 1].to_vec()),
            ),
            (format!("{name} longer"), Some([&good[..], b"x"].concat())),
            (format!("{name} zeroed"), Some(vec![0; good.len()])),
            (format!("{name} all ones"), Some(vec![0xff; good.len()])),
        ];
        let ends = (0..good.len().min(64)).chain(good.len().saturating_sub(64)..good.len());
        let places = (0..60).map(|_| rng.random_range(0..good.len()));
        for at in ends.chain(places).collect::<Vec<_>>() {
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.random_range(0..8);
            cases.push((format!("{name} flipped at {at}"), Some(bad)));
        }
        for (what, bad) in cases {
            match bad {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            let report = check(dir);
            match report {
                Ok(report) => {
                    let told = report.damaged.iter().any(|damage| damage.path == *file);
                    assert!(told, "{what}: {report:?}");
                }
                // Without a MANIFEST it is no index; and a flipped version is a newer one.
                Err(error) => assert!(name == "MANIFEST", "{what}: {error}"),
            }
            match ask_quietly(dir, &query, &what) {
                Ok(()) => answers += 1,
                Err(error) => {
                    assert!(!error.to_string().contains('\n'), "{what}: {error}");
                    errors += 1;
                }
            }
        }
        fs::write(file, &good).unwrap();
    }
    println!("{answers} damaged copies answered, {errors} gave an error");
    assert!(errors > all.len() * 7);
    assert!(check(dir).unwrap().damaged.is_empty());
    ask(dir, &query).unwrap();
}
