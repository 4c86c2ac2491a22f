//! The diffusion networks against diffusers, on tiny random checkpoints in the published layout
//! (tests/fixtures/make_diffusion.py).

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use unprompt::diffusion::context::Context;
use unprompt::diffusion::unet::UNet;
use unprompt::diffusion::unet::encoder::UNetEncoder;
use unprompt::diffusion::vae::LatentCodec;
use unprompt::diffusion::vae::autoencoder::AutoencoderKl;

struct Fixture {
    config: String,
    tensors: HashMap<String, Tensor>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(format!("diffusion_{name}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        Self {
            config: header.metadata().as_ref().unwrap()["config"].clone(),
            tensors: candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap(),
        }
    }

    fn config<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.config).unwrap()
    }

    fn weights(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &Device::Cpu).pp("model")
    }

    fn expect(&self, name: &str, found: &Tensor) {
        let expected = &self.tensors[name];
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let largest =
            |x: Tensor| -> f32 { x.abs().unwrap().max_all().unwrap().to_scalar().unwrap() };
        let error = largest((found - expected).unwrap()) / largest(expected.clone());
        assert!(error < 1e-5, "{name}: relative error {error}");
    }
}

/// The second text of the fixtures has three tokens, the first five.
fn context(fixture: &Fixture) -> Context {
    let states: Vec<f32> = fixture.tensors["states"]
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap();
    Context::padded(&[&states[..30], &states[30..48]], 6, &Device::Cpu).unwrap()
}

#[test]
fn unets_are_those_of_the_reference_stage_by_stage() {
    for name in ["unet_sd1", "unet_sd2"] {
        let fixture = Fixture::open(name);
        let (sample, steps) = (&fixture.tensors["sample"], [0.0, 730.0]);
        let encoder = UNetEncoder::new(&fixture.config(), &fixture.weights()).unwrap();
        let encoded = encoder.forward(sample, &steps, &context(&fixture)).unwrap();
        let bottom = encoded.bottom.permute((0, 3, 1, 2)).unwrap();
        fixture.expect("stage.2", &bottom);
        let unet = UNet::new(&fixture.config(), &fixture.weights()).unwrap();
        let output = unet.forward(sample, &steps, &context(&fixture)).unwrap();
        fixture.expect("output", &output);
    }
}

#[test]
fn autoencoders_are_those_of_the_reference() {
    for name in ["vae_attention", "vae_plain"] {
        let fixture = Fixture::open(name);
        let vae = AutoencoderKl::new(&fixture.config(), &fixture.weights()).unwrap();
        let latents = vae.encode(&fixture.tensors["pixels"]).unwrap();
        fixture.expect("latents", &latents);
        fixture.expect("decoded", &vae.decode(&latents).unwrap());
        assert_eq!((vae.channels(), vae.factor()), (3, 2));
    }
}
