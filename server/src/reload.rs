//! A new generation of the index takes the place of the old one while the server runs.

use actix_web::web;
use unprompt::error::one_line;

use crate::state::State;

/// Looks for a new generation, for ever. One that cannot be opened leaves the old one, and is tried again each time.
pub(crate) async fn watch(state: web::Data<State>) {
    let mut reported = None;
    loop {
        tokio::time::sleep(state.config.reload_every).await;
        let shared = state.clone();
        let failure = match web::block(move || shared.reload()).await {
            Ok(Ok(false)) => None,
            Ok(Ok(true)) => {
                let stats = &state.snapshot().stats;
                tracing::info!(
                    generation = stats.generation,
                    prompts = stats.prompts,
                    "a new generation of the index"
                );
                None
            }
            Ok(Err(error)) => Some(one_line(&error)),
            Err(error) => Some(error.to_string()),
        };
        // Once, however often it is tried.
        if let Some(why) = &failure
            && failure != reported
        {
            tracing::warn!(
                "the index has changed but cannot be opened, so answers are from the one before: {why}"
            );
        }
        reported = failure;
    }
}
