//! `models`: what the model store knows and has.

use anyhow::{Result, bail};
use unprompt::error::one_line;
use unprompt::models::ModelStore;

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
        }
        ModelsCommand::Pull { name } => {
            let files = store.pull(name, &mut Download::new(global.quiet))?;
            say!("{}", files.dir().display());
        }
        ModelsCommand::Path { name } => match store.find(name)? {
            Some(files) => say!("{}", files.dir().display()),
            None => bail!("{name} is not on this machine: unprompt models pull {name}"),
        },
    }
    Ok(())
}
