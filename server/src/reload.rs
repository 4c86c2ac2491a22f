//! A new generation of the index takes the place of the old one while the server runs.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use actix_web::web;
use unprompt::error::one_line;

use crate::state::State;

/// What a commit replaces last.
const MANIFEST: &str = "MANIFEST";

/// Looks for a new generation, for ever. One that cannot be opened is reported once, and the old one stays.
pub(crate) async fn watch(state: web::Data<State>) {
    let mut seen = changed(&state.config.index);
    loop {
        tokio::time::sleep(state.config.reload_every).await;
        let now = changed(&state.config.index);
        if now == seen {
            continue;
        }
        seen = now;
        let opened = state.clone();
        match web::block(move || opened.reload()).await {
            Ok(Ok(true)) => {
                let stats = &state.snapshot().stats;
                tracing::info!(
                    generation = stats.generation,
                    prompts = stats.prompts,
                    "a new generation of the index"
                );
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(
                "the index has changed but cannot be opened, so answers are from the one before: {}",
                one_line(&error)
            ),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

fn changed(index: &Path) -> Option<SystemTime> {
    fs::metadata(index.join(MANIFEST)).ok()?.modified().ok()
}
