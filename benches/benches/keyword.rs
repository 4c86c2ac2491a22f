//! How long does a keyword search take, beside tantivy's two ways over the same prompts?
//!
//!     cargo bench -p unprompt-benches --bench keyword -- --prompts FILE.txt [--queries FILE.txt] [--keep DIR] [--count N]
//!
//! Queries are words of held-out prompts with weights in (0, 1], as a vocabulary's head gives
//! them, and whole held-out prompts; the 100 best prompts are asked for. tantivy answers them by
//! block-max WAND, which is its way for the best of a union, and by scoring every prompt of the union,
//! which a count beside the best forces it to. Each query is put to all three in turn, by one thread,
//! so that what else the machine does strikes all alike. Scores must agree: ours are sums in the
//! order of the words, tantivy's in another, so that they may differ by rounding and equal
//! ones by order.
//!
//! `--keep` leaves both indexes in a folder, or takes those that are there.

use std::collections::{BTreeMap, HashSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tantivy::collector::{Count, TopDocs};
use tantivy::directory::MmapDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer, TokenizerManager,
};
use tantivy::{Searcher, SingleSegmentIndexWriter, TantivyDocument, Term};
use unprompt_benches::{SEED, flags, prompts_of};
use unprompt_index::{BuildOptions, Encoder, Index, KeywordQuery, Writer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 100;
/// Times that each query is put to each; its median counts.
const ROUNDS: usize = 3;
/// Words of a query.
const LENGTHS: [RangeInclusive<usize>; 3] = [10..=10, 10..=20, 20..=20];
/// Queries of a kind, unless `--count` says otherwise.
const COUNT: usize = 300;
/// Prompts of the file that are held out where no others are given.
const HELD_OUT: usize = 1000;

struct Flags {
    prompts: PathBuf,
    queries: Option<PathBuf>,
    keep: Option<PathBuf>,
    count: usize,
}

fn main() -> Result<()> {
    let flags = asked()?;
    let mut prompts = prompts_of(&flags.prompts)?;
    let held_out = match &flags.queries {
        Some(path) => prompts_of(path)?,
        None => prompts.split_off(prompts.len().saturating_sub(HELD_OUT)),
    };
    let folder = tempfile::tempdir()?;
    let dir = flags.keep.unwrap_or_else(|| folder.path().to_owned());
    let (ours, theirs) = (dir.join("ours"), dir.join("tantivy"));
    if !ours.exists() {
        build(&prompts, &ours)?;
        Peer::build(&prompts, &theirs)?;
    }
    let (index, peer) = (Index::open(&ours)?, Peer::open(&theirs)?);
    ensure!(
        index.len() == prompts.len(),
        "the index is of other prompts"
    );
    println!("{} prompts, top {K}, milliseconds", prompts.len());
    println!(
        "queries            postings   ours: median   p99   WAND: median   p99   union: median   p99   times WAND   times union"
    );
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for words in LENGTHS {
        let name = format!("{} to {} words", words.start(), words.end());
        let queries = (0..flags.count).map(|_| weighted(&held_out, words.clone(), &mut rng));
        race(&name, &queries.collect::<Vec<_>>(), &index, &peer)?;
    }
    let whole = held_out
        .iter()
        .take(flags.count)
        .map(|text| unweighted(text));
    race("whole prompts", &whole.collect::<Vec<_>>(), &index, &peer)
}

/// Words as they are written, and their weights.
type Words = Vec<(String, f32)>;

/// As many words of held-out prompts, one prompt after the other from any on, with any weights.
fn weighted(held_out: &[String], words: RangeInclusive<usize>, rng: &mut ChaCha8Rng) -> Words {
    let count = rng.random_range(words);
    let first = rng.random_range(0..held_out.len());
    let prompts = held_out.iter().cycle().skip(first);
    let mut seen = HashSet::new();
    let words = prompts.flat_map(|text| words_of(text));
    let words = words.filter(|word| seen.insert(*word)).take(count);
    let weight = |word: &str| (word.to_owned(), 1.0 - rng.random::<f32>());
    words.map(weight).collect()
}

/// The words of a prompt, each as often as it stands there.
fn unweighted(text: &str) -> Words {
    words_of(text).map(|word| (word.to_owned(), 1.0)).collect()
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty())
}

/// Puts the queries to all three, and prints a row.
fn race(name: &str, queries: &[Words], index: &Index, peer: &Peer) -> Result<()> {
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut postings = 0;
    for words in queries {
        let keywords = KeywordQuery::Weighted(words.clone());
        let query = peer.query(words);
        postings += peer.postings(words)?;
        let mut rounds: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            let (ours, time) = timed(|| index.keyword_search(&keywords, K, None));
            rounds[0].push(time);
            let (wand, time) = timed(|| peer.wand(&query));
            rounds[1].push(time);
            let (union, time) = timed(|| peer.union(&query));
            rounds[2].push(time);
            let ours: Vec<f32> = ours?.iter().map(|found| found.score).collect();
            agree(&ours, &union?, words)?;
            agree(&ours, &wand?, words)?;
        }
        for (all, mut rounds) in times.iter_mut().zip(rounds) {
            all.push(quantile(&mut rounds, 0.5));
        }
    }
    let [ours, wand, union] =
        times.map(|mut times| (quantile(&mut times, 0.5), quantile(&mut times, 0.99)));
    println!(
        "{name:<16} {:>10}   {:>12.2} {:>5.2}   {:>12.2} {:>5.2}   {:>13.2} {:>5.2}   {:>10.3}   {:>11.3}",
        postings / queries.len() as u64,
        ours.0,
        ours.1,
        wand.0,
        wand.1,
        union.0,
        union.1,
        ours.0 / wand.0,
        ours.0 / union.0
    );
    Ok(())
}

/// What a call gives, and its milliseconds.
fn timed<T>(call: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let value = std::hint::black_box(call());
    (value, start.elapsed().as_secs_f64() * 1e3)
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(share * (times.len() - 1) as f64).round() as usize]
}

fn agree(ours: &[f32], theirs: &[f32], words: &Words) -> Result<()> {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a;
    let all = ours.len() == theirs.len() && ours.iter().zip(theirs).all(near);
    ensure!(all, "scores differ for {words:?}:\n{ours:?}\n{theirs:?}");
    Ok(())
}

/// Our index, with the least graph that a writer makes.
fn build(prompts: &[String], dir: &Path) -> Result<()> {
    let encoder = Encoder {
        name: "bench".into(),
        digest: "none".into(),
        dim: 2,
    };
    let options = BuildOptions {
        m: 2,
        ef_construction: 2,
        ..BuildOptions::default()
    };
    let mut writer = Writer::create(dir, encoder, options)?;
    for (number, prompt) in prompts.iter().enumerate() {
        let (sin, cos) = (number as f32).sin_cos();
        writer.push(prompt, &[sin, cos], vec![])?;
    }
    writer.commit(&mut |_| ControlFlow::Continue(()))?;
    Ok(())
}

/// The analyzer of our index.
fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(128))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// Words as they stand in the index.
fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut add = |token: &tantivy::tokenizer::Token| terms.push(token.text.clone());
    analyzer().token_stream(text).process(&mut add);
    terms
}

/// The prompts in an index of tantivy's, with one segment as ours.
struct Peer {
    searcher: Searcher,
    prompt: Field,
}

impl Peer {
    fn schema() -> Schema {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer("prompt")
            .set_index_option(IndexRecordOption::WithFreqs);
        schema.add_text_field("prompt", TextOptions::default().set_indexing_options(words));
        schema.build()
    }

    fn tokenizers() -> TokenizerManager {
        let tokenizers = TokenizerManager::default();
        tokenizers.register("prompt", analyzer());
        tokenizers
    }

    fn build(prompts: &[String], dir: &Path) -> Result<()> {
        std::fs::create_dir(dir)?;
        let mut writer: SingleSegmentIndexWriter = tantivy::Index::builder()
            .schema(Peer::schema())
            .tokenizers(Peer::tokenizers())
            .single_segment_index_writer(MmapDirectory::open(dir)?, 64 << 20)?;
        let field = Peer::schema().get_field("prompt")?;
        for prompt in prompts {
            let mut document = TantivyDocument::new();
            document.add_text(field, prompt);
            writer.add_document(document)?;
        }
        writer.finalize()?;
        Ok(())
    }

    fn open(dir: &Path) -> Result<Peer> {
        let index = tantivy::Index::open_in_dir(dir)?;
        Ok(Peer {
            searcher: index.reader()?.searcher(),
            prompt: index.schema().get_field("prompt")?,
        })
    }

    /// The terms of words with their weights; one that comes twice has the sum.
    fn terms(&self, words: &Words) -> BTreeMap<Term, f32> {
        let mut sums = BTreeMap::new();
        for (word, weight) in words {
            for term in terms(word) {
                let term = Term::from_field_text(self.prompt, &term);
                *sums.entry(term).or_insert(0.0) += weight;
            }
        }
        sums
    }

    /// The union of the words.
    fn query(&self, words: &Words) -> BooleanQuery {
        let query = |(term, weight): (Term, f32)| {
            let term = TermQuery::new(term, IndexRecordOption::WithFreqs);
            Box::new(BoostQuery::new(Box::new(term), weight)) as Box<dyn Query>
        };
        BooleanQuery::union(self.terms(words).into_iter().map(query).collect())
    }

    /// How many prompts each of the words has, in all.
    fn postings(&self, words: &Words) -> Result<u64> {
        let terms = self.terms(words).into_keys();
        terms.map(|term| Ok(self.searcher.doc_freq(&term)?)).sum()
    }

    fn wand(&self, query: &BooleanQuery) -> Result<Vec<f32>> {
        let best = TopDocs::with_limit(K).order_by_score();
        let found = self.searcher.search(query, &best)?;
        Ok(found.into_iter().map(|(score, _)| score).collect())
    }

    fn union(&self, query: &BooleanQuery) -> Result<Vec<f32>> {
        let best = TopDocs::with_limit(K).order_by_score();
        let (found, _) = self.searcher.search(query, &(best, Count))?;
        Ok(found.into_iter().map(|(score, _)| score).collect())
    }
}

fn asked() -> Result<Flags> {
    let (mut prompts, mut queries, mut keep) = (None, None, None);
    let mut count = COUNT;
    flags("--prompts, --queries, --keep and --count", |flag, value| {
        match flag {
            "--prompts" => prompts = Some(value.into()),
            "--queries" => queries = Some(value.into()),
            "--keep" => keep = Some(value.into()),
            "--count" => count = value.parse()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Flags {
        prompts: prompts.context("--prompts needs a file")?,
        queries,
        keep,
        count,
    })
}
