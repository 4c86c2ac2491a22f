//! `reverse`: image in, prompt out.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use unprompt::image::decode;
use unprompt::reverse::verify::{Remade, Verifier};
use unprompt::reverse::{ReverseAnswer, ReverseOptions, Reverser};
use unprompt::text::SentenceEncoder;
use unprompt_index::Index;

use super::located::{self, predictor};
use super::{filter, images, sentences, warn_of_no_fit};
use crate::args::{Global, ReverseArgs};
use crate::output::sheet::{self, Entry};
use crate::output::table;

/// Images that are made of an answer.
const REMADE: usize = 3;

pub(crate) fn run(args: &ReverseArgs, global: &Global) -> Result<()> {
    let options = ReverseOptions {
        k: args.hits.k_or(ReverseOptions::default().k),
        filter: filter(&args.hits)?,
        use_metadata: !args.no_metadata,
        reconstruct: args.reconstruct.budget(),
        ..ReverseOptions::default()
    };
    let predictor = predictor(&args.model, global)?;
    let fit = predictor.confidence();
    if fit.is_none() {
        warn_of_no_fit(&predictor);
    }
    // Without a fit that says when, nothing that is put together is ever answered.
    let reconstructs =
        fit.is_some_and(|it| it.reconstruction.is_some()) && !options.reconstruct.is_zero();
    let mut reverser = Reverser::new(Index::open(&args.index)?, predictor)?;
    if reconstructs {
        let sentences = sentences::of_predictor(reverser.predictor(), global)?;
        reverser = reverser.with_sentences(Arc::new(sentences))?;
    }
    let proof = args.verify.as_ref();
    let proof = proof.map(|folder| Proof::new(folder, args, global));
    let proof = proof.transpose()?;
    let mut out = io::stdout().lock();
    let mut number = 0;
    images::each(
        &args.images,
        |path| {
            number += 1;
            let bytes = decode::read_file(path)?;
            let answer = reverser.reverse(&path.display().to_string(), &bytes, &options)?;
            let proof = proof.as_ref();
            let proof = proof.filter(|_| !answer.prompt.is_empty());
            let verified = proof.map(|it| it.make(&bytes, path, number, &answer, &reverser));
            let verified = verified.transpose().unwrap_or_else(|error| {
                // The answer stands without its proof.
                tracing::warn!("{}: not verified: {error:#}", path.display());
                None
            });
            Ok(Shown { answer, verified })
        },
        |shown| {
            if args.hits.json {
                serde_json::to_writer(&mut out, &shown).map_err(io::Error::from)?;
                Ok(writeln!(out)?)
            } else {
                Ok(shown.write(&mut out)?)
            }
        },
    )
}

/// An answer, and what came of making it again.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    answer: ReverseAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
}

#[derive(Serialize)]
struct Verified {
    /// Most alike first.
    images: Vec<Remade>,
    picture: PathBuf,
}

/// What makes answers images again, and where they go.
struct Proof<'a> {
    verifier: Verifier,
    /// What the diffusion model needs.
    sentences: Option<SentenceEncoder>,
    folder: &'a Path,
}

impl<'a> Proof<'a> {
    fn new(folder: &'a Path, args: &ReverseArgs, global: &Global) -> Result<Self> {
        let generator = located::diffusion(&args.diffusion, global)?;
        let options = generator.usual_options();
        let sentences = generator.sentence_encoder();
        let sentences = sentences.map(|it| sentences::named(&it.name, global));
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            verifier: Verifier::new(generator, options, REMADE),
            sentences: sentences.transpose()?,
            folder,
        })
    }

    /// `number` tells images of the same name apart.
    fn make(
        &self,
        bytes: &[u8],
        path: &Path,
        number: usize,
        answer: &ReverseAnswer,
        reverser: &Reverser,
    ) -> Result<Verified> {
        let original = decode::decode(bytes)?;
        let (predictor, sentences) = (reverser.predictor(), self.sentences.as_ref());
        let images = self
            .verifier
            .verify(&original, answer, predictor, sentences)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let entry = |image, what, note| Entry {
            image,
            truth: what,
            found: answer.prompt.clone(),
            note,
            same: true,
        };
        let verdict = table::verdict(answer.verdict);
        let first = format!("{verdict}, confidence {:.2}", answer.confidence);
        let mut entries = vec![entry(original, name.to_string(), first)];
        entries.extend(images.iter().map(|made| {
            let note = format!("cosine to the original {:.3}", made.cosine);
            entry(
                made.image.clone(),
                format!("made again, seed {}", made.seed),
                note,
            )
        }));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let picture = self.folder.join(format!("{number:03}-{stem}.png"));
        sheet::draw(&entries, ["image", "prompt"])?
            .save(&picture)
            .with_context(|| format!("cannot write {}", picture.display()))?;
        Ok(Verified { images, picture })
    }
}

/// Words that are shown; `--json` has them all.
const WORDS_SHOWN: usize = 12;

impl Shown {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let answer = &self.answer;
        let words: Vec<String> = answer
            .words
            .iter()
            .take(WORDS_SHOWN)
            .map(|word| format!("{} {:.0}%", word.word, word.probability * 100.0))
            .collect();
        let took = answer.took_ms;
        let took = took.decode + took.encode + took.search + took.reconstruct;
        writeln!(out, "{}  ({took:.1} ms)", answer.image)?;
        writeln!(out, "  {}", table::printable(&answer.prompt))?;
        writeln!(
            out,
            "  verdict {}, confidence {:.2}",
            table::verdict(answer.verdict),
            answer.confidence
        )?;
        if let Some(verified) = &self.verified {
            let made = verified.images.iter();
            let made: Vec<String> = made
                .map(|made| format!("{:.3} (seed {})", made.cosine, made.seed))
                .collect();
            let picture = verified.picture.display();
            writeln!(out, "  made again, cosine {}: {picture}", made.join(", "))?;
        }
        if !words.is_empty() {
            writeln!(out, "  words: {}", words.join(", "))?;
        }
        writeln!(out, "{}", table::hits(&answer.hits))
    }
}
