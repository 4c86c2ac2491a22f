//! `serve`: the API and the page over HTTP.

use anyhow::Result;
use unprompt_index::Index;
use unprompt_server::{Config, Server};

use super::located::predictor;
use super::{sentences, warn_of_no_fit};
use crate::args::{Global, ServeArgs};
use crate::stop;

pub(crate) fn run(args: &ServeArgs, global: &Global) -> Result<()> {
    serve(args.config(), &args.model, global)
}

/// Serves an index until Ctrl-C, which lets what is being answered be answered.
pub(super) fn serve(config: Config, model: &str, global: &Global) -> Result<()> {
    if !config.bind.ip().is_loopback() && config.api_key.is_none() {
        tracing::warn!(
            "anyone who can reach {} can search this index, and see what --images shows: set --api-key, or leave out --bind",
            config.bind
        );
    }
    let predictor = predictor(model, global)?;
    if predictor.confidence().is_none() {
        warn_of_no_fit(&predictor);
    }
    let index = Index::open(&config.index)?;
    let server = Server::bind(
        config,
        predictor,
        sentences::of_index(&index, Some(model), global)?,
    )?;
    let handle = server.handle();
    stop::then(move || handle.stop())?;
    say!("http://{}/", server.address());
    if !global.quiet {
        eprintln!("press Ctrl-C to stop");
    }
    Ok(server.run()?)
}
