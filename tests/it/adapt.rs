//! The domain-adaptive kernel against scikit-learn's `KernelRidge` (`tests/fixtures/make_adapt.py`), its
//! file, and what it is good for.

use std::ops::ControlFlow;

use candle_core::{DType, Device};
use unprompt::adapt::{AdaptOptions, Adaptation, FitRecord, SourceDomain};
use unprompt::text::cosine;

use crate::support::fixture;

fn fit(source: SourceDomain<'_>, targets: &[f32], dim: usize, options: AdaptOptions) -> Adaptation {
    Adaptation::fit(source, targets, dim, options, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

#[test]
fn agrees_with_scikit_learn() {
    for (name, gamma, alpha) in [("paper", 0.01, 10.0), ("steep", 4.0, 0.1)] {
        let path = fixture(&format!("adapt_{name}.safetensors"));
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let dim = tensors["source"].dim(1).unwrap();
        let rows = |name: &str| -> Vec<f32> {
            let rows = tensors[name].to_dtype(DType::F32).unwrap();
            rows.flatten_all().unwrap().to_vec1().unwrap()
        };
        let options = AdaptOptions {
            // Each prediction is a centroid.
            centroids: usize::MAX,
            gamma,
            alpha,
            seed: 1,
        };
        let (predictions, embeddings) = (rows("source"), rows("truth"));
        let source = SourceDomain {
            predictions: &predictions,
            embeddings: &embeddings,
        };
        let adaptation = fit(source, &rows("target"), dim, options);
        assert_eq!(adaptation.len(), 220);
        let answers: Vec<Vec<f64>> = tensors["answer"].to_vec2().unwrap();
        for (question, answer) in rows("question").chunks(dim).zip(&answers) {
            let found = adaptation.regress(question);
            let square = |row: &mut dyn Iterator<Item = f64>| row.map(|x| x * x).sum::<f64>();
            let off = square(&mut found.iter().zip(answer).map(|(a, b)| a - b));
            let error = (off / square(&mut answer.iter().copied())).sqrt();
            assert!(error < 1e-6, "{name}: {error:e}");
        }
    }
}

/// Unit vectors whose true embeddings are themselves turned: a model that errs the same way each time.
fn turned(count: usize, shift: usize) -> (Vec<f32>, Vec<f32>) {
    const DIM: usize = 16;
    let (mut predictions, mut truths) = (vec![], vec![]);
    for number in 0..count {
        let row: Vec<f32> = (0..DIM)
            .map(|place| ((shift + number * DIM + place * 7) as f32 * 1.7).sin())
            .collect();
        let norm = cosine(&row, &row).sqrt();
        let row: Vec<f32> = row.iter().map(|x| x / norm).collect();
        // Pairs of numbers turned by a sixth of a circle.
        for pair in row.chunks(2) {
            truths.extend([
                0.5 * pair[0] - 0.866 * pair[1],
                0.866 * pair[0] + 0.5 * pair[1],
            ]);
        }
        predictions.extend(row);
    }
    (predictions, truths)
}

#[test]
fn an_error_that_is_always_the_same_is_taken_back() {
    let ((predictions, embeddings), (targets, truths)) = (turned(400, 0), turned(100, 99_991));
    let source = SourceDomain {
        predictions: &predictions,
        embeddings: &embeddings,
    };
    let options = AdaptOptions {
        centroids: 300,
        gamma: 1.0,
        alpha: 0.1,
        seed: 1,
    };
    let adaptation = fit(source, &targets, 16, options);
    assert_eq!(adaptation.len(), 400);
    let (mut before, mut after) = (0.0, 0.0);
    for (target, truth) in targets.chunks(16).zip(truths.chunks(16)) {
        before += cosine(target, truth) / 100.0;
        after += cosine(&adaptation.apply(target), truth) / 100.0;
    }
    assert!((before - 0.5).abs() < 0.05, "{before}");
    assert!(after > 0.95, "{after}");

    let record = FitRecord {
        command: "unprompt adapt".into(),
        commit: "ab".into(),
        model: "cd".into(),
        source_images: 400,
        centroids: 300,
        target_images: 100,
        gamma: options.gamma,
        alpha: options.alpha,
        seed: options.seed,
    };
    let bytes = adaptation.to_bytes(&record).unwrap();
    let read = Adaptation::from_bytes(&bytes);
    assert_eq!(read, Ok((adaptation.clone(), record.clone())));
    let flat = FitRecord {
        gamma: 0.0,
        ..record
    };
    let flat = adaptation.to_bytes(&flat).unwrap();
    assert!(Adaptation::from_bytes(&flat).is_err());
    let mut infinite = bytes.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(Adaptation::from_bytes(&infinite).is_err());
    for cut in (0..bytes.len()).step_by(977) {
        assert!(Adaptation::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn nothing_is_adapted_from_nothing() {
    let (predictions, embeddings) = turned(3, 0);
    for (rows, targets) in [(0, 1), (1, 0)] {
        let source = SourceDomain {
            predictions: &predictions[..rows * 16],
            embeddings: &embeddings[..rows * 16],
        };
        let targets = &predictions[..targets * 16];
        let options = AdaptOptions::default();
        let fitted = Adaptation::fit(source, targets, 16, options, &mut |_| {
            ControlFlow::Continue(())
        });
        assert!(matches!(fitted, Err(unprompt::Error::NothingToAdapt)));
    }
}
