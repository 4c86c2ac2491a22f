//! unprompt over HTTP: the search API and the page, for one index.
//!
//! A request goes through [`run`] (limits, key, headers), a file in `routes/`, and one of the two queues of [`state`]:
//! images and texts are encoded together with those of other requests (`batch`), and what runs on the processor
//! runs behind a `gate`, off the threads that answer. Both refuse what they have no room for with status 429.
//! `reload` puts a new generation of the index in the place of the old one while requests go on with what they
//! have begun with. Every error is a [`problem`](https://www.rfc-editor.org/rfc/rfc9457).

pub mod config;

mod error;

mod problem;

mod metrics;

mod batch;

mod gate;

mod thumbnails;

mod state;

mod reload;

mod guard;

#[allow(
    unused_qualifications,
    reason = "what utoipa writes for the parameters of a route"
)]
mod routes;

mod run;

pub use config::{Batching, Config, Limits};
pub use error::Error;
pub use run::Server;
