//! `search`, `reverse`, `read` and `evaluate`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use unprompt::data::source::Source;
use unprompt::image::blip::MAX_BEAMS;
use unprompt::search::Mode;

use super::serve::address;
use super::{at_least_one, flag, positive, share};

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// The index's folder.
    #[arg(value_name = "INDEX")]
    pub(crate) index: PathBuf,

    /// The texts; - reads them from standard input, one a line. With --filter and none, what matches is listed.
    #[arg(required_unless_present_any = ["like", "filter"], value_name = "TEXT")]
    pub(crate) texts: Vec<String>,

    /// More like this: an image that is in the index, by its path or name, or a file that carries its prompt. May
    /// be given several times.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) like: Vec<PathBuf>,

    /// Print nothing but the names of the images found, one a line: paths, where the index was made of image files.
    #[arg(long, visible_alias = "open", env = "UNPROMPT_PATHS", value_parser = flag(), conflicts_with = "json")]
    pub(crate) paths: bool,

    /// With --paths, a zero byte behind each instead of a line end, as `xargs -0` takes them.
    #[arg(short = '0', long, env = "UNPROMPT_NULL", value_parser = flag(), requires = "paths")]
    pub(crate) null: bool,

    #[command(flatten)]
    pub(crate) hits: HitArgs,

    /// What is compared: meaning and words, meaning alone, or words alone.
    #[arg(long, value_enum, default_value_t, env = "UNPROMPT_MODE")]
    pub(crate) mode: ModeArg,

    /// How meaning and words become one list: by reciprocal rank, or by a weighted sum of scores
    /// normalised by their distribution.
    #[arg(long, value_enum, default_value_t, env = "UNPROMPT_FUSION")]
    pub(crate) fusion: FusionArg,

    /// Constant of --fusion rrf: the smaller, the more the first ranks weigh.
    #[arg(
        long,
        value_name = "K",
        default_value_t = 60.0,
        env = "UNPROMPT_RRF_K",
        allow_negative_numbers = true,
        value_parser = rrf_constant
    )]
    pub(crate) rrf_k: f32,

    /// Share of meaning in --fusion weighted, from 0 to 1; words have the rest.
    #[arg(
        long,
        value_name = "W",
        default_value_t = 0.5,
        env = "UNPROMPT_VECTOR_WEIGHT",
        allow_negative_numbers = true,
        value_parser = vector_weight
    )]
    pub(crate) vector_weight: f32,

    /// Leave out the first N hits.
    #[arg(long, value_name = "N", default_value_t = 0, env = "UNPROMPT_OFFSET")]
    pub(crate) offset: usize,

    /// Leave out hits with a smaller score: a cosine with --mode vector, BM25 with --mode keyword,
    /// else the fused score.
    #[arg(
        long,
        value_name = "X",
        env = "UNPROMPT_MIN_SCORE",
        allow_negative_numbers = true
    )]
    pub(crate) min_score: Option<f32>,

    /// Candidates of the graph walk: more is slower and finds more.
    #[arg(long, value_name = "N", env = "UNPROMPT_EF")]
    pub(crate) ef: Option<usize>,

    /// Compare with every vector instead of walking the graph.
    #[arg(long, env = "UNPROMPT_EXACT", value_parser = flag())]
    pub(crate) exact: bool,
}

fn vector_weight(text: &str) -> Result<f32, String> {
    share(text).map(|value| value as f32)
}

fn rrf_constant(text: &str) -> Result<f32, String> {
    positive(text).map(|value| value as f32)
}

/// The kind of [`Fusion`](unprompt_index::Fusion), as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FusionArg {
    #[default]
    Rrf,
    Weighted,
}

/// Arguments of every command that prints hits.
#[derive(Debug, Args)]
pub(crate) struct HitArgs {
    /// Hits wanted [default: 10, or all where --paths lists what --filter selects].
    #[arg(
        short,
        value_name = "K",
        env = "UNPROMPT_K",
        allow_negative_numbers = true
    )]
    k: Option<usize>,

    /// Only prompts and images that match, e.g. 'cfg:[7 TO 12] AND sampler:k_lms AND -prompt:anime'.
    #[arg(
        long,
        value_name = "EXPR",
        env = "UNPROMPT_FILTER",
        allow_hyphen_values = true
    )]
    pub(crate) filter: Option<String>,

    /// Print JSON Lines.
    #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
    pub(crate) json: bool,
}

impl HitArgs {
    /// Hits wanted, as many as `usual` where nobody says.
    pub(crate) fn k_or(&self, usual: usize) -> usize {
        self.k.unwrap_or(usual)
    }
}

/// [`Mode`], as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    #[default]
    Hybrid,
    Vector,
    Keyword,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Hybrid => Self::Hybrid,
            ModeArg::Vector => Self::Vector,
            ModeArg::Keyword => Self::Keyword,
        }
    }
}

/// Arguments of `reverse`.
#[derive(Debug, Args)]
pub(crate) struct ReverseArgs {
    /// The index's folder.
    #[arg(value_name = "INDEX")]
    pub(crate) index: PathBuf,

    /// Image files, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) hits: HitArgs,

    /// A built-in model's name, a model's folder, or clip:DIR for a CLIP as it is published, which needs no training.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "vit",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: String,

    /// Do not look for a prompt in the file itself.
    #[arg(long, env = "UNPROMPT_NO_METADATA", value_parser = flag())]
    pub(crate) no_metadata: bool,

    #[command(flatten)]
    pub(crate) reconstruct: ReconstructArgs,

    /// Make images of each answer, say how close they come, and write them beside the original to DIR/NAME.png.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "verified",
        env = "UNPROMPT_VERIFY"
    )]
    pub(crate) verify: Option<PathBuf>,

    /// The diffusion model that makes them: a built-in one or a folder.
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "pocket",
        env = "UNPROMPT_DIFFUSION"
    )]
    pub(crate) diffusion: String,
}

/// How long a prompt may be put together.
#[derive(Debug, Args)]
pub(crate) struct ReconstructArgs {
    /// Milliseconds in which a prompt is put together from the best hits; 0 for the best hit alone. Requests to a server
    /// that wait for a processor share them.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 100,
        env = "UNPROMPT_RECONSTRUCT_MS"
    )]
    reconstruct_ms: u64,
}

impl ReconstructArgs {
    /// The time.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_millis(self.reconstruct_ms)
    }
}

/// Arguments of `read`.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Image files, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    /// Print all texts that the file holds, too, understood or not.
    #[arg(long, env = "UNPROMPT_RAW", value_parser = flag())]
    pub(crate) raw: bool,
}

/// Arguments of `caption`.
#[derive(Debug, Args)]
pub(crate) struct CaptionArgs {
    /// Image files, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    /// The folder of a BLIP captioning model as it is published (Salesforce/blip-image-captioning-*), or its name among
    /// those that were pulled.
    #[arg(long, value_name = "DIR", env = "UNPROMPT_CAPTION_MODEL")]
    pub(crate) model: PathBuf,

    /// Beams of the search for the likeliest caption; 1 takes the likeliest word each time.
    #[arg(long, value_name = "N", default_value_t = 3, env = "UNPROMPT_BEAMS",
        value_parser = clap::value_parser!(u32).range(1..=MAX_BEAMS as i64))]
    pub(crate) beams: u32,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// A built-in model's name, a model's folder, or clip:DIR for a published CLIP; with --predictions any number of
    /// them.
    #[arg(
        long,
        value_name = "NAME|DIR",
        num_args = 1..,
        default_value = "vit",
        env = "UNPROMPT_MODEL"
    )]
    pub(crate) model: Vec<String>,

    /// What to evaluate on: pocket:N puts N test prompts into the index.
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "pocket:5000",
        env = "UNPROMPT_DATA"
    )]
    pub(crate) data: Source,

    /// Images with their prompt in the index; as many again have it held out. 500 by default, 1500 to fit on.
    #[arg(long, value_name = "N", env = "UNPROMPT_IMAGES", value_parser = at_least_one())]
    images: Option<usize>,

    /// Seed of the draw.
    #[arg(long, value_name = "N", default_value_t = 7, env = "UNPROMPT_SEED")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) reconstruct: ReconstructArgs,

    /// Measure what each source of candidates is worth, too.
    #[arg(long, env = "UNPROMPT_ABLATION", value_parser = flag(),
        conflicts_with_all = ["predictions", "fit_confidence"])]
    pub(crate) ablation: bool,

    /// Write report.md and a plot of the confidence to this folder, too.
    #[arg(
        long,
        value_name = "DIR",
        env = "UNPROMPT_REPORT",
        conflicts_with_all = ["predictions", "fit_confidence"]
    )]
    pub(crate) report: Option<PathBuf>,

    /// Print one JSON object a model.
    #[arg(long, env = "UNPROMPT_JSON", value_parser = flag())]
    pub(crate) json: bool,

    /// Fit the confidence of the model in --model DIR on validation images, instead, with what ranks candidates and what
    /// tells familiar images.
    #[arg(long, env = "UNPROMPT_FIT_CONFIDENCE", value_parser = flag())]
    pub(crate) fit_confidence: bool,

    /// Judge the predictions alone, without an index: what encoders are compared by. --data may then be a
    /// folder of `unprompt dataset`; N of pocket:N is the number of training images that the baselines know.
    #[arg(
        long,
        env = "UNPROMPT_PREDICTIONS",
        value_parser = flag(),
        conflicts_with = "fit_confidence"
    )]
    pub(crate) predictions: bool,
}

impl EvaluateArgs {
    /// Images of each setting.
    pub(crate) fn images(&self) -> usize {
        self.images
            .unwrap_or(if self.fit_confidence { 1500 } else { 500 })
    }
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the demo puts its index, images and contact sheet.
    #[arg(long, value_name = "DIR", default_value = "demo", env = "UNPROMPT_DIR")]
    pub(crate) dir: PathBuf,

    /// Prompts in the demo's index.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5000,
        env = "UNPROMPT_PROMPTS"
    )]
    pub(crate) prompts: usize,

    /// Where to serve the page.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "UNPROMPT_BIND",
        value_parser = address
    )]
    pub(crate) bind: SocketAddr,

    /// Stop after the figures, without serving the page.
    #[arg(long, env = "UNPROMPT_NO_SERVE", value_parser = flag())]
    pub(crate) no_serve: bool,
}
