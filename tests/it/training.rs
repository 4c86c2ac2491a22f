//! The training loop on a handful of pocket images.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use unprompt::Error;
use unprompt::image::encoders::EncoderConfig;
use unprompt::image::preprocess::Preprocess;
use unprompt::image::vit::VitConfig;
use unprompt::matmul::Precision;
use unprompt::nn::mlp::Activation;
use unprompt::pocket::{Prompts, Split};
use unprompt::predictor::config::PredictorConfig;
use unprompt::predictor::network::Network;
use unprompt::text::EncoderIdentity;
use unprompt::train::fit::{Fit, FitOptions, FitOutcome};
use unprompt::train::joint::JointTask;
use unprompt::train::parameters::Parameters;
use unprompt::train::set::PocketSet;

const DIM: usize = 16;
const WORDS: usize = 16;

fn config() -> PredictorConfig {
    let vit = VitConfig {
        image_size: 64,
        patch_size: 16,
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 64,
        hidden_act: Activation::GeluTanh,
        layer_norm_eps: 1e-6,
    };
    PredictorConfig {
        preprocess: Preprocess::symmetric(64),
        encoder: EncoderConfig::Vit(vit),
        sentence_encoder: EncoderIdentity {
            name: "test".into(),
            sha256: String::new(),
            dim: DIM,
        },
    }
}

/// Targets that stand for the time of day, which colours the whole picture.
fn set(split: Split, count: usize) -> PocketSet {
    let prompts: Vec<_> = Prompts::new(3, split).take(count).collect();
    let mut embeddings = vec![0f32; count * DIM];
    let mut words = vec![];
    for (prompt, row) in prompts.iter().zip(embeddings.chunks_exact_mut(DIM)) {
        row[prompt.meaning.time as usize] = 1.0;
        words.push(vec![prompt.meaning.time as u32]);
    }
    PocketSet::new(prompts, embeddings, words)
}

fn options() -> FitOptions {
    FitOptions {
        epochs: 4,
        batch_size: 32,
        learning_rate: 3e-3,
        warmup_steps: 5,
        threads: 2,
        average: Some(0.9),
        checkpoint_every: 1000,
        ..FitOptions::default()
    }
}

/// Trains in `folder` for `stop_after` steps; the variables then.
fn train(
    folder: &Path,
    resume: bool,
    stop_after: usize,
    options: FitOptions,
) -> (Result<FitOutcome, Error>, Vec<Tensor>) {
    let (device, config) = (Device::Cpu, config());
    let parameters = Parameters::new(9);
    let network =
        Network::new(&config, WORDS, &parameters.builder(&device), Path::new("")).unwrap();
    let (training, validation) = (set(Split::Train, 320), set(Split::Validation, 96));
    let task = JointTask::new(
        &network,
        &config.preprocess,
        &device,
        &training,
        &validation,
    );
    let mut fit = Fit::new(&task, parameters.all(), &device, options, "test".into()).unwrap();
    let outcome = fit.run(
        folder,
        resume,
        &mut |progress| {
            if progress.step == stop_after {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
        &mut |_| Ok(()),
    );
    let vars = parameters
        .all()
        .into_iter()
        .map(|(_, var)| var.as_detached_tensor())
        .collect();
    (outcome, vars)
}

#[test]
fn learns_and_resumes_exactly_where_it_stopped() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (outcome, vars) = train(whole.path(), false, usize::MAX, options());
    // Four times of day: knowing nothing comes to 0.5.
    assert!(outcome.unwrap().best_score > 0.7);

    let (stopped, _) = train(parts.path(), false, 20, options());
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let (resumed, resumed_vars) = train(parts.path(), true, usize::MAX, options());
    assert!(resumed.unwrap().best_score > 0.7);
    for (a, b) in vars.iter().zip(&resumed_vars) {
        let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        assert_eq!(difference.max(0).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
    let log = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("training.csv")).unwrap();
        // All but the last column, which is the speed.
        let rows = text
            .lines()
            .map(|line| line.rsplit_once(',').unwrap().0.to_owned());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(log(whole.path()), log(parts.path()));
    assert!(whole.path().join("training.svg").is_file());
}

#[test]
fn another_run_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (stopped, _) = train(folder.path(), false, 1, options());
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let other = FitOptions {
        learning_rate: 1e-3,
        ..options()
    };
    let (outcome, _) = train(folder.path(), true, usize::MAX, other);
    assert!(matches!(outcome, Err(Error::OtherRun { .. })));
}

/// Within an epoch the log begins a line anew, but the weights are the same.
#[test]
fn a_run_that_stops_within_an_epoch_goes_on_there() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, vars) = train(whole.path(), false, usize::MAX, options());
    let (stopped, _) = train(parts.path(), false, 13, options());
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let (_, resumed) = train(parts.path(), true, usize::MAX, options());
    for (a, b) in vars.iter().zip(&resumed) {
        let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        assert_eq!(difference.max(0).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}

#[test]
fn a_run_that_no_longer_gets_better_ends() {
    let folder = tempfile::tempdir().unwrap();
    let still = FitOptions {
        learning_rate: 0.0,
        min_learning_rate: 0.0,
        // A mean of equal weights is equal but for rounding, which would count as better.
        average: None,
        patience: Some(2),
        ..options()
    };
    let (outcome, _) = train(folder.path(), false, usize::MAX, still);
    // The first epoch is the best, two more bring nothing; each has ten steps.
    assert_eq!(outcome.unwrap().steps, 30);
}

#[test]
fn mixed_precision_changes_steps_a_little() {
    let [full, mixed] = [Precision::Full, Precision::Mixed].map(|precision| {
        let folder = tempfile::tempdir().unwrap();
        let options = FitOptions {
            precision,
            ..options()
        };
        let (outcome, vars) = train(folder.path(), false, usize::MAX, options);
        let flat: Vec<Tensor> = vars.iter().map(|var| var.flatten_all().unwrap()).collect();
        let values: Vec<f32> = Tensor::cat(&flat, 0).unwrap().to_vec1().unwrap();
        (outcome.unwrap().best_score, values)
    });
    assert!((full.0 - mixed.0).abs() < 0.03, "{} {}", full.0, mixed.0);
    let pairs = || full.1.iter().zip(&mixed.1);
    let difference: f32 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let size: f32 = full.1.iter().map(|a| a.powi(2)).sum();
    let share = (difference / size).sqrt();
    assert!(share > 1e-5 && share < 0.2, "{share}");
}

#[test]
fn pieces_of_a_batch_come_to_the_same_step() {
    let after = |accumulate, steps| {
        let folder = tempfile::tempdir().unwrap();
        let options = FitOptions {
            accumulate,
            ..options()
        };
        let (outcome, vars) = train(folder.path(), false, steps, options);
        assert!(matches!(outcome, Err(Error::Cancelled)));
        vars
    };
    let apart = |a: &[Tensor], b: &[Tensor]| -> f32 {
        let sum = |(a, b): (&Tensor, &Tensor)| -> f32 {
            let difference = (a - b).unwrap().abs().unwrap();
            difference.sum_all().unwrap().to_scalar().unwrap()
        };
        a.iter().zip(b).map(sum).sum()
    };
    // 16 images a worker: 16, then 6, 6 and 4. A gradient of next to nothing may turn its sign by rounding, and
    // moves its weight as far as others, so that they are compared all together.
    let (first, whole) = (after(1, 1), after(1, 6));
    let (pieces, moved) = (after(3, 6), apart(&whole, &first));
    let apart = apart(&whole, &pieces);
    assert!(apart < 0.1 * moved, "{apart} of {moved}");
}
