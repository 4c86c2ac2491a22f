//! The main job, with the built-in model.

use std::io::Cursor;
use std::ops::ControlFlow;

use candle_core::Device;
use image::ImageFormat;
use unprompt::indexing;
use unprompt::pocket::{PocketPrompt, Prompts, Split};
use unprompt::predictor::Predictor;
use unprompt::reverse::{ReverseOptions, Reverser, Verdict};
use unprompt::{Error, text::cosine};
use unprompt_index::{BuildOptions, Encoder, Index, Writer};

use crate::support::encoder;

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
        assert_eq!(answer.verdict == Verdict::Near, answer.confidence >= 0.5);
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
