//! Every variable of every trainable network learns.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt::diffusion::context::Context;
use unprompt::diffusion::unet::UNet;
use unprompt::diffusion::unet::config::{DownBlockType, PerLevel, UNetConfig, UpBlockType};
use unprompt::diffusion::vae::CodecConfig;
use unprompt::diffusion::vae::autoencoder::{AutoencoderConfig, AutoencoderKl};
use unprompt::image::clip::{ClipConfig, ClipVisionConfig};
use unprompt::image::encoders::{ENCODERS, EncoderConfig};
use unprompt::image::preprocess::Preprocess;
use unprompt::image::swin::SwinConfig;
use unprompt::image::unet::{CaptionerConfig, UNetEncoderConfig, WordsConfig};
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
        mask: -200.0,
    });
    let unet = EncoderConfig::UNet(UNetEncoderConfig {
        unet: UNetConfig {
            sample_size: 8,
            ..unet_config()
        },
        vae: CodecConfig::AutoencoderKl(autoencoder_config()),
        captioner: CaptionerConfig::Words(WordsConfig {
            encoder: Box::new(vit(Activation::Gelu)),
            embedding: DIM,
            vocabulary: 5,
            words: 2,
            context: 6,
        }),
        pool: 2,
    });
    vec![
        vit(Activation::GeluTanh),
        vit(Activation::Gelu),
        clip(false),
        clip(true),
        swin,
        unet,
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
        let network = Network::new(&config(encoder), WORDS, &vb, Path::new("")).unwrap();
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

/// Asserts that every variable has a gradient, and that the loss rises by its length along it.
fn confirm(network: &str, vars: &[(String, Var)], loss: &dyn Fn() -> Tensor) {
    let gradients = loss().backward().unwrap();
    for (name, var) in vars {
        let gradient = gradients
            .get(var)
            .unwrap_or_else(|| panic!("{name} has no gradient"));
        let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        // A key's bias shifts all scores of a query alike, which softmax does not see.
        let cancels = ["attention.key.bias", "self_attn.k_proj.bias", "to_k.bias"]
            .iter()
            .any(|key| name.ends_with(key));
        if cancels {
            continue;
        }
        let largest = gradient.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(largest > 1e-7, "the gradient of {network}, {name} is zero");
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
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        // Large enough against the rounding of the loss, small enough against its curvature.
        let step = (2e-4 / length).clamp(2e-5, 0.3);
        let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
        loss_at(0.0);
        assert!(
            (slope - length).abs() < 0.05 * length + 2e-4,
            "{network}, {name}: gradient of length {length}, finite difference {slope}"
        );
    }
}

/// The whole U-Net and the autoencoder, at tiny sizes.
#[test]
fn so_do_those_of_diffusion_models() {
    let random = |shape: &[usize], seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    // Away from the zeros that the last layers of blocks start at.
    let vars = |parameters: &Parameters| {
        let vars = parameters.all();
        for (number, (_, var)) in vars.iter().enumerate() {
            let moved = (random(var.dims(), number as u64) * 0.1).unwrap();
            var.set(&(var.as_tensor() + moved).unwrap()).unwrap();
        }
        vars
    };
    let error = |found: &Tensor, wanted: &Tensor| {
        let squares = (found - wanted).unwrap().sqr().unwrap();
        squares.mean_all().unwrap()
    };

    let parameters = Parameters::new(3);
    let unet = UNet::new(&unet_config(), &parameters.builder(&Device::Cpu)).unwrap();
    let (latents, wanted) = (random(&[2, 3, 4, 4], 100), random(&[2, 3, 4, 4], 101));
    let states: Vec<f32> = random(&[48], 102).to_vec1().unwrap();
    let context = Context::padded(&[&states[..30], &states[30..]], 6, &Device::Cpu).unwrap();
    confirm("the U-Net", &vars(&parameters), &|| {
        let found = unet.forward(&latents, &[40.0, 700.0], &context).unwrap();
        error(&found, &wanted)
    });

    let parameters = Parameters::new(4);
    let config = AutoencoderConfig {
        mid_block_add_attention: true,
        ..autoencoder_config()
    };
    let autoencoder = AutoencoderKl::new(&config, &parameters.builder(&Device::Cpu)).unwrap();
    let (pixels, noise) = (random(&[2, 3, 8, 8], 103), random(&[2, 4, 4, 3], 104));
    let wanted = pixels.permute((0, 2, 3, 1)).unwrap();
    confirm("the autoencoder", &vars(&parameters), &|| {
        let posterior = autoencoder.posterior(&pixels).unwrap();
        let found = autoencoder
            .reconstruct(&posterior.sample(&noise).unwrap())
            .unwrap();
        let divergence = (posterior.divergence().unwrap() * 0.1).unwrap();
        (error(&found, &wanted) + divergence).unwrap()
    });
}

fn unet_config() -> UNetConfig {
    UNetConfig {
        sample_size: 4,
        block_out_channels: vec![4, 8],
        down_block_types: vec![DownBlockType::CrossAttention, DownBlockType::Plain],
        up_block_types: vec![UpBlockType::Plain, UpBlockType::CrossAttention],
        attention_head_dim: PerLevel::Same(2),
        norm_num_groups: 2,
        ..UNetConfig::pocket(3, 6)
    }
}

fn autoencoder_config() -> AutoencoderConfig {
    AutoencoderConfig {
        latent_channels: 3,
        block_out_channels: vec![4, 8],
        norm_num_groups: 2,
        ..AutoencoderConfig::pocket()
    }
}

#[test]
fn every_variable_has_a_gradient_that_finite_differences_confirm() {
    let mut covered = BTreeSet::new();
    for encoder in encoders() {
        let encoder_name = encoder.name();
        covered.insert(encoder_name);
        let problem = Problem::new(encoder);
        let (learnt, frozen): (Vec<_>, Vec<_>) = problem
            .vars
            .iter()
            .cloned()
            .partition(|(name, _)| problem.network.trains(name));
        let gradients = problem.loss().backward().unwrap();
        assert!(frozen.is_empty() || ["clip", "unet"].contains(&encoder_name));
        for (name, var) in &frozen {
            assert!(gradients.get(var).is_none(), "{name} has a gradient");
        }
        assert!(learnt.len() > 10, "{}", learnt.len());
        confirm(encoder_name, &learnt, &|| problem.loss());
    }
    let known: BTreeSet<_> = ENCODERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(covered, known, "every encoder stands here");
}

#[test]
fn equal_seeds_start_equal_networks() {
    let start = |encoder: &EncoderConfig, seed| {
        let parameters = Parameters::new(seed);
        let vb = parameters.builder(&Device::Cpu);
        let network = Network::new(&config(encoder.clone()), WORDS, &vb, Path::new("")).unwrap();
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
        let network = Network::new(&config(encoder), WORDS, &vb, Path::new(""));
        let error = unprompt::weights::failed(file.path(), network.err().unwrap());
        assert!(error.to_string().contains("encoder."), "{error}");
    }
}
