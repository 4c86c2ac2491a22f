//! `index delete`: by id or by filter.

use anyhow::{Result, bail};
use unprompt_index::{Deletion, Filter, PromptId};

use crate::args::{DeleteArgs, Global};
use crate::output::stages::Stages;

pub(super) fn run(args: &DeleteArgs, global: &Global) -> Result<()> {
    let what = match &args.what.filter {
        Some(filter) if filter.trim().is_empty() => {
            bail!("an empty filter matches everything; if that is what shall go, say '*'")
        }
        Some(filter) => Deletion::Matching(Filter::parse(filter)?),
        None => Deletion::Prompts(ids(&args.what.ids)?),
    };
    let mut stages = Stages::new(global.quiet);
    let report = unprompt_index::delete_observed(&args.index, &what, &mut |done, total| {
        stages.observe("deleting prompts", done, total)
    })?;
    drop(stages);
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        say!(
            "{} prompts and {} images deleted",
            report.prompts,
            report.images
        );
    }
    if report.missing > 0 {
        bail!(
            "{} of {} ids are not in the index",
            report.missing,
            args.what.ids.len()
        );
    }
    Ok(())
}

fn ids(texts: &[String]) -> Result<Vec<PromptId>> {
    let parse = |text: &String| {
        let id = text.parse::<PromptId>();
        id.map_err(|error| {
            anyhow::anyhow!("{text:?} is no id: {error}, as search --json prints it")
        })
    };
    texts.iter().map(parse).collect()
}
