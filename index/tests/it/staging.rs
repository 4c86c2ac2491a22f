//! Vectors that were staged are there again after a build was killed.

use std::fs;

use unprompt_index::{BuildOptions, Encoder, Error, Index, Writer, check};

use crate::util::{DIM, clustered, commit, copy, encoder, files, image};

fn writer(dir: &std::path::Path) -> Writer {
    Writer::create(dir, encoder(DIM), BuildOptions::default()).unwrap()
}

#[test]
fn a_killed_build_goes_on_with_what_was_staged() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, killed) = (folder.path().join("i"), folder.path().join("killed"));
    let vectors = clustered(1, 4, DIM, 2);
    let mut first = writer(&dir);
    assert_eq!(first.staged(), 0);
    first.stage(&["a", "b"], &vectors[..2].concat()).unwrap();
    first.stage(&["c"], &vectors[2]).unwrap();
    first.add("a", vec![image("1.png")]).unwrap();
    copy(&dir, &killed);

    let mut next = writer(&killed);
    assert_eq!(next.staged(), 3);
    assert!(next.knows("c").unwrap() && !next.knows("d").unwrap() && next.is_empty());
    for prompt in ["a", "b", "c"] {
        next.add(prompt, vec![]).unwrap();
    }
    next.push("d", &vectors[3], vec![]).unwrap();
    commit(next);
    let index = Index::open(&killed).unwrap();
    for (prompt, vector) in ["a", "b", "c", "d"].iter().zip(&vectors) {
        let entry = index.find(&unprompt_index::PromptId::of(prompt)).unwrap();
        assert_eq!(index.vector(entry.unwrap()).unwrap(), *vector);
    }
    assert!(!killed.join("staging").exists(), "it is no longer needed");
    assert!(check(&killed).unwrap().damaged.is_empty());
}

#[test]
fn a_stopped_build_keeps_what_was_staged_and_is_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("i");
    let mut first = writer(&dir);
    let vectors = clustered(1, 1, DIM, 2);
    first.stage(&["a"], &vectors[0]).unwrap();
    first.add("a", vec![]).unwrap();
    let stopped = first.commit(&mut |_| std::ops::ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let told = Index::open(&dir).err().unwrap();
    assert!(matches!(told, Error::NotAnIndex { .. }));
    assert!(told.to_string().contains("was not finished"), "{told}");
    assert_eq!(writer(&dir).staged(), 1);
}

#[test]
fn half_written_or_damaged_files_and_other_encoders_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("i");
    let vectors = clustered(1, 3, DIM, 2);
    let mut first = writer(&dir);
    for (prompt, vector) in ["a", "b", "c"].iter().zip(&vectors) {
        first.stage(&[prompt], vector).unwrap();
    }
    drop(first);
    let shards = files(&dir.join("staging"));
    assert_eq!(shards.len(), 3);
    let mut bytes = fs::read(&shards[0]).unwrap();
    bytes[100] ^= 1;
    fs::write(&shards[0], bytes).unwrap();
    let half = fs::read(&shards[1]).unwrap();
    fs::write(&shards[1], &half[..half.len() / 2]).unwrap();
    fs::write(shards[2].with_file_name("unfinished"), "half").unwrap();
    // Whole by its name, but no file of vectors; and folders where files belong, and the reverse.
    let named = |bytes: &[u8]| format!("000007-{:016x}", xxhash_rust::xxh3::xxh3_64(bytes));
    fs::write(shards[2].with_file_name(named(b"text")), "text").unwrap();
    let folder = shards[2].with_file_name("000009-0123");
    fs::create_dir_all(folder.join("within")).unwrap();
    fs::write(folder.join("within/file"), "x").unwrap();
    fs::write(dir.join("staging/file"), "x").unwrap();
    let next = writer(&dir);
    assert_eq!(next.staged(), 1);
    assert!(next.knows("c").unwrap());
    assert_eq!(files(&dir.join("staging")).len(), 1, "the others are gone");
    drop(next);

    let other = Encoder {
        digest: "another".into(),
        ..encoder(DIM)
    };
    let other = Writer::create(&dir, other, BuildOptions::default()).unwrap();
    assert_eq!(other.staged(), 0);
}

#[test]
fn vectors_that_fit_nothing_are_not_staged() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder.path().join("i"));
    assert!(matches!(
        writer.stage(&["a"], &[1.0]),
        Err(Error::Dim { .. })
    ));
    let zero = writer.stage(&["a"], &[0.0; DIM]);
    assert!(matches!(zero, Err(Error::Vector { .. })));
    writer.stage(&[], &[]).unwrap();
    assert_eq!(writer.staged(), 0);
}
