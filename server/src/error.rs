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

    /// An empty key would be no secret, and others cannot stand in a header.
    #[error(
        "the API key must have letters, digits and signs of ASCII, without spaces; leave it out to have none"
    )]
    Key,

    /// A body of the allowed length would never have room.
    #[error(
        "a body of {body} bytes has no room in {memory} bytes for all requests; raise --max-memory-bytes"
    )]
    Memory {
        /// Bytes of the longest body.
        body: usize,
        /// Bytes of all requests.
        memory: usize,
    },

    /// A thread cannot be started, or the server has failed.
    #[error("the server failed: {0}")]
    Start(io::Error),
}
