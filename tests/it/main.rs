//! Tests of the crate as its users see it, in one binary. Those that need the sentence encoder fetch it
//! through the model store when it is not on the machine, so no step comes before them.

mod support;

/// The order of the crate's modules.
mod layers;

/// The sentence encoder against the figures of the reference implementation.
mod sentence;
mod sides;

/// Every variable learns.
mod gradients;

/// The diffusion networks against the reference implementation.
mod diffusion;

/// The domain-adaptive kernel against scikit-learn.
mod adapt;

/// Data sets that a diffusion model makes.
mod dataset;

/// The training loop.
mod training;

/// Training on a folder of images.
mod folders;

/// Building and adding, stage by stage.
mod ingest;

/// The graph on real embeddings.
mod recall;

/// The main job.
mod reverse;
