//! The main job, with the built-in model.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use image::{ImageFormat, RgbImage};
use unprompt::diffusion::sampler::SamplerKind;
use unprompt::diffusion::text_to_image::{GenerateOptions, Order, TextToImage};
use unprompt::evaluate::elsewhere;
use unprompt::indexing;
use unprompt::pocket::{PocketPrompt, Prompts, Split};
use unprompt::predictor::Predictor;
use unprompt::reverse::verify::Verifier;
use unprompt::reverse::{ReverseOptions, Reverser, Verdict};
use unprompt::{Error, text::cosine};
use unprompt_index::{BuildOptions, Encoder, Index, Writer};

use crate::support::{encoder, new_encoder};

fn predictor() -> Predictor {
    Predictor::open("vit", &Device::Cpu).unwrap()
}

fn png(prompt: &PocketPrompt) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    prompt
        .render()
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// `png` with a text chunk before its end.
fn with_text(png: &[u8], key: &str, text: &str) -> Vec<u8> {
    let decoder = png::Decoder::new(Cursor::new(png));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, info.width, info.height);
    encoder.set_color(info.color_type);
    encoder.set_depth(info.bit_depth);
    encoder.add_itxt_chunk(key.into(), text.into()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&pixels[..info.buffer_size()])
        .unwrap();
    writer.finish().unwrap();
    bytes
}

struct World {
    _folder: tempfile::TempDir,
    prompts: Vec<PocketPrompt>,
    reverser: Reverser,
}

fn world(count: usize) -> World {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let prompts: Vec<_> = Prompts::new(77, Split::Test).take(count).collect();
    let texts = prompts.iter().map(|prompt| prompt.text.clone());
    let go_on = &mut |_| ControlFlow::Continue(());
    indexing::build(texts, &dir, encoder(), go_on).unwrap();
    let reverser = Reverser::new(Index::open(&dir).unwrap(), predictor()).unwrap();
    World {
        _folder: folder,
        prompts,
        reverser,
    }
}

#[test]
fn finds_the_prompts_of_images_that_no_training_saw() {
    let World {
        prompts, reverser, ..
    } = world(400);
    let (mut among_10, mut cosines) = (0, 0.0);
    for prompt in &prompts[..60] {
        let answer = reverser
            .reverse("image.png", &png(prompt), &ReverseOptions::default())
            .unwrap();
        assert!(answer.embedded.is_none());
        assert_eq!(answer.hits.len(), 10);
        assert_eq!(answer.prompt, answer.hits[0].prompt);
        assert!((0.0..=1.0).contains(&answer.confidence));
        let is_likely = [Verdict::Exact, Verdict::Near].contains(&answer.verdict);
        assert_eq!(is_likely, answer.confidence >= 0.5);
        let scores: Vec<f32> = answer.hits.iter().map(|hit| hit.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0] <= 1.0);
        assert!(!answer.words.is_empty());
        assert!(
            answer
                .phrases
                .iter()
                .all(|phrase| phrase.from.contains(&answer.hits[0].id))
        );
        among_10 += usize::from(answer.hits.iter().any(|hit| hit.prompt == prompt.text));
        let both = encoder().embed(&[&prompt.text, &answer.prompt]).unwrap();
        cosines += f64::from(cosine(both.row(0), both.row(1)));
    }
    // Ten of 400 by chance are 1.5 of 60; two random prompts have a cosine of about 0.43 (0.658 squared).
    assert!(among_10 >= 40, "{among_10} of 60");
    assert!(cosines / 60.0 > 0.75, "{}", cosines / 60.0);
}

#[test]
fn more_prompts_are_ranked_than_one_source_brings() {
    let World {
        prompts, reverser, ..
    } = world(400);
    let images = [prompts[0].render()];
    let prediction = &reverser.predictor().predict(&images).unwrap()[0];
    let options = ReverseOptions {
        k: 1000,
        ..ReverseOptions::default()
    };
    let found = reverser.candidates(prediction, &options).unwrap();
    assert!(
        (101..=200).contains(&found.hits.len()),
        "{}",
        found.hits.len()
    );
    assert_eq!(found.hits.len(), found.evidence.len());
    let texts: Vec<&str> = found.hits.iter().map(|hit| hit.prompt.as_str()).collect();
    let rows = encoder().embed(&texts).unwrap();
    for (row, evidence) in rows.rows().zip(&found.evidence) {
        // The index rounds its vectors, and texts embedded together round otherwise than each alone.
        assert!((evidence.vector - cosine(&prediction.embedding, row)).abs() < 1e-3);
        assert!(evidence.likelihood.is_some());
    }
    let answer = reverser.look_up("", prediction, &options).unwrap();
    assert!(answer.hits.len() > found.hits.len() && answer.hits.len() <= 400);
    assert!(
        answer
            .hits
            .iter()
            .zip(1..)
            .all(|(hit, rank)| hit.rank == rank)
    );
    let (ranked, others) = answer.hits.split_at(found.hits.len());
    assert!(
        ranked
            .iter()
            .map(|hit| hit.score)
            .is_sorted_by(|a, b| a >= b)
    );
    assert!((ranked.iter().map(|hit| hit.score).sum::<f32>() - 1.0).abs() < 1e-3);
    assert!(others.iter().all(|hit| hit.score == 0.0));
    for hit in &found.hits {
        assert!(ranked.iter().any(|it| it.id == hit.id));
    }
}

#[test]
fn many_images_are_predicted_as_each_alone() {
    let images: Vec<_> = Prompts::new(5, Split::Test)
        .take(35)
        .map(|prompt| prompt.render())
        .collect();
    let predictor = predictor();
    let together = predictor.predict(&images).unwrap();
    assert_eq!(together.len(), images.len());
    for (image, together) in images.iter().zip(&together) {
        let alone = &predictor.predict(std::slice::from_ref(image)).unwrap()[0];
        assert!(cosine(&alone.embedding, &together.embedding) > 0.99999);
        assert_eq!(alone.words[0].0, together.words[0].0);
    }
}

#[test]
fn a_file_that_carries_its_prompt_is_answered_by_it() {
    let World {
        prompts, reverser, ..
    } = world(20);
    let text = "a cat, oil painting\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";
    let bytes = with_text(&png(&prompts[0]), "parameters", text);
    let options = ReverseOptions::default();
    let answer = reverser.reverse("a.png", &bytes, &options).unwrap();
    assert_eq!(
        (answer.verdict, answer.confidence),
        (Verdict::Embedded, 1.0)
    );
    assert_eq!(answer.prompt, "a cat, oil painting");
    let embedded = answer.embedded.unwrap();
    assert_eq!((embedded.steps, embedded.seed), (Some(20), Some(5)));
    assert_eq!(embedded.negative_prompt.as_deref(), Some("dog"));
    assert!(!answer.hits.is_empty());

    let without = ReverseOptions {
        use_metadata: false,
        ..options
    };
    let answer = reverser.reverse("a.png", &bytes, &without).unwrap();
    assert_ne!(answer.verdict, Verdict::Embedded);
    assert!(answer.embedded.is_none());
}

#[test]
fn where_the_truth_is_not_in_the_index_a_prompt_is_put_together() {
    let World {
        prompts,
        reverser,
        _folder: folder,
    } = world(400);
    drop(reverser);
    // The built-in model, and a confidence that has every hit give way.
    let model = folder.path().join("model");
    let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vit");
    std::fs::create_dir(&model).unwrap();
    for file in [
        "config.json",
        "model.safetensors",
        "vocabulary.txt",
        "residuals.safetensors",
    ] {
        std::fs::copy(assets.join(file), model.join(file)).unwrap();
    }
    let steps = serde_json::json!([{"score": 0.5, "share": 0.1}, {"score": 1, "share": 0.6}]);
    let judged_by = |cosine: u8, made: u8| {
        serde_json::json!({
            "cosine": cosine, "share": 0, "likelihood": 0, "words": 0, "made": made, "steps": steps,
        })
    };
    let calibration = judged_by(1, 0);
    let confidence = serde_json::json!({
        "fitted_on": "test",
        "ranking": {"vector": 45, "kernel": null, "words": 0.2},
        "same": calibration,
        "exact": calibration,
        "reconstruction": {"below": 2, "same": judged_by(0, 1)},
    });
    std::fs::write(model.join("confidence.json"), confidence.to_string()).unwrap();
    let index = Index::open(&folder.path().join("index")).unwrap();
    let predictor = Predictor::open(model.to_str().unwrap(), &Device::Cpu).unwrap();
    let reverser = Reverser::new(index, predictor).unwrap();
    let reverser = reverser.with_sentences(Arc::new(new_encoder())).unwrap();

    let others: Vec<_> = Prompts::new(78, Split::Test)
        .filter(|other| prompts.iter().all(|prompt| prompt.meaning != other.meaning))
        .take(12)
        .collect();
    let options = ReverseOptions {
        reconstruct: Duration::from_secs(5),
        ..ReverseOptions::default()
    };
    let (mut hit, mut made) = (0.0, 0.0);
    for prompt in &others {
        let answer = reverser.reverse("a.png", &png(prompt), &options).unwrap();
        assert_eq!(answer.verdict, Verdict::Reconstructed);
        let reconstruction = answer.reconstruction.as_ref().unwrap();
        assert!((answer.confidence - (reconstruction.cosine - 0.4)).abs() < 1e-4);
        assert_eq!(reconstruction.prompt, answer.prompt);
        let best = answer.hits.iter().filter_map(|hit| hit.scores.vector);
        assert!(reconstruction.cosine >= best.fold(0.0, f32::max) - 0.01);
        assert!(answer.phrases.iter().all(|phrase| !phrase.from.is_empty()));
        let texts = [&prompt.text, &answer.hits[0].prompt, &answer.prompt];
        let rows = encoder().embed(&texts).unwrap();
        hit += cosine(rows.row(0), rows.row(1));
        made += cosine(rows.row(0), rows.row(2));
    }
    assert!(made > hit, "{made} {hit}");

    let in_no_time = ReverseOptions {
        reconstruct: Duration::ZERO,
        ..options
    };
    let answer = reverser
        .reverse("a.png", &png(&others[0]), &in_no_time)
        .unwrap();
    assert!(answer.reconstruction.is_none());
    assert_eq!(answer.prompt, answer.hits[0].prompt);
}

#[test]
fn bytes_that_are_no_image_are_errors() {
    let World {
        prompts, reverser, ..
    } = world(20);
    let whole = png(&prompts[0]);
    let options = ReverseOptions::default();
    for bytes in [&b""[..], b"not an image", &whole[..whole.len() / 2]] {
        let error = reverser.reverse("x", bytes, &options).unwrap_err();
        assert!(matches!(error, Error::ImageDecode { .. }), "{error}");
    }
}

#[test]
fn an_index_of_another_encoder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let other = Encoder {
        name: "other".into(),
        digest: "0".into(),
        dim: 384,
    };
    let writer = Writer::create(&dir, other, BuildOptions::default()).unwrap();
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap();
    let error = Reverser::new(Index::open(&dir).unwrap(), predictor())
        .err()
        .unwrap();
    assert!(matches!(error, Error::EncoderMismatch { .. }), "{error}");
    assert!(error.to_string().contains("all-MiniLM-L6-v2"), "{error}");
}

#[test]
fn an_empty_index_gives_an_empty_answer() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let go_on = &mut |_| ControlFlow::Continue(());
    indexing::build(vec![], &dir, encoder(), go_on).unwrap();
    let reverser = Reverser::new(Index::open(&dir).unwrap(), predictor()).unwrap();
    let prompt = Prompts::new(1, Split::Test).next().unwrap();
    let answer = reverser
        .reverse("x", &png(&prompt), &ReverseOptions::default())
        .unwrap();
    assert_eq!(
        (answer.prompt.as_str(), answer.verdict),
        ("", Verdict::Unsure)
    );
    assert_eq!(answer.confidence, 0.0);
}

#[test]
fn images_of_another_world_are_answered_unsure() {
    let World {
        prompts,
        reverser,
        _folder,
    } = world(400);
    let reverser = reverser.with_sentences(Arc::new(new_encoder())).unwrap();
    let familiarity = reverser.predictor().familiarity().unwrap();
    let knows = |image: RgbImage| {
        let prediction = &reverser.predictor().predict(&[image]).unwrap()[0];
        familiarity.knows(&prediction.embedding)
    };
    let strangers = elsewhere::images(40, 1);
    let options = ReverseOptions {
        always_reconstruct: true,
        ..ReverseOptions::default()
    };
    let answer = reverser
        .reverse_pixels("a.png", &prompts[0].render(), &options)
        .unwrap();
    assert!(answer.reconstruction.is_some());
    for stranger in &strangers {
        let answer = reverser
            .reverse_pixels("a.png", stranger, &options)
            .unwrap();
        if !knows(stranger.clone()) {
            assert_eq!((answer.verdict, answer.confidence), (Verdict::Unsure, 0.0));
            assert!(answer.reconstruction.is_none() && !answer.prompt.is_empty());
        }
    }
    let known = strangers.into_iter().filter(|it| knows(it.clone())).count();
    assert!(known <= 4, "{known} of 40 strangers are known");
    let known = prompts[..50].iter().filter(|it| knows(it.render())).count();
    assert!(known >= 45, "{known} of 50 images are known");
}

#[test]
fn the_answer_is_made_an_image_again() {
    let World {
        prompts, reverser, ..
    } = world(20);
    let generator = TextToImage::open("pocket", &Device::Cpu).unwrap();
    let options = GenerateOptions {
        steps: 8,
        ..GenerateOptions::POCKET
    };
    let order = Order {
        prompt: prompts[0].text.clone(),
        negative_prompt: String::new(),
        seed: 77,
        options: GenerateOptions {
            sampler: SamplerKind::Euler,
            ..options
        },
    };
    let original = generator
        .generate(&[order], Some(encoder()))
        .unwrap()
        .remove(0);
    let mut png = Cursor::new(vec![]);
    original.write_to(&mut png, ImageFormat::Png).unwrap();
    let how = "Steps: 8, Sampler: k_euler, CFG scale: 3, Seed: 77";
    let text = format!("{}\n{how}", prompts[0].text);
    let bytes = with_text(png.get_ref(), "parameters", &text);
    let answer = reverser
        .reverse("a.png", &bytes, &ReverseOptions::default())
        .unwrap();
    let verifier = Verifier::new(generator, options, 2);
    let made = verifier
        .verify(&original, &answer, reverser.predictor(), Some(encoder()))
        .unwrap();
    assert_eq!(made.len(), 2);
    assert_eq!(made[0].seed, 77);
    assert!(made[0].cosine > 0.9999, "{}", made[0].cosine);
    assert_eq!(made[0].image, original);
    assert!(made[1].cosine < made[0].cosine);
}

#[test]
fn an_answer_does_not_depend_on_how_many_hits_are_asked_for() {
    let World {
        prompts,
        reverser,
        _folder,
    } = world(400);
    let ask = |k| {
        let options = ReverseOptions {
            k,
            ..ReverseOptions::default()
        };
        let pixels = prompts[3].render();
        reverser.reverse_pixels("a.png", &pixels, &options).unwrap()
    };
    let (none, some, all) = (ask(0), ask(10), ask(300));
    assert_eq!(
        (none.hits.len(), some.hits.len(), all.hits.len()),
        (0, 10, 300)
    );
    for answer in [&none, &all] {
        assert_eq!(
            (&answer.prompt, answer.confidence),
            (&some.prompt, some.confidence)
        );
    }
    assert_eq!(all.hits[..10], some.hits);
    let ranks = all.hits.iter().map(|hit| hit.rank);
    assert!(ranks.eq(1..=300));
}
