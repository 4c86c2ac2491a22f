//! One error type for the crate. A variant holds the values that a caller needs to act on it; where
//! another error caused it, that one is the `source`.

mod unavailable;
mod words;

use std::io;
use std::path::{Path, PathBuf};

pub use unavailable::{Attempt, MissingFile, Unavailable};
pub use words::{one_line, words};

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done, as a verb: `read`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,

    /// A device name that is none of those known.
    #[error("unknown device {given:?}: use auto, cpu, cuda, cuda:N or metal")]
    DeviceName {
        /// The name as it was given.
        given: String,
    },

    /// The binary was built without the code for a device.
    #[error(
        "this build has no support for {device}: build it with `--features {feature}`, or use the \
         device cpu"
    )]
    DeviceFeature {
        /// The device asked for.
        device: String,
        /// The cargo feature that brings it.
        feature: &'static str,
    },

    /// A device that the build supports did not open.
    #[error("cannot open the device {device}")]
    DeviceOpen {
        /// The device asked for.
        device: String,
        /// What the driver said.
        source: candle_core::Error,
    },

    /// A weights file has no tensor of a name that the model needs.
    #[error("{} has no tensor {key:?}: is it the right model?", path.display())]
    MissingWeight {
        /// The weights file.
        path: PathBuf,
        /// The tensor's name.
        key: String,
    },

    /// A weights file could not be read, or holds tensors of another shape.
    #[error("cannot read weights from {}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What is wrong with it.
        source: candle_core::Error,
    },

    /// A file is what git has in the place of one that git-lfs keeps.
    #[error(
        "{} only says where the file would be: `git lfs pull` in its repository fetches it, and so does \
         `unprompt models pull OWNER/NAME`",
        path.display()
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },

    /// A folder has no weights that are read.
    #[error("{} has no {stem}.safetensors{}", folder.display(), pickled_too(*pickled))]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// The file's name without its ending.
        stem: String,
        /// Whether it has pickled weights.
        pickled: bool,
    },

    /// The index of weights that lie in several files names one that is no file beside it, or a tensor
    /// that is not in its file.
    #[error("{} does not belong to the files beside it: {why}", path.display())]
    WeightIndex {
        /// The index.
        path: PathBuf,
        /// What it says that is not so.
        why: String,
    },

    /// A published checkpoint holds tensors that the architecture has no use for.
    #[error(
        "{} has tensors that its configuration has no place for: {}",
        path.display(), shortened(keys)
    )]
    UnknownWeights {
        /// The weights file, or the index of several.
        path: PathBuf,
        /// Names of the tensors.
        keys: Vec<String>,
    },

    /// A model's configuration asks for what is not known here.
    #[error("{}: {why}", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// What it asks for.
        why: String,
    },

    /// A model's configuration could not be understood.
    #[error("cannot read the model configuration {}", path.display())]
    ModelConfig {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// A tokenizer file could not be understood, or a text not be split.
    #[error("the tokenizer {} failed", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A pool of threads did not start.
    #[error("cannot start the threads of a pool")]
    Threads {
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },

    /// A file is larger than any image should be.
    #[error("{} is larger than {} MiB, the limit for an image file", path.display(), limit_bytes >> 20)]
    ImageFileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit_bytes: u64,
    },

    /// An image has more pixels than are decoded.
    #[error(
        "the image has {width} x {height} pixels; the limits are {} megapixels and {limit_side} \
         pixels a side",
        limit_pixels / 1_000_000
    )]
    ImageTooLarge {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// The limit in pixels.
        limit_pixels: u64,
        /// The limit of each side in pixels.
        limit_side: u32,
    },

    /// Bytes are no image, or a damaged one.
    #[error("cannot decode the image")]
    ImageDecode {
        /// What the decoder said.
        source: image::ImageError,
    },

    /// A table file (CSV or TSV) could not be read or written.
    #[error("cannot read or write the table {}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: csv::Error,
    },

    /// A data file's form is none of those known.
    #[error(
        "{} is no data file: its name must end in .txt, .jsonl, .ndjson, .csv, .tsv or .parquet, \
         or .json or .zip for DiffusionDB's parts",
        path.display()
    )]
    DataForm {
        /// The file.
        path: PathBuf,
    },

    /// A folder holds no prompts that are known how to read.
    #[error(
        "cannot read prompts from the folder {}: looked for DiffusionDB's part-* folders or .zip \
         files, metadata_*.parquet beside text_emb_*.npy, images, and files .txt, .jsonl, .ndjson, .csv, \
         .tsv or .parquet; found {found}",
        path.display()
    )]
    DataFolder {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },

    /// A file that should hold text does not.
    #[error("{} is no text in UTF-8: {why}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        why: &'static str,
    },

    /// A data file has rows, and none of them can be read.
    #[error("none of the {rows} rows of {} can be read; the last: {last}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// How many rows there are.
        rows: usize,
        /// The last row's place and what is wrong with it.
        last: String,
    },

    /// A folder has data files, and none of them can be read.
    #[error("none of the {files} data files of {} can be read; the first", path.display())]
    AllBroken {
        /// The folder.
        path: PathBuf,
        /// How many files there are.
        files: usize,
        /// What is wrong with the first.
        source: Box<Error>,
    },

    /// One of DiffusionDB's parts could not be read.
    #[error("cannot read the DiffusionDB part {}", path.display())]
    Part {
        /// Its JSON or zip file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A zip file is none of DiffusionDB's parts.
    #[error("{} is no DiffusionDB part: it holds no part-*.json", path.display())]
    NoPart {
        /// The file.
        path: PathBuf,
    },

    /// A folder has none of DiffusionDB's zipped parts.
    #[error(
        "{} is no data set of images: it holds no part-*.zip, neither itself nor in images/",
        path.display()
    )]
    NoZippedParts {
        /// The folder.
        path: PathBuf,
    },

    /// An image of one of DiffusionDB's parts could not be read.
    #[error("cannot read the image {image} of {}", path.display())]
    PartImage {
        /// The part's zip file.
        path: PathBuf,
        /// The image's name.
        image: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A data set has no image-prompt pairs for a side.
    #[error("{} has no images with prompts for {side}", path.display())]
    NoPairs {
        /// The folder.
        path: PathBuf,
        /// The side.
        side: &'static str,
    },

    /// A file of vectors could not be read.
    #[error("cannot take vectors from {}: {why}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A file of vectors belongs to a file of as many prompts, which has another number of them.
    #[error(
        "{} has {vectors} vectors, but {} has {rows} rows: they do not belong together",
        path.display(),
        metadata.display()
    )]
    VectorCount {
        /// The file of vectors.
        path: PathBuf,
        /// How many there are.
        vectors: u64,
        /// The file of prompts.
        metadata: PathBuf,
        /// How many rows it has.
        rows: i64,
    },

    /// Vectors are of another length than those they should be compared with.
    #[error("{}: vectors of {found} numbers, but {holder} vectors of {expected}", path.display())]
    VectorDim {
        /// The file of vectors.
        path: PathBuf,
        /// How many numbers each has.
        found: usize,
        /// How many they should have.
        expected: usize,
        /// What the others are in, with a verb: `the index holds`.
        holder: &'static str,
    },

    /// A folder has captions and vectors, but none that belong together.
    #[error(
        "nothing in {} belongs together: {metadata} metadata_*.parquet and {vectors} text_emb_*.npy, \
         none with the same number; to have the captions embedded, name the .parquet files themselves",
        path.display()
    )]
    Unpaired {
        /// The folder.
        path: PathBuf,
        /// How many files of captions there are.
        metadata: usize,
        /// How many files of vectors there are.
        vectors: usize,
    },

    /// A data file has no column of prompts.
    #[error(
        "{} has no column {}; name the one that holds the prompts, its columns are: {}",
        path.display(),
        wanted.join(" or "),
        columns.join(", ")
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Names that were looked for.
        wanted: Vec<String>,
        /// Names of the file's columns.
        columns: Vec<String>,
    },

    /// The column that should hold the prompts holds something else.
    #[error("the column {column:?} of {} holds {found}, not text", path.display())]
    TextColumn {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type of its values.
        found: String,
    },

    /// A Parquet file could not be read.
    #[error("cannot read the Parquet file {}: is it whole?", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A Parquet file could not be written.
    #[error("cannot write the Parquet file {}", path.display())]
    ParquetWrite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Vectors that came with prompts were made by another model.
    #[error(
        "the vectors of the source are not of {encoder}: to those that it gives, their mean cosine \
         is {cosine:.2}; name the files of prompts alone, for them to be embedded"
    )]
    ForeignVectors {
        /// The encoder of the index.
        encoder: String,
        /// The mean cosine.
        cosine: f32,
    },

    /// There is no sentence encoder to embed a query with.
    #[error("cannot embed the query: {why}; search with --mode keyword, which needs no model")]
    NoSentenceEncoder {
        /// Why there is none.
        why: String,
    },

    /// A vocabulary file is damaged.
    #[error("{} is no vocabulary: found {word:?} where a lower-case word belongs", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The line that is wrong.
        word: String,
    },

    /// A name is neither a built-in model nor a model's folder.
    #[error(
        "{given:?} is neither a built-in model ({}) nor a folder with {main}",
        known.join(", ")
    )]
    UnknownBundle {
        /// The name as it was given.
        given: String,
        /// Names of the built-in models.
        known: Vec<String>,
        /// The file that a folder must have.
        main: &'static str,
    },

    /// A sentence encoder gave something that is no number.
    #[error(
        "what the sentence encoder {encoder} makes of a text is no number: are its weights damaged?"
    )]
    NoEmbedding {
        /// The encoder's name.
        encoder: String,
    },

    /// A model was trained with another sentence encoder.
    #[error("the model was trained with the sentence encoder {expected}, not with {found}")]
    OtherEncoder {
        /// The encoder it was trained with.
        expected: String,
        /// The encoder that was given.
        found: String,
    },

    /// A data set's description could not be understood.
    #[error("cannot read {}: is it the description of a data set?", path.display())]
    DatasetManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// A folder holds a data set of other settings.
    #[error(
        "{} holds another data set ({differences}): use the same settings, or another folder",
        path.display()
    )]
    OtherDataset {
        /// The folder.
        path: PathBuf,
        /// What differs: each setting with its value there and the one asked for.
        differences: String,
    },

    /// A folder that a data set is to be written to holds something else.
    #[error("{} is not empty and holds no {needed}: choose another folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// The file that would make it a data set.
        needed: &'static str,
    },

    /// A data set has more images than its parts can be numbered for.
    #[error("{images} images are too many for a side of a data set: {most} is the most")]
    TooManyImages {
        /// Images asked for.
        images: usize,
        /// The most there can be.
        most: usize,
    },

    /// A fitted confidence is damaged.
    #[error("{}: no fitted confidence: {why}; run unprompt evaluate --fit-confidence again", path.display())]
    Confidence {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },

    /// What tells familiar images is damaged.
    #[error("{}: not what tells familiar images: {why}; run unprompt evaluate --fit-confidence again", path.display())]
    Familiarity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },

    /// What is known of a model's residuals is damaged or missing.
    #[error("{}: not how true prompts differ from predictions: {why}; run unprompt evaluate --fit-confidence again", path.display())]
    Residuals {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },

    /// No true prompt is among the candidates of its image, so that there is nothing to learn a ranking from.
    #[error(
        "the model finds none of the validation prompts: it has learnt nothing that could be ranked by"
    )]
    NoCandidates,

    /// A confidence was to be fitted on too few answers.
    #[error("{found} answers are too few to fit a confidence on: {needed} are needed")]
    TooFewAnswers {
        /// Answers there are.
        found: usize,
        /// Answers needed.
        needed: usize,
    },

    /// An index holds the embeddings of one sentence encoder, and those of another were given.
    #[error(
        "the index holds embeddings of {index}, and the model predicts those of {model}: take the model and the \
         sentence encoder that belong to the index"
    )]
    EncoderMismatch {
        /// The index's encoder.
        index: String,
        /// The other one.
        model: String,
    },

    /// The index failed.
    #[error(transparent)]
    Index(#[from] unprompt_index::Error),

    /// A variable is not reached by the loss, so it would never learn.
    #[error("the variable {name} gets no gradient: an operation on its way does not pass it")]
    NoGradient {
        /// The variable's name.
        name: String,
    },

    /// Easiness was recorded on other examples than those of this run.
    #[error("{} tells the easiness of other examples than these: record it anew", path.display())]
    OtherExamples {
        /// The file.
        path: PathBuf,
    },

    /// A model has no U-Net's way down that fits a diffusion model.
    #[error("{encoder} is no white box (train --encoder unet) of the sizes of {model}")]
    NoWayDown {
        /// The model that was to be the white box.
        encoder: String,
        /// The diffusion model.
        model: String,
    },

    /// An ensemble has no models, or weights that are none.
    #[error("{} needs models with weights of at least 0 that sum to 1", path.display())]
    EnsembleWeights {
        /// The file.
        path: PathBuf,
    },

    /// The models of an ensemble predict embeddings of different sentence encoders.
    #[error("{member} predicts the embeddings of another sentence encoder than {first}")]
    OtherTargets {
        /// The model that does not fit.
        member: String,
        /// The first model.
        first: String,
    },

    /// A domain is empty.
    #[error("an adaptation needs images to adapt from and images to adapt to: there are none")]
    NothingToAdapt,

    /// Equations without a solution.
    #[error(
        "equations have no solution: take a larger alpha for an adaptation, more images for a confidence"
    )]
    Singular,

    /// An adaptation belongs to another model.
    #[error("{} was fitted to another model than the one beside it: run unprompt adapt again", path.display())]
    OtherAdaptation {
        /// The file.
        path: PathBuf,
    },

    /// An adaptation is not as `adapt` writes it.
    #[error("{}: not an adaptation: {why}; run unprompt adapt again", path.display())]
    Adaptation {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },

    /// Weights to begin with belong to no variable of the network.
    #[error("the network has no variable {name}, for which there are weights to begin with")]
    NoVariable {
        /// The name.
        name: String,
    },

    /// A variable has no weights to begin with.
    #[error("there are no weights for {name} to begin with")]
    NothingToBegin {
        /// The variable's name.
        name: String,
    },

    /// An encoder was to begin with random numbers where it cannot.
    #[error("{encoder} cannot begin with random numbers: nothing would train {variable}")]
    NoStart {
        /// The encoder.
        encoder: &'static str,
        /// A variable that training leaves as it is.
        variable: String,
    },

    /// An encoder was to begin with what is meant for another.
    #[error("{encoder} cannot begin with the pretraining of another encoder")]
    UnfitStart {
        /// The encoder.
        encoder: &'static str,
    },

    /// A network was to begin with a model of another kind.
    #[error("{model} has another encoder, or takes images another way, than what is to be trained")]
    OtherNetwork {
        /// The model.
        model: String,
    },

    /// A model cannot caption images for the white box.
    #[error(
        "{model} cannot caption images: it needs a vocabulary, pixels within [-1, 1], and no captioner of its own beside it"
    )]
    NoCaptioner {
        /// The model.
        model: String,
    },

    /// Nothing encodes the captions that a diffusion model's way down is to be told.
    #[error(
        "the captions of {} need a Stable Diffusion with a text encoder of its own, which {model} is not: give one by \
         --diffusion, or a model with a vocabulary as the captioner",
        captioner.display()
    )]
    NoTextEncoder {
        /// The BLIP.
        captioner: PathBuf,
        /// The diffusion model.
        model: String,
    },

    /// Images came out that are no pictures.
    #[error(
        "the diffusion model made numbers that are no colours: its weights are damaged, or guidance is too strong"
    )]
    NoPicture,

    /// More steps were asked for than a noise schedule has.
    #[error("{asked} steps are more than the {most} of the noise schedule")]
    TooManySteps {
        /// Steps asked for.
        asked: usize,
        /// Steps there are.
        most: usize,
    },

    /// A folder holds something that would be lost.
    #[error("{} holds a model: give another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },

    /// Something lies where a model's files are to lie, and would be read with them or in their place.
    #[error("{} is no file of the model that is to lie there: remove it, or give another folder", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },

    /// There is no sampler of this name.
    #[error("no sampler is called {given}: take {}", known.join(" or "))]
    UnknownSampler {
        /// The name as it was given.
        given: String,
        /// Names of the samplers.
        known: Vec<&'static str>,
    },

    /// A training run left the numbers that can be worked with.
    #[error("training diverged at step {step}: use a smaller learning rate")]
    Diverged {
        /// The step.
        step: usize,
    },

    /// A setting is outside its range.
    #[error("{name} is {value}, but must be at least {least}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The least that makes sense.
        least: usize,
    },

    /// A new run would write over the checkpoint of another.
    #[error(
        "{} is there already: go on from it with --resume, or choose another folder",
        path.display()
    )]
    CheckpointExists {
        /// The checkpoint.
        path: PathBuf,
    },

    /// There are not enough meanings that an index leaves out.
    #[error(
        "an index of {prompts} prompts leaves out too few meanings to hold out {images} images: use \
         a smaller index"
    )]
    TooFewMeanings {
        /// Prompts of the index.
        prompts: usize,
        /// Images to hold out.
        images: usize,
    },

    /// A checkpoint belongs to a run with other settings.
    #[error(
        "{} is of another run (it has {found}; now {expected}): use the same settings, or another folder",
        path.display()
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// The settings of this run that differ.
        expected: String,
        /// Those it was written with instead.
        found: String,
    },

    /// A training set is smaller than one batch.
    #[error(
        "{found} training images are fewer than one batch of {needed}: take more of them, or smaller batches"
    )]
    TooFewImages {
        /// Images there are.
        found: usize,
        /// Images a batch takes.
        needed: usize,
    },

    /// A computation on tensors failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),

    /// A model name that the catalogue does not hold.
    #[error("unknown model {name:?}: known are {}", known.join(", "))]
    UnknownModel {
        /// The name as it was given.
        name: String,
        /// The names of the catalogue.
        known: Vec<String>,
    },

    /// A repository of the hub could not be fetched.
    #[error("cannot fetch {id}")]
    Repository {
        /// Owner and name.
        id: String,
        /// Why.
        #[source]
        why: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A model's file that the model does not have.
    #[error("the model {model} has no file {file:?}")]
    UnknownModelFile {
        /// The model's name.
        model: String,
        /// The name asked for.
        file: String,
    },

    /// A model's file is not the published one.
    #[error(
        "{} is not the published file: its SHA-256 is {found}, expected is {expected}. Delete it \
         and it will be fetched again", path.display()
    )]
    ModelDigest {
        /// The file.
        path: PathBuf,
        /// The pinned digest, lower-case hexadecimal.
        expected: String,
        /// The digest of the file's bytes.
        found: String,
    },

    /// A model's file is longer or shorter than the published one.
    #[error(
        "{} is not the published file: it has {found} bytes, expected are {expected}. Delete it \
         and it will be fetched again", path.display()
    )]
    ModelSize {
        /// The file.
        path: PathBuf,
        /// The pinned size in bytes.
        expected: u64,
        /// The file's size in bytes.
        found: u64,
    },

    /// No source had a model.
    #[error(transparent)]
    ModelUnavailable(#[from] Box<Unavailable>),

    /// There is no place to keep models.
    #[error(
        "there is no folder to keep models in: set UNPROMPT_MODELS, XDG_CACHE_HOME or HOME to one"
    )]
    NoModelFolder,
}

impl Error {
    /// An [`Error::Io`] about `path`, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// What to say of a folder that has weights in a form that is not read.
fn pickled_too(pickled: bool) -> &'static str {
    if pickled {
        "; its pickled weights are not read, since pickles run code: save the model as safetensors \
         (save_pretrained does)"
    } else {
        ""
    }
}

/// The first few of many names.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
