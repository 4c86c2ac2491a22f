//! Every variable of every trainable network learns.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt::image::clip::{ClipConfig, ClipVisionConfig};
use unprompt::image::encoders::{ENCODERS, EncoderConfig};
use unprompt::image::preprocess::Preprocess;
use unprompt::image::swin::SwinConfig;
use unprompt::image::vit::VitConfig;
use unprompt::nn::mlp::Activation;
use unprompt::predictor::config::PredictorConfig;
use unprompt::predictor::network::Network;
use unprompt::text::EncoderIdentity;
use unprompt::train::loss::JointLoss;
use unprompt::train::parameters::Parameters;

const DIM: usize = 12;
const WORDS: usize = 7;
const BATCH: usize = 3;

const SIDE: usize = 16;

/// Each encoder at tiny sizes, with each non-linearity.
fn encoders() -> Vec<EncoderConfig> {
    let vit = |hidden_act| {
        EncoderConfig::Vit(VitConfig {
            image_size: SIDE,
            patch_size: 4,
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 16,
            hidden_act,
            layer_norm_eps: 1e-6,
        })
    };
    let clip = |frozen| {
        EncoderConfig::Clip(ClipConfig {
            vision_config: ClipVisionConfig {
                image_size: SIDE,
                patch_size: 4,
                hidden_size: 8,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                intermediate_size: 16,
                projection_dim: 6,
                hidden_act: Activation::QuickGelu,
                layer_norm_eps: 1e-5,
            },
            frozen,
            trunk_widths: vec![10, 9],
        })
    };
    // The first stage shifts its windows, the map of the second is one window.
    let swin = EncoderConfig::Swin(SwinConfig {
        image_size: SIDE,
        patch_size: 2,
        embed_dim: 8,
        depths: vec![2, 1],
        num_heads: vec![2, 4],
        window_size: 4,
        pretrained_window_sizes: vec![],
        mlp_ratio: 2.0,
        qkv_bias: true,
        hidden_act: Activation::GeluTanh,
        layer_norm_eps: 1e-5,
    });
    vec![
        vit(Activation::GeluTanh),
        vit(Activation::Gelu),
        clip(false),
        clip(true),
        swin,
    ]
}

fn config(encoder: EncoderConfig) -> PredictorConfig {
    PredictorConfig {
        preprocess: Preprocess::symmetric(SIDE),
        encoder,
        sentence_encoder: EncoderIdentity {
            name: "test".into(),
            sha256: String::new(),
            dim: DIM,
        },
    }
}

struct Problem {
    network: Network,
    vars: Vec<(String, Var)>,
    pixels: Tensor,
    embedding: Tensor,
    words: Tensor,
}

impl Problem {
    fn new(encoder: EncoderConfig) -> Self {
        let device = Device::Cpu;
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut tensor = |shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
            Tensor::from_vec(values, shape, &device).unwrap()
        };
        let parameters = Parameters::new(11);
        let vb = parameters.builder(&device);
        let network = Network::new(&config(encoder), WORDS, &vb).unwrap();
        // Away from the zeros that biases start at, where a rectifier has no derivative.
        for (_, var) in parameters.all() {
            let moved = (var.as_tensor() + (tensor(var.dims()) * 0.1).unwrap()).unwrap();
            var.set(&moved).unwrap();
        }
        let embedding = tensor(&[BATCH, DIM]);
        let norm = embedding
            .sqr()
            .unwrap()
            .sum_keepdim(1)
            .unwrap()
            .sqrt()
            .unwrap();
        Self {
            network,
            vars: parameters.all(),
            pixels: tensor(&[BATCH, 3, SIDE, SIDE]),
            embedding: embedding.broadcast_div(&norm).unwrap(),
            words: tensor(&[BATCH, WORDS])
                .ge(0f32)
                .unwrap()
                .to_dtype(DType::F32)
                .unwrap(),
        }
    }

    fn loss(&self) -> Tensor {
        let output = self.network.forward(&self.pixels).unwrap();
        JointLoss::new(&output, &self.embedding, Some(&self.words))
            .unwrap()
            .total()
            .unwrap()
    }
}

#[test]
fn every_variable_has_a_gradient_that_finite_differences_confirm() {
    let mut covered = BTreeSet::new();
    for encoder in encoders() {
        let encoder_name = encoder.name();
        covered.insert(encoder_name);
        let problem = Problem::new(encoder);
        let gradients = problem.loss().backward().unwrap();
        assert!(problem.vars.len() > 30, "{}", problem.vars.len());
        for (name, var) in &problem.vars {
            if !problem.network.trains(name) {
                assert_eq!(encoder_name, "clip", "{name} is frozen");
                assert!(gradients.get(var).is_none(), "{name} has a gradient");
                continue;
            }
            let gradient = gradients
                .get(var)
                .unwrap_or_else(|| panic!("{name} has no gradient"));
            let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
            // A key's bias shifts all scores of a query alike, which softmax does not see.
            let cancels = ["attention.key.bias", "self_attn.k_proj.bias"]
                .iter()
                .any(|key| name.ends_with(key));
            let largest = gradient.iter().fold(0f32, |a, b| a.max(b.abs()));
            assert!(cancels || largest > 1e-7, "the gradient of {name} is zero");

            if cancels {
                continue;
            }
            // Along the gradient the loss rises by its length: no component can hide.
            let length = gradient
                .iter()
                .map(|g| f64::from(*g).powi(2))
                .sum::<f64>()
                .sqrt();
            let start: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
            let loss_at = |shift: f64| {
                let along = |(x, g): (&f32, &f32)| x + (shift * f64::from(*g) / length) as f32;
                let moved: Vec<f32> = start.iter().zip(&gradient).map(along).collect();
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap())
                    .unwrap();
                f64::from(problem.loss().to_scalar::<f32>().unwrap())
            };
            // Large enough against the rounding of the loss, small enough against its curvature.
            let step = (2e-4 / length).clamp(2e-5, 0.3);
            let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
            loss_at(0.0);
            assert!(
                (slope - length).abs() < 0.05 * length + 2e-4,
                "{encoder_name}, {name}: gradient of length {length}, finite difference {slope}"
            );
        }
    }
    let known: BTreeSet<_> = ENCODERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(covered, known, "every encoder stands here");
}

#[test]
fn equal_seeds_start_equal_networks() {
    let start = |encoder: &EncoderConfig, seed| {
        let parameters = Parameters::new(seed);
        let vb = parameters.builder(&Device::Cpu);
        let network = Network::new(&config(encoder.clone()), WORDS, &vb).unwrap();
        let pixels = Tensor::ones((1, 3, SIDE, SIDE), DType::F32, &Device::Cpu).unwrap();
        network
            .forward(&pixels)
            .unwrap()
            .embedding
            .to_vec2::<f32>()
            .unwrap()
    };
    for encoder in encoders() {
        assert_eq!(start(&encoder, 1), start(&encoder, 1));
        assert_ne!(start(&encoder, 1), start(&encoder, 2));
    }
}

#[test]
fn a_missing_weight_is_an_error_that_names_it() {
    let empty = VarMap::new();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors").unwrap();
    empty.save(file.path()).unwrap();
    let vb = unprompt::weights::open(file.path(), DType::F32, &Device::Cpu).unwrap();
    for encoder in encoders() {
        let network = Network::new(&config(encoder), WORDS, &vb);
        let error = unprompt::weights::failed(file.path(), network.err().unwrap());
        assert!(error.to_string().contains("encoder."), "{error}");
    }
}
