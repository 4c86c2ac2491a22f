//! BLIP's text decoder: BERT (Devlin et al., 2019) that looks backwards only and, in each layer, at the image.
//! In (batch, tokens) and (batch, patches, image dim), out (batch, tokens, vocabulary).

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::Deserialize;

use crate::nn::attention::{Attention, backwards_only};
use crate::nn::linear::Linear;
use crate::nn::mlp::{Activation, Mlp};
use crate::nn::norm::LayerNorm;
use crate::nn::product::product;

/// Sizes of the decoder; the defaults of transformers where a file is silent.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct DecoderConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    pub(super) max_position_embeddings: usize,
    hidden_act: Activation,
    layer_norm_eps: f64,
    bos_token_id: u32,
    sep_token_id: u32,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 512,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-12,
            bos_token_id: 30_522,
            sep_token_id: 102,
        }
    }
}

/// The decoder.
pub(super) struct TextDecoder {
    words: Tensor,
    places: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    transform: Linear,
    activation: Activation,
    transform_norm: LayerNorm,
    /// (vocabulary, dim)
    output: Tensor,
    bias: Tensor,
    begin: u32,
    end: u32,
}

/// Attention to the text, then to the image, then a perceptron, each normalised after it and added to what came
/// in.
struct Layer {
    attention: Attention,
    attention_norm: LayerNorm,
    image: Attention,
    image_norm: LayerNorm,
    mlp: Mlp,
    mlp_norm: LayerNorm,
}

impl TextDecoder {
    /// `seen` is the length of the tokens of an image.
    pub(super) fn new(config: &DecoderConfig, seen: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, eps) = (config.hidden_size, config.layer_norm_eps);
        let bert = vb.pp("bert");
        let embeddings = bert.pp("embeddings");
        let table = |rows, name: &str| embeddings.pp(name).get((rows, dim), "weight");
        let words = table(config.vocab_size, "word_embeddings")?;
        let layers = bert.pp("encoder.layer");
        let predictions = vb.pp("cls.predictions");
        let transform = predictions.pp("transform");
        let bias = predictions.get(config.vocab_size, "bias")?;
        let decoder = predictions.pp("decoder");
        // Most checkpoints hold the words twice: as what goes in and as what comes out.
        let output = if decoder.contains_tensor("weight") {
            decoder.get((config.vocab_size, dim), "weight")?
        } else {
            words.clone()
        };
        let bias = if decoder.contains_tensor("bias") {
            decoder.get(config.vocab_size, "bias")?
        } else {
            bias
        };
        Ok(Self {
            places: table(config.max_position_embeddings, "position_embeddings")?,
            norm: LayerNorm::new(dim, eps, embeddings.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::new(config, seen, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            transform: Linear::new(dim, dim, transform.pp("dense"))?,
            activation: config.hidden_act,
            transform_norm: LayerNorm::new(dim, eps, transform.pp("LayerNorm"))?,
            words,
            output,
            bias,
            begin: config.bos_token_id,
            end: config.sep_token_id,
        })
    }

    /// The token that begins a text.
    pub(super) fn begin(&self) -> u32 {
        self.begin
    }

    /// The token that ends it.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Tokens of the longest text.
    pub(super) fn places(&self) -> usize {
        self.places.dims()[0]
    }

    /// How likely each token is after each, as logits.
    pub(super) fn forward(&self, ids: &Tensor, image: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let words = self.words.index_select(&ids.flatten_all()?, 0)?;
        let states = words
            .reshape((batch, tokens, ()))?
            .broadcast_add(&self.places.narrow(0, 0, tokens)?)?;
        let mut states = self.norm.forward(&states)?;
        let mask = backwards_only(tokens, ids.device())?;
        for layer in &self.layers {
            states = layer.forward(&states, image, &mask)?;
        }
        let states = self.activation.forward(&self.transform.forward(&states)?)?;
        let states = self.transform_norm.forward(&states)?.flatten_to(1)?;
        let logits = product(&states, &self.output.t()?)?;
        logits
            .broadcast_add(&self.bias)?
            .reshape((batch, tokens, ()))
    }
}

impl Layer {
    fn new(config: &DecoderConfig, seen: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, heads, eps) = (
            config.hidden_size,
            config.num_attention_heads,
            config.layer_norm_eps,
        );
        let norm = |vb: VarBuilder<'_>| LayerNorm::new(dim, eps, vb.pp("output.LayerNorm"));
        let (attention, image) = (vb.pp("attention"), vb.pp("crossattention"));
        let mlp = ["intermediate.dense", "output.dense"].map(|name| vb.pp(name));
        Ok(Self {
            attention_norm: norm(attention.clone())?,
            attention: Attention::new(dim, heads, projections(&attention))?,
            image_norm: norm(image.clone())?,
            image: Attention::to_source(dim, seen, heads, projections(&image))?,
            mlp: Mlp::new(dim, config.intermediate_size, config.hidden_act, mlp)?,
            mlp_norm: norm(vb.clone())?,
        })
    }

    fn forward(&self, x: &Tensor, image: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let attended = self.attention.forward_to(x, x, Some(mask))?;
        let x = self.attention_norm.forward(&(x + attended)?)?;
        let seen = self.image.forward_to(&x, image, None)?;
        let x = self.image_norm.forward(&(&x + seen)?)?;
        self.mlp_norm.forward(&(&x + self.mlp.forward(&x)?)?)
    }
}

/// Query, key, value and output.
fn projections<'a>(vb: &VarBuilder<'a>) -> [VarBuilder<'a>; 4] {
    ["self.query", "self.key", "self.value", "output.dense"].map(|name| vb.pp(name))
}
