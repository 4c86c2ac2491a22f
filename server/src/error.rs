//! Why there is no server. What is wrong with a request is a `problem`.

use std::io;
use std::net::SocketAddr;

/// Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index or the model is not what it should be.
    #[error(transparent)]
    Unprompt(#[from] unprompt::Error),

    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --bind")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },

    /// The folder of images cannot be found.
    #[error("cannot find the folder of images: {0}")]
    Images(io::Error),

    /// A thread cannot be started, or the server has failed.
    #[error("the server failed: {0}")]
    Start(io::Error),
}
