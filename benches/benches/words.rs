//! Do the words of a prompt say anything that its embedding does not?
//!
//!     cargo bench -p unprompt-benches --bench words -- [FILE...]
//!
//! The paper gains from a head that learns the words of the vocabulary beside the embedding. Where a linear map reads
//! words off the embedding, such a head asks for nothing that the embedding's own does not. Here a ridge regression
//! reads them: micro F1 on prompts it has not seen, at the threshold that is best on others of these. For pocket
//! prompts, whose sides share no meaning, and for those of each FILE.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use unprompt::data::vocabulary::{MAX_WORDS, Vocabulary};
use unprompt::matmul::Precision;
use unprompt::pocket::{Prompts, Split, grammar};
use unprompt::text::{Embeddings, SentenceEncoder};
use unprompt_benches::{SEED, prompts_of, sentence_encoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Prompts that are learnt from at most; a quarter as many are held out.
const LEARNT: usize = 8000;

/// The ridge's penalty; embeddings are unit vectors.
const PENALTY: f64 = 0.1;

fn main() -> Result<()> {
    let sentences = sentence_encoder(Precision::Full)?;
    println!(
        "prompts, learnt from, vocabulary, words a prompt, F1 of words read off the embedding"
    );
    let side = |split, count| {
        let prompts = Prompts::new(SEED, split).take(count);
        Embedded::new(prompts.map(|prompt| prompt.text).collect(), &sentences)
    };
    let (learnt, held_out) = (side(Split::Train, LEARNT)?, side(Split::Test, LEARNT / 4)?);
    report("pocket", &learnt, &held_out, &|_| true)?;
    report(
        "pocket, with a trace",
        &learnt,
        &held_out,
        &grammar::leaves_trace,
    )?;
    for file in std::env::args().skip(1).filter(|it| it != "--bench") {
        let mut texts = prompts_of(Path::new(&file))?;
        texts.truncate(LEARNT * 5 / 4);
        let held_out = Embedded::new(texts.split_off(texts.len() * 4 / 5), &sentences)?;
        report(
            &file,
            &Embedded::new(texts, &sentences)?,
            &held_out,
            &|_| true,
        )?;
    }
    Ok(())
}

/// Prompts with their embeddings.
struct Embedded {
    texts: Vec<String>,
    embeddings: Embeddings,
}

impl Embedded {
    fn new(texts: Vec<String>, sentences: &SentenceEncoder) -> Result<Self> {
        let embeddings = sentences.embed(&texts)?;
        Ok(Self { texts, embeddings })
    }
}

/// Prints how well words of `kind` are read off embeddings of `held_out`.
fn report(
    name: &str,
    learnt: &Embedded,
    held_out: &Embedded,
    kind: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let whole = Vocabulary::of_prompts(&learnt.texts, MAX_WORDS);
    let words = whole.words().iter().map(String::as_str);
    let kept: Vec<&str> = words.filter(|it| kind(it)).collect();
    let vocabulary = Vocabulary::from_text(&kept.join("\n"), Path::new("words"))?;
    let there = occurrences(&learnt.texts, &vocabulary);
    let read = features(&held_out.embeddings) * fit(&learnt.embeddings, &there)?;
    let truth = occurrences(&held_out.texts, &vocabulary);
    let half = truth.nrows() / 2;
    let tried = (1..20).map(|step| f64::from(step) / 20.0);
    let threshold = tried.max_by(|a, b| {
        let [a, b] = [a, b].map(|it| f1(&read, &truth, 0..half, *it));
        a.total_cmp(&b)
    });
    println!(
        "{name}, {}, {}, {:.1}, {:.3}",
        there.nrows(),
        there.ncols(),
        there.sum() / there.nrows() as f64,
        f1(&read, &truth, half..truth.nrows(), threshold.unwrap_or(0.5))
    );
    Ok(())
}

/// Embeddings and a constant.
fn features(embeddings: &Embeddings) -> Mat<f64> {
    let dim = embeddings.dim();
    Mat::from_fn(embeddings.len(), dim + 1, |row, column| {
        if column == dim {
            1.0
        } else {
            f64::from(embeddings.row(row)[column])
        }
    })
}

/// 1 where a text has a word, else 0.
fn occurrences(texts: &[String], vocabulary: &Vocabulary) -> Mat<f64> {
    let mut occurrences = Mat::zeros(texts.len(), vocabulary.len());
    for (row, text) in texts.iter().enumerate() {
        for number in vocabulary.numbers(text) {
            occurrences[(row, number as usize)] = 1.0;
        }
    }
    occurrences
}

fn fit(embeddings: &Embeddings, words: &Mat<f64>) -> Result<Mat<f64>> {
    let features = features(embeddings);
    let mut gram = features.transpose() * &features;
    for place in 0..gram.nrows() {
        gram[(place, place)] += PENALTY;
    }
    let factor = gram
        .llt(Side::Lower)
        .ok()
        .context("the embeddings are degenerate")?;
    Ok(factor.solve(features.transpose() * words))
}

/// Micro F1 of what is read, of some rows.
fn f1(read: &Mat<f64>, truth: &Mat<f64>, rows: Range<usize>, threshold: f64) -> f64 {
    let (mut right, mut all) = (0.0, 0.0);
    for row in rows {
        for column in 0..read.ncols() {
            let said = f64::from(u8::from(read[(row, column)] >= threshold));
            let there = truth[(row, column)];
            right += 2.0 * said * there;
            all += said + there;
        }
    }
    right / f64::max(all, 1.0)
}
