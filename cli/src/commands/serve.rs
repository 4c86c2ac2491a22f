//! `serve`: the API and the page over HTTP.

use anyhow::Result;
use unprompt::indexing::check_encoder;
use unprompt::predictor::Predictor;
use unprompt_index::Index;
use unprompt_server::{Config, Server};

use super::located::predictor;
use super::{sentences, warn_of_no_fit};
use crate::args::{Global, ServeArgs};
use crate::stop;

/// The model where nobody names one.
const DEFAULT: &str = "vit";

/// What is named to have none.
const NONE: &str = "none";

pub(crate) fn run(args: &ServeArgs, global: &Global) -> Result<()> {
    serve(args.config(), args.model.as_deref(), global)
}

/// The model that answers images, if any does: the one that was asked for, else the default where it is of the index's
/// sentence encoder.
fn model(asked: Option<&str>, index: &Index, global: &Global) -> Result<Option<Predictor>> {
    match asked {
        Some(NONE) => Ok(None),
        Some(name) => predictor(name, global).map(Some),
        None => {
            let own = predictor(DEFAULT, global)?;
            let Err(error) = check_encoder(index.encoder(), own.sentence_encoder()) else {
                return Ok(Some(own));
            };
            tracing::warn!(
                "texts are answered, and images by what their files carry alone, for {DEFAULT} does not know this index: {error}"
            );
            Ok(None)
        }
    }
}

/// Serves an index until Ctrl-C, which lets what is being answered be answered.
pub(super) fn serve(config: Config, asked: Option<&str>, global: &Global) -> Result<()> {
    if !config.bind.ip().is_loopback() && config.api_key.is_none() {
        tracing::warn!(
            "anyone who can reach {} can search this index, and see what --images shows: set --api-key, or leave out --bind",
            config.bind
        );
    }
    let index = Index::open(&config.index)?;
    let predictor = model(asked, &index, global)?;
    if let Some(predictor) = predictor.as_ref().filter(|it| it.confidence().is_none()) {
        warn_of_no_fit(predictor);
    }
    let sentences = sentences::of_index(&index, asked, global)?;
    let server = Server::bind(config, predictor, sentences)?;
    let handle = server.handle();
    stop::then(move || handle.stop())?;
    say!("http://{}/", server.address());
    if !global.quiet {
        eprintln!("press Ctrl-C to stop");
    }
    Ok(server.run()?)
}
