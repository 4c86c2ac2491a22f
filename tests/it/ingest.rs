//! Building an index stage by stage: nothing is embedded twice, and vectors that come with prompts are
//! taken as they are.

use std::ops::ControlFlow;

use unprompt::Error;
use unprompt::data::row::Row;
use unprompt::indexing::{IndexingEvent, Ingest, Ingested};
use unprompt::pocket::{Prompts, Split};
use unprompt_index::{BuildOptions, Index, PromptId};

use crate::support::encoder;

fn rows(count: usize) -> Vec<Row> {
    let row = |prompt: String| Row {
        prompt,
        ..Row::default()
    };
    let texts = Prompts::new(5, Split::Test).map(|prompt| prompt.text);
    let mut texts: Vec<String> = texts.take(count * 2).collect();
    texts.sort();
    texts.dedup();
    texts.into_iter().map(row).take(count).collect()
}

fn ingest<'a>(dir: &std::path::Path, rows: &[Row]) -> Ingest<'a> {
    let mut ingest = Ingest::create(dir, encoder(), BuildOptions::default()).unwrap();
    for row in rows {
        ingest.take(row.clone()).unwrap();
    }
    ingest
}

#[test]
fn a_stopped_build_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("index");
    let rows = rows(2500);
    let first = ingest(&dir, &rows);
    assert_eq!(first.staged(), 0);
    let stopped = first.finish(&mut |event| match event {
        IndexingEvent::Embedding(done, _) if done > 1500 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert!(Index::open(&dir).is_err());

    let second = ingest(&dir, &rows);
    let staged = second.staged();
    assert!((1000..1600).contains(&staged), "{staged}");
    let mut first_shown = None;
    let done = second.finish(&mut |event| {
        if let IndexingEvent::Embedding(done, total) = event {
            assert_eq!(total, 2500);
            first_shown = first_shown.or(Some(done));
        }
        ControlFlow::Continue(())
    });
    let done = done.unwrap();
    assert_eq!((done.embedded, done.added), (2500 - staged, 2500));
    assert!(
        first_shown.is_some_and(|shown| shown >= staged),
        "progress starts anew"
    );
    let index = Index::open(&dir).unwrap();
    for row in rows.iter().step_by(500) {
        let entry = index.find(&PromptId::of(&row.prompt)).unwrap().unwrap();
        let vector = encoder().embed(&[&row.prompt]).unwrap();
        assert!(index.cosine(entry, vector.row(0)).unwrap() > 0.9999);
    }
}

#[test]
fn vectors_that_come_with_prompts_are_taken_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = rows(40);
    let texts: Vec<&str> = rows.iter().map(|row| row.prompt.as_str()).collect();
    let embeddings = encoder().embed(&texts).unwrap();
    let vectors: Vec<Vec<f32>> = embeddings.rows().map(<[f32]>::to_vec).collect();
    let build = |name: &str, rows: &[Row]| -> Result<(Ingested, Index), Error> {
        let dir = folder.path().join(name);
        let done = ingest(&dir, rows).finish(&mut |_| ControlFlow::Continue(()))?;
        Ok((done, Index::open(&dir).unwrap()))
    };
    for (row, vector) in rows.iter_mut().zip(&vectors).take(30) {
        row.vector = Some(vector.clone());
    }
    let (done, index) = build("own", &rows).unwrap();
    assert_eq!((done.embedded, done.stats.prompts), (10, 40));
    let entry = index.find(&PromptId::of(&rows[3].prompt)).unwrap().unwrap();
    let taken = index.vector(entry).unwrap();
    let off = taken.iter().zip(&vectors[3]).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) <= 0.5f32.powi(12), "rounded to f16");
    // As another model would place them.
    for (row, vector) in rows.iter_mut().zip(&vectors) {
        row.vector = Some(vector.iter().rev().copied().collect());
    }
    let error = build("others", &rows).err().unwrap();
    assert!(matches!(error, Error::ForeignVectors { cosine, .. } if cosine < 0.5));
    assert!(!folder.path().join("others").exists());
}
