//! Published models that serve the commands well, for `models list`. They are not pinned: what the hub lists when
//! they are fetched is what is checked.

/// A repository of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Recommended {
    /// Owner and name.
    pub id: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its license, as the hub names it; `unstated` where it names none.
    pub license: &'static str,
    /// What is fetched of it, about, in megabytes.
    pub size_mb: u32,
}

/// All of them.
pub const RECOMMENDED: &[Recommended] = &[
    Recommended {
        id: "openai/clip-vit-base-patch32",
        purpose: "reverse search without training, small",
        license: "unstated",
        size_mb: 605,
    },
    Recommended {
        id: "openai/clip-vit-large-patch14",
        purpose: "reverse search without training; the text encoder of Stable Diffusion 1",
        license: "unstated",
        size_mb: 1710,
    },
    Recommended {
        id: "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        purpose: "reverse search without training, best; the paper's frozen features",
        license: "MIT",
        size_mb: 3940,
    },
    Recommended {
        id: "sentence-transformers/all-mpnet-base-v2",
        purpose: "sentence encoder, 768 dimensions",
        license: "Apache-2.0",
        size_mb: 438,
    },
    Recommended {
        id: "google/vit-base-patch16-224",
        purpose: "encoder to train on",
        license: "Apache-2.0",
        size_mb: 346,
    },
    Recommended {
        id: "microsoft/swinv2-base-patch4-window16-256",
        purpose: "encoder to train on",
        license: "Apache-2.0",
        size_mb: 352,
    },
    Recommended {
        id: "Salesforce/blip-image-captioning-base",
        purpose: "captions",
        license: "BSD-3-Clause",
        size_mb: 990,
    },
    Recommended {
        id: "stable-diffusion-v1-5/stable-diffusion-v1-5",
        purpose: "generation and proofs",
        license: "CreativeML OpenRAIL-M",
        size_mb: 4270,
    },
    Recommended {
        id: "stabilityai/stable-diffusion-2-1-base",
        purpose: "generation and proofs",
        license: "CreativeML OpenRAIL++-M",
        size_mb: 5160,
    },
];
