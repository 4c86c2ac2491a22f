//! `models`: what the model store knows and has.

use std::path::PathBuf;

use anyhow::{Result, bail};
use unprompt::error::one_line;
use unprompt::models::ModelStore;
use unprompt::models::recommended::RECOMMENDED;

use crate::args::{Global, ModelsCommand};
use crate::output::progress::Download;

pub(crate) fn run(command: &ModelsCommand, global: &Global) -> Result<()> {
    let store = ModelStore::from_env()?;
    match command {
        ModelsCommand::List => {
            for listed in store.list() {
                let model = listed.model;
                let bytes: u64 = model.files.iter().map(|file| file.size_bytes).sum();
                let place = match &listed.found {
                    Ok(Some(files)) => files.dir().display().to_string(),
                    Ok(None) => format!("not here; unprompt models pull {}", model.name),
                    Err(error) => one_line(error),
                };
                say!(
                    "{}  {:.1} MB  {}  {}\n    {place}",
                    model.name,
                    bytes as f64 / 1e6,
                    model.license,
                    model.purpose
                );
            }
            say!("\nof others, with the digests that the hub lists:");
            for model in RECOMMENDED {
                let place = match store.folder(model.id) {
                    Some(folder) => folder.display().to_string(),
                    None => format!("not here; unprompt models pull {}", model.id),
                };
                let (size, license) = (model.size_mb, model.license);
                say!(
                    "{}  about {size} MB  {license}  {}\n    {place}",
                    model.id,
                    model.purpose
                );
            }
        }
        ModelsCommand::Pull { name, revision } => {
            let progress = &mut Download::new(global.quiet);
            let known = store.list().iter().any(|it| it.model.is_called(name));
            let folder = if known || !name.contains('/') {
                store.pull(name, progress)?.dir().to_owned()
            } else {
                store.pull_repository(name, revision, progress)?
            };
            say!("{}", folder.display());
        }
        ModelsCommand::Path { name } => match find(&store, name)? {
            Some(folder) => say!("{}", folder.display()),
            None => bail!("{name} is not on this machine: unprompt models pull {name}"),
        },
    }
    Ok(())
}

/// The folder of a model of the catalogue, or of what was fetched from a repository.
fn find(store: &ModelStore, name: &str) -> Result<Option<PathBuf>> {
    let known = store.list().iter().any(|it| it.model.is_called(name));
    let fetched = store.folder(name);
    match fetched {
        Some(folder) if !known => Ok(Some(folder)),
        _ => Ok(store.find(name)?.map(|files| files.dir().to_owned())),
    }
}
