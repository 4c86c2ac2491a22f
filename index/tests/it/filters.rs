//! Which prompts and images a filter selects, against the same said in plain Rust.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use unprompt_index::{Filter, ImageRecord, Index, KeywordQuery, PromptId, VectorOptions};

use crate::util::{Built, built, rng, unit};

const COUNT: usize = 300;
const SPACE: usize = 8;
const WORDS: [&str; 8] = ["fox", "owl", "red", "blue", "snow", "city", "night", "oil"];
const SAMPLERS: [&str; 3] = ["k_lms", "ddim", "k_euler_ancestral"];
const MODELS: [&str; 4] = ["DreamShaper_8", "dreamlike", "SDXL \u{3a3}", "sd 1.5"];

type Entry = (String, Vec<ImageRecord>);

/// Prompts of a few words, each with up to four images of which little is known.
fn entries(rng: &mut ChaCha8Rng) -> Vec<Entry> {
    (0..COUNT)
        .map(|i| {
            let words: Vec<_> = (0..rng.random_range(1..6))
                .map(|_| *WORDS.choose(rng).unwrap())
                .collect();
            let images = (0..rng.random_range(0..5)).map(|j| record(rng, &format!("{i}-{j}.png")));
            (format!("{} n{i}", words.join(" ")), images.collect())
        })
        .collect()
}

fn record(rng: &mut ChaCha8Rng, name: &str) -> ImageRecord {
    fn perhaps<T>(rng: &mut ChaCha8Rng, make: impl Fn(&mut ChaCha8Rng) -> T) -> Option<T> {
        rng.random_bool(0.8).then(|| make(rng))
    }
    ImageRecord {
        image_name: name.into(),
        part_id: perhaps(rng, |rng| rng.random_range(0..4)),
        seed: perhaps(rng, |rng| rng.random_range(0..10)),
        step: perhaps(rng, |rng| *[20, 50].choose(rng).unwrap()),
        cfg: perhaps(rng, |rng| *[5.0, 7.0, 7.1, 12.5].choose(rng).unwrap()),
        sampler: perhaps(rng, |rng| (*SAMPLERS.choose(rng).unwrap()).into()),
        width: perhaps(rng, |rng| *[512, 768].choose(rng).unwrap()),
        height: perhaps(rng, |_| 512),
        image_nsfw: perhaps(rng, |rng| rng.random()),
        prompt_nsfw: perhaps(rng, |rng| rng.random()),
        // The days from 1 August 2022.
        timestamp: perhaps(rng, |rng| {
            1_659_312_000_000 + rng.random_range(0..30) * 86_400_000
        }),
        model: perhaps(rng, |rng| (*MODELS.choose(rng).unwrap()).into()),
        generator: perhaps(rng, |_| "comfyui".into()),
        file_size: perhaps(rng, |rng| rng.random_range(0..1000)),
        predicted: perhaps(rng, |rng| rng.random()),
    }
}

fn index(entries: &[Entry]) -> Built {
    let mut rng = rng(2);
    built(
        SPACE,
        entries
            .iter()
            .map(|(prompt, images)| (prompt.as_str(), unit(&mut rng, SPACE, None), images.clone())),
    )
}

fn has(prompt: &str, word: &str) -> bool {
    prompt.split(' ').any(|w| w == word)
}

/// Asserts that `text` selects the prompts that fulfil `prompt` and have an image that fulfils
/// `image`, where it says anything of images, or none while one of which nothing is known does, and lists exactly such
/// images.
fn same(
    index: &Index,
    entries: &[Entry],
    text: &str,
    prompt: &dyn Fn(&str) -> bool,
    image: Option<&dyn Fn(&ImageRecord) -> bool>,
) {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let options = VectorOptions {
        k: COUNT,
        exact: true,
        ..VectorOptions::default()
    };
    let mut query = vec![0.0; SPACE];
    query[0] = 1.0;
    let found = index
        .vector_search(&query, &options, Some(&filter))
        .unwrap();
    let found: BTreeSet<String> = found
        .iter()
        .map(|hit| index.prompt(hit.entry).unwrap())
        .collect();
    let fulfils = |record: &ImageRecord| image.is_none_or(|image| image(record));
    let expected: BTreeSet<String> = entries
        .iter()
        .filter(|(text, _)| prompt(text))
        .filter(|(_, images)| match images.as_slice() {
            [] => fulfils(&ImageRecord::default()),
            images => images.iter().any(fulfils),
        })
        .map(|(text, _)| text.clone())
        .collect();
    assert_eq!(found, expected, "{text}");
    for (text, images) in entries
        .iter()
        .filter(|(text, _)| expected.contains(text))
        .take(20)
    {
        let entry = index.find(&PromptId::of(text)).unwrap().unwrap();
        let listed = index.images(entry, Some(&filter), usize::MAX).unwrap();
        let images: Vec<_> = images
            .iter()
            .filter(|record| fulfils(record))
            .cloned()
            .collect();
        assert_eq!(listed, (images.clone(), images.len()), "{text}");
    }
}

#[test]
fn filters_select_what_they_say() {
    let entries = entries(&mut rng(1));
    let built = index(&entries);
    type Prompt = fn(&str) -> bool;
    type Image = Option<fn(&ImageRecord) -> bool>;
    let any: Prompt = |_| true;
    let cases: &[(&str, Prompt, Image)] = &[
        ("", any, None),
        ("*", any, None),
        ("fox", |p| has(p, "fox"), None),
        ("prompt:Foxes", |p| has(p, "fox"), None),
        ("-fox", |p| !has(p, "fox"), None),
        ("NOT fox", |p| !has(p, "fox"), None),
        ("fox owl", |p| has(p, "fox") && has(p, "owl"), None),
        ("fox OR owl", |p| has(p, "fox") || has(p, "owl"), None),
        ("fox -owl", |p| has(p, "fox") && !has(p, "owl"), None),
        ("prompt:\"red fox\"", |p| p.contains("red fox"), None),
        (
            "-prompt:\"red fox\" AND fox",
            |p| has(p, "fox") && !p.contains("red fox"),
            None,
        ),
        (
            "prompt: IN [fox owl]",
            |p| has(p, "fox") || has(p, "owl"),
            None,
        ),
        (
            "sampler:k_lms",
            any,
            Some(|i| i.sampler.as_deref() == Some("k_lms")),
        ),
        (
            "sampler:k_euler_ancestral",
            any,
            Some(|i| i.sampler.as_deref() == Some("k_euler_ancestral")),
        ),
        (
            "-sampler:k_lms",
            any,
            Some(|i| i.sampler.as_deref() != Some("k_lms")),
        ),
        (
            "sampler:[e TO k_f]",
            any,
            Some(|i| {
                i.sampler
                    .as_deref()
                    .is_some_and(|s| ("e"..="k_f").contains(&s))
            }),
        ),
        ("sampler:*", any, Some(|i| i.sampler.is_some())),
        (
            "sampler:K_LMS",
            any,
            Some(|i| i.sampler.as_deref() == Some("k_lms")),
        ),
        (
            "model:dreamshaper_8",
            any,
            Some(|i| i.model.as_deref() == Some("DreamShaper_8")),
        ),
        (
            "model:DREAM*",
            any,
            Some(|i| {
                i.model
                    .as_ref()
                    .is_some_and(|m| m.to_lowercase().starts_with("dream"))
            }),
        ),
        (
            "model:\"sdxl \u{3c3}\"*",
            any,
            Some(|i| i.model.as_deref() == Some("SDXL \u{3a3}")),
        ),
        (
            "model:[DREAMSHAPER TO sd2]",
            any,
            Some(|i| matches!(i.model.as_deref(), Some("DreamShaper_8" | "sd 1.5"))),
        ),
        (
            "-model:* AND -predicted:* AND file_size:>=500",
            any,
            Some(|i| {
                i.model.is_none()
                    && i.predicted.is_none()
                    && i.file_size.is_some_and(|size| size >= 500)
            }),
        ),
        (
            "image_name:*7*.png",
            any,
            Some(|i| i.image_name.contains('7')),
        ),
        (
            "model:\"*m s*8\" OR model:*A*M*",
            any,
            Some(|i| {
                i.model
                    .as_deref()
                    .is_some_and(|m| m.starts_with("Dream") || m.starts_with("dream"))
            }),
        ),
        (
            "model:*.*",
            any,
            Some(|i| i.model.as_deref() == Some("sd 1.5")),
        ),
        (
            "image_name:7-*",
            any,
            Some(|i| i.image_name.starts_with("7-")),
        ),
        ("-seed:*", any, Some(|i| i.seed.is_none())),
        (
            "image_name:\"7-0.png\"",
            any,
            Some(|i| i.image_name == "7-0.png"),
        ),
        (
            "image_name:7-0.png",
            any,
            Some(|i| i.image_name == "7-0.png"),
        ),
        ("cfg:7", any, Some(|i| i.cfg == Some(7.0))),
        ("cfg:7.1", any, Some(|i| i.cfg == Some(7.1))),
        (
            "cfg:[7 TO 12]",
            any,
            Some(|i| i.cfg.is_some_and(|c| (7.0..=12.0).contains(&c))),
        ),
        (
            "cfg:{7 TO 12.5}",
            any,
            Some(|i| i.cfg.is_some_and(|c| c > 7.0 && c < 12.5)),
        ),
        ("cfg:>7", any, Some(|i| i.cfg.is_some_and(|c| c > 7.0))),
        ("cfg:<=7.1", any, Some(|i| i.cfg.is_some_and(|c| c <= 7.1))),
        (
            "cfg:[* TO 7]",
            any,
            Some(|i| i.cfg.is_some_and(|c| c <= 7.0)),
        ),
        (
            "seed:[3 TO *]",
            any,
            Some(|i| i.seed.is_some_and(|s| s >= 3)),
        ),
        (
            "seed: IN [1 2 3]",
            any,
            Some(|i| i.seed.is_some_and(|s| (1..=3).contains(&s))),
        ),
        (
            "part_id:2 step:50",
            any,
            Some(|i| i.part_id == Some(2) && i.step == Some(50)),
        ),
        ("width:512 OR width:768", any, Some(|i| i.width.is_some())),
        (
            "height:512 AND -width:512",
            any,
            Some(|i| i.height == Some(512) && i.width != Some(512)),
        ),
        (
            "prompt_nsfw:[0 TO 0.25]",
            any,
            Some(|i| i.prompt_nsfw.is_some_and(|n| n <= 0.25)),
        ),
        (
            "timestamp:[2022-08-10 TO 2022-08-12]",
            any,
            Some(|i| {
                i.timestamp
                    .is_some_and(|t| (1_660_089_600_000..=1_660_262_400_000).contains(&t))
            }),
        ),
        (
            "timestamp:{2022-08-10T00:00:00Z TO *}",
            any,
            Some(|i| i.timestamp.is_some_and(|t| t > 1_660_089_600_000)),
        ),
        // One image must be both; two images that are one each do not do.
        (
            "sampler:k_lms AND cfg:7",
            any,
            Some(|i| i.sampler.as_deref() == Some("k_lms") && i.cfg == Some(7.0)),
        ),
        (
            "sampler:k_lms AND fox AND -cfg:7",
            |p| has(p, "fox"),
            Some(|i| i.sampler.as_deref() == Some("k_lms") && i.cfg != Some(7.0)),
        ),
        (
            "cfg:[7 TO 12] AND sampler:k_lms AND -prompt:owl AND image_nsfw:[0 TO 0.5]",
            |p| !has(p, "owl"),
            Some(|i| {
                i.cfg.is_some_and(|c| (7.0..=12.0).contains(&c))
                    && i.sampler.as_deref() == Some("k_lms")
                    && i.image_nsfw.is_some_and(|n| n <= 0.5)
            }),
        ),
        (
            "-(fox OR cfg:7)",
            |p| !has(p, "fox"),
            Some(|i| i.cfg != Some(7.0)),
        ),
        (
            "(fox OR owl) (cfg:7 OR step:20)",
            |p| has(p, "fox") || has(p, "owl"),
            Some(|i| i.cfg == Some(7.0) || i.step == Some(20)),
        ),
    ];
    for (text, prompt, image) in cases {
        let image = image
            .as_ref()
            .map(|image| image as &dyn Fn(&ImageRecord) -> bool);
        same(&built.index, &entries, text, prompt, image);
    }
}

/// A statement about a prompt or an image, as text and as a predicate.
type Said<T> = (String, Box<dyn Fn(&T) -> bool>);

/// Says something at random.
type Say<'a, T> = &'a dyn Fn(&mut ChaCha8Rng) -> Said<T>;

fn tree<T: ?Sized + 'static>(rng: &mut ChaCha8Rng, depth: usize, leaf: Say<'_, T>) -> Said<T> {
    if depth == 0 || rng.random_bool(0.2) {
        return leaf(rng);
    }
    let (a_text, a) = tree(rng, depth - 1, leaf);
    let (b_text, b) = tree(rng, depth - 1, leaf);
    match rng.random_range(0..5) {
        0 => (
            format!("({a_text} AND {b_text})"),
            Box::new(move |x| a(x) && b(x)),
        ),
        1 => (
            format!("({a_text} OR {b_text})"),
            Box::new(move |x| a(x) || b(x)),
        ),
        2 => (
            format!("({a_text} AND NOT {b_text})"),
            Box::new(move |x| a(x) && !b(x)),
        ),
        3 => (
            format!("(-{a_text} OR {b_text})"),
            Box::new(move |x| !a(x) || b(x)),
        ),
        _ => (
            format!("(+{a_text} -{b_text})"),
            Box::new(move |x| a(x) && !b(x)),
        ),
    }
}

#[test]
fn random_filters_select_what_they_say() {
    let mut rng = rng(4);
    let entries = entries(&mut rng);
    let built = index(&entries);
    let about_prompt = |rng: &mut ChaCha8Rng| -> Said<str> {
        let word = *WORDS.choose(rng).unwrap();
        (word.into(), Box::new(move |prompt: &str| has(prompt, word)))
    };
    let about_image = |rng: &mut ChaCha8Rng| -> Said<ImageRecord> {
        let n = rng.random_range(0..10);
        let sampler = *SAMPLERS.choose(rng).unwrap();
        match rng.random_range(0..4) {
            0 => (format!("seed:{n}"), Box::new(move |i| i.seed == Some(n))),
            1 => (
                format!("seed:[{n} TO *]"),
                Box::new(move |i| i.seed.is_some_and(|s| s >= n)),
            ),
            2 => (
                format!("sampler:{sampler}"),
                Box::new(move |i| i.sampler.as_deref() == Some(sampler)),
            ),
            _ => (
                "cfg:<7.1".into(),
                Box::new(|i| i.cfg.is_some_and(|c| c < 7.1)),
            ),
        }
    };
    for _ in 0..200 {
        let (prompt_text, prompt) = tree(&mut rng, 3, &about_prompt);
        let (image_text, image) = tree(&mut rng, 3, &about_image);
        same(&built.index, &entries, &prompt_text, &*prompt, None);
        same(
            &built.index,
            &entries,
            &image_text,
            &|_| true,
            Some(&*image),
        );
        let both = format!("{image_text} AND {prompt_text}");
        same(&built.index, &entries, &both, &*prompt, Some(&*image));
    }
}

#[test]
fn where_no_prompt_has_an_image_nothing_is_found_by_images() {
    let entries: Vec<Entry> = ["a red fox", "an owl"].map(|it| (it.into(), vec![])).into();
    let built = index(&entries);
    for text in [
        "model:*dream*",
        "sampler:k_*",
        "image_name:*",
        "seed:>3",
        "model:dreamlike",
    ] {
        same(&built.index, &entries, text, &|_| true, Some(&|_| false));
    }
}

#[test]
fn a_filtered_walk_and_filtered_words_return_matches_only() {
    let entries = entries(&mut rng(6));
    let built = index(&entries);
    let filter = Filter::parse("sampler:ddim fox").unwrap();
    let mut query = vec![0.0; SPACE];
    query[3] = 1.0;
    let options = VectorOptions {
        k: COUNT,
        exact: true,
        ..VectorOptions::default()
    };
    let all = built
        .index
        .vector_search(&query, &options, Some(&filter))
        .unwrap();
    let text = KeywordQuery::Text(WORDS.join(" "));
    let words = built
        .index
        .keyword_search(&text, COUNT, Some(&filter))
        .unwrap();
    assert!(!all.is_empty() && all.len() < COUNT / 2);
    let set =
        |list: &[unprompt_index::Scored]| list.iter().map(|h| h.entry).collect::<BTreeSet<_>>();
    assert_eq!(set(&words), set(&all), "every prompt has one of the words");
}
