use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use candle_core::Device;
use unprompt::Error;
use unprompt::matmul::Precision;
use unprompt::text::Embeddings;

use crate::support::{cosine, encoder, fixture};

fn texts() -> Vec<String> {
    let json = fs::read(fixture("sentence/texts.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The reference's vectors, as `tests/fixtures/sentence/make.py` wrote them.
fn expected() -> Vec<Vec<f32>> {
    let path = fixture("sentence/expected.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors["embeddings"].to_vec2().unwrap()
}

fn least_cosine(a: &Embeddings, b: &Embeddings) -> f64 {
    assert_eq!(a.len(), b.len());
    a.rows()
        .zip(b.rows())
        .map(|(a, b)| cosine(a, b))
        .fold(1.0, f64::min)
}

#[test]
fn agrees_with_sentence_transformers() {
    let (texts, expected) = (texts(), expected());
    assert_eq!((texts.len(), expected.len()), (100, 100));
    let found = encoder().embed(&texts).unwrap();
    assert_eq!((found.len(), found.dim()), (100, 384));
    let mut worst = 1.0;
    for ((text, found), expected) in texts.iter().zip(found.rows()).zip(&expected) {
        let cosine = cosine(found, expected);
        assert!(cosine > 0.9999, "{cosine} for {text:?}");
        let norm: f32 = found.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm} for {text:?}");
        worst = f64::min(worst, cosine);
    }
    println!("worst cosine {worst:.9}");
}

#[test]
fn a_batch_gives_what_its_texts_give_alone_in_their_order() {
    let texts = texts();
    let encoder = encoder();
    let together = encoder.embed(&texts).unwrap();
    for (text, row) in texts.iter().zip(together.rows()) {
        let alone = encoder.embed(&[text]).unwrap();
        assert!(cosine(alone.row(0), row) > 0.999_999, "{text:?}");
    }
    let backwards: Vec<_> = texts.iter().rev().collect();
    let backwards = encoder.embed(&backwards).unwrap();
    let forwards: Vec<f32> = backwards.rows().rev().flatten().copied().collect();
    assert_eq!(forwards.len(), together.as_slice().len());
    for (a, b) in forwards.chunks(384).zip(together.rows()) {
        assert!(cosine(a, b) > 0.999_999);
    }
}

#[test]
fn threads_change_nothing() {
    let store = unprompt::models::ModelStore::from_env().unwrap();
    let whole = encoder().embed(&texts()).unwrap();
    let files = store.find("all-MiniLM-L6-v2").unwrap().unwrap();
    for threads in [1, 3] {
        let encoder =
            unprompt::text::SentenceEncoder::load(&files, &Device::Cpu, Precision::Full).unwrap();
        let encoder = encoder
            .with_threads(NonZeroUsize::new(threads).unwrap())
            .unwrap();
        assert!(least_cosine(&encoder.embed(&texts()).unwrap(), &whole) > 0.999_999);
    }
}

#[test]
fn a_long_run_tells_how_far_it_is_and_can_be_stopped() {
    let texts: Vec<_> = (0..60)
        .map(|n| format!("{n} red kites over a hill"))
        .collect();
    let mut heard = Vec::new();
    let rows = encoder().embed_with(&texts, |done| {
        heard.push(done);
        ControlFlow::Continue(())
    });
    assert_eq!(rows.unwrap().len(), 60);
    assert!(heard.is_sorted() && heard.len() > 2);
    assert_eq!(heard.last(), Some(&60));

    let stopped = encoder().embed_with(&texts, |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn no_texts_and_empty_texts_are_fine() {
    let none = encoder().embed::<&str>(&[]).unwrap();
    assert!(none.is_empty() && none.rows().len() == 0 && none.dim() == 384);
    let empty = encoder().embed(&["", "   "]).unwrap();
    assert_eq!(empty.row(0), empty.row(1));
}

#[test]
fn the_identity_is_the_published_model() {
    let identity = encoder().identity();
    assert_eq!(
        (identity.name.as_str(), identity.dim),
        ("all-MiniLM-L6-v2", 384)
    );
    assert!(identity.sha256.starts_with("53aa5117"));
}
