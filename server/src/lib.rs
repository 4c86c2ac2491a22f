//! unprompt over HTTP: the search API and the page, for one index.
//!
//! A request goes through `guard` (host, key, headers), `extract` and `body` (what it may bring), a file in `routes/`,
//! and the queues of `state`: images and texts are encoded together with those of other requests (`batch`), and what
//! else runs on the processor runs behind a `gate`, off the threads that answer. All refuse what they have no room for
//! with status 429, as does `memory`, which counts bodies, waiting pixels and long answers. `reload` puts a new generation
//! of the index in the place of the old one while requests go on with what they have begun with. What is wrong with a
//! request that is HTTP is told as a [`problem`](https://www.rfc-editor.org/rfc/rfc9457).

pub mod config;

mod error;

mod problem;

mod metrics;

mod memory;

mod batch;

mod gate;

mod thumbnails;

mod state;

mod reload;

mod guard;

mod body;

mod extract;

#[allow(
    unused_qualifications,
    reason = "what utoipa writes for the parameters of a route"
)]
mod routes;

mod run;

pub use config::{Batching, Config, Limits};
pub use error::Error;
pub use run::{Handle, Server};
