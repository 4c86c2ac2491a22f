//! BLIP's text decoder: BERT (Devlin et al., 2019) that looks backwards only and, in each layer, at the image. It writes
//! a token at a time, and keeps what it looks at: of the image, and of the tokens before.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::Deserialize;

use crate::nn::attention::{Attention, KeysValues};
use crate::nn::linear::Linear;
use crate::nn::mlp::{Activation, Mlp};
use crate::nn::norm::LayerNorm;

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
    /// From dim to the vocabulary.
    output: Linear,
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

/// Images, as each layer looks at them.
pub(super) struct Seen(Vec<KeysValues>);

/// Texts of one length in the making, as each layer looks at their tokens.
#[derive(Default)]
pub(super) struct Written {
    layers: Vec<KeysValues>,
    tokens: usize,
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
            output: Linear::of(output, bias),
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

    /// Looks at the tokens of images, (images, patches, image dim).
    pub(super) fn look(&self, images: &Tensor) -> Result<Seen> {
        let layers = self.layers.iter();
        let seen = layers.map(|layer| layer.image.source(images));
        Ok(Seen(seen.collect::<Result<_>>()?))
    }

    /// Writes one token behind each of the texts at `places` of those that `written` had, which it has from then on; how
    /// likely each token is next, as logits (texts, vocabulary). As many texts are of each image, in the order of these.
    pub(super) fn write(
        &self,
        written: &mut Written,
        places: &[u32],
        tokens: &[u32],
        images: &Seen,
    ) -> Result<Tensor> {
        let device = self.words.device();
        let places = Tensor::new(places, device)?;
        let words = self.words.index_select(&Tensor::new(tokens, device)?, 0)?;
        let place = self.places.narrow(0, written.tokens, 1)?;
        let states = words.broadcast_add(&place)?.unsqueeze(1)?;
        let mut states = self.norm.forward(&states)?;
        for (number, (layer, seen)) in self.layers.iter().zip(&images.0).enumerate() {
            let mut own = layer.attention.source(&states)?;
            if let Some(before) = written.layers.get(number) {
                own = before.extended(&places, &own)?;
            }
            states = layer.forward(&states, &own, seen)?;
            match written.layers.get_mut(number) {
                Some(kept) => *kept = own,
                None => written.layers.push(own),
            }
        }
        written.tokens += 1;
        let states = self.activation.forward(&self.transform.forward(&states)?)?;
        let states = self.transform_norm.forward(&states)?.squeeze(1)?;
        self.output.forward(&states)
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

    /// (texts, 1, dim), the last token of each, to the same.
    fn forward(&self, x: &Tensor, text: &KeysValues, image: &KeysValues) -> Result<Tensor> {
        let attended = self.attention.forward_with(x, text, None)?;
        let x = self.attention_norm.forward(&(x + attended)?)?;
        // The texts of an image look at the same: here they are tokens of one text.
        let together = x.reshape((image.batch(), (), x.dim(2)?))?;
        let seen = self.image.forward_with(&together, image, None)?;
        let x = self.image_norm.forward(&(&x + seen.reshape(x.shape())?)?)?;
        self.mlp_norm.forward(&(&x + self.mlp.forward(&x)?)?)
    }
}

/// Query, key, value and output.
fn projections<'a>(vb: &VarBuilder<'a>) -> [VarBuilder<'a>; 4] {
    ["self.query", "self.key", "self.value", "output.dense"].map(|name| vb.pp(name))
}
