//! Image encoders against the reference, whose weights, configurations and figures
//! `tests/fixtures/encoders/make.py` wrote.

use std::fs;

use candle_core::{DType, Device, Tensor};
use serde::de::DeserializeOwned;
use unprompt::image::Architecture;
use unprompt::image::clip::{ClipConfig, ClipVisionConfig};
use unprompt::image::swin::SwinConfig;
use unprompt::image::vit::VitConfig;

use crate::support::fixture;

fn config<C: DeserializeOwned>(name: &str) -> C {
    let json = fs::read(fixture(&format!("encoders/{name}/config.json"))).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn agrees(name: &str, architecture: &dyn Architecture) {
    let folder = fixture("encoders").join(name);
    let weights = folder.join("model.safetensors");
    let vb = unprompt::weights::open(&weights, DType::F32, &Device::Cpu).unwrap();
    let encoder = architecture.build(vb).unwrap();
    let example = folder.join("example.safetensors");
    let example = candle_core::safetensors::load(example, &Device::Cpu).unwrap();
    assert_eq!(example["pixels"].dim(3).unwrap(), architecture.side());
    let found = encoder.forward(&example["pixels"]).unwrap();
    let expected = &example["features"];
    assert_eq!(found.dims(), expected.dims());
    assert_eq!(found.dim(1).unwrap(), encoder.width());
    let length = |x: &Tensor| -> f32 {
        let squares = x.sqr().unwrap().sum_all().unwrap();
        squares.to_scalar::<f32>().unwrap().sqrt()
    };
    let error = length(&(&found - expected).unwrap()) / length(expected);
    println!("{name}: relative error {error:.1e}");
    assert!(error < 1e-4, "{name}: relative error {error}");
}

#[test]
fn vit_agrees_with_transformers() {
    agrees("vit", &config::<VitConfig>("vit"));
}

#[test]
fn clip_agrees_with_transformers() {
    let clip = ClipConfig {
        vision_config: config::<ClipVisionConfig>("clip"),
        frozen: true,
        trunk_widths: vec![],
    };
    agrees("clip", &clip);
}

#[test]
fn swin_agrees_with_transformers() {
    for name in ["swin", "swin-moved"] {
        agrees(name, &config::<SwinConfig>(name));
    }
}
