//! Making an index: all or nothing, one writer, and the odd inputs.

use std::fs;
use std::ops::ControlFlow;

use unprompt_index::{
    BuildOptions, Encoder, Error, Index, KeywordQuery, Phase, PromptId, SearchRequest,
    VectorOptions, Writer, check,
};

use crate::util::{DIM, built, clustered, commit, copy, encoder, files, image, rng, unit};

fn writer(dir: &std::path::Path) -> Result<Writer, Error> {
    Writer::create(dir, encoder(DIM), BuildOptions::default())
}

fn axis(at: usize) -> Vec<f32> {
    (0..DIM).map(|i| if i == at { 1.0 } else { 0.0 }).collect()
}

#[test]
fn a_moved_folder_opens() {
    let built = built(DIM, [("a fox", axis(0), vec![image("fox.png")])]);
    let moved = built.folder.path().join("elsewhere");
    drop(built.index);
    fs::rename(&built.dir, &moved).unwrap();
    let index = Index::open(&moved).unwrap();
    let entry = index.find(&PromptId::of("a fox")).unwrap().unwrap();
    assert_eq!(index.prompt(entry).unwrap(), "a fox");
    assert_eq!(
        index.images(entry, None, 9).unwrap().0[0].image_name,
        "fox.png"
    );
    assert!(check(&moved).unwrap().damaged.is_empty());
}

#[test]
fn opening_searching_and_checking_write_nothing() {
    let built = built(DIM, [("a fox", axis(0), vec![image("fox.png")])]);
    drop(built.index);
    let state = |dir| -> Vec<_> {
        let state = |path: std::path::PathBuf| (path.metadata().unwrap().modified().unwrap(), path);
        files(dir).into_iter().map(state).collect()
    };
    let before = state(&built.dir);
    // Enforced by the system too, where the tests do not run as root.
    let mut folders = vec![built.dir.clone()];
    folders.extend(
        files(&built.dir)
            .iter()
            .map(|file| file.parent().unwrap().to_owned()),
    );
    let read_only = |yes: bool| {
        for folder in &folders {
            let mut permissions = fs::metadata(folder).unwrap().permissions();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                permissions.set_mode(if yes { 0o555 } else { 0o755 });
            }
            #[cfg(not(unix))]
            permissions.set_readonly(yes);
            fs::set_permissions(folder, permissions).unwrap();
        }
    };
    read_only(true);
    let index = Index::open(&built.dir);
    let report = check(&built.dir);
    read_only(false);
    let index = index.unwrap();
    assert!(report.unwrap().damaged.is_empty());
    let request = SearchRequest {
        vector: Some(axis(0)),
        keywords: Some(KeywordQuery::Text("fox".into())),
        ..SearchRequest::default()
    };
    assert_eq!(index.search(&request).unwrap().len(), 1);
    drop(index);
    assert_eq!(state(&built.dir), before);
}

#[test]
fn the_same_prompt_twice_is_one_entry_with_all_its_images() {
    let entries = [
        ("a fox", axis(0), vec![image("1.png"), image("2.png")]),
        ("an owl", axis(1), vec![image("3.png")]),
        ("a fox", axis(2), vec![image("4.png")]),
    ];
    let built = built(DIM, entries);
    assert_eq!(built.index.len(), 2);
    let entry = built.index.find(&PromptId::of("a fox")).unwrap().unwrap();
    let (images, count) = built.index.images(entry, None, 10).unwrap();
    let names: Vec<_> = images
        .iter()
        .map(|image| image.image_name.as_str())
        .collect();
    assert_eq!((names, count), (vec!["1.png", "2.png", "4.png"], 3));
    assert_eq!(built.index.images(entry, None, 1).unwrap().0.len(), 1);
    assert_eq!(
        built.index.vector(entry).unwrap(),
        axis(0),
        "the first vector stays"
    );
    let stats = built.index.stats().unwrap();
    assert_eq!(
        (
            stats.prompts,
            stats.images,
            stats.segments,
            stats.generation
        ),
        (2, 4, 1, 1)
    );
    let on_disk: u64 = files(&built.dir)
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert_eq!(stats.bytes.total, on_disk);
}

#[test]
fn prompts_without_a_vector_must_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder.path().join("i")).unwrap();
    writer.push("a fox", &axis(0), vec![]).unwrap();
    assert!(writer.knows("a fox").unwrap() && !writer.knows("an owl").unwrap());
    writer.add("a fox", vec![image("1.png")]).unwrap();
    let unknown = writer.add("an owl", vec![image("2.png")]);
    assert!(matches!(unknown, Err(Error::NoVector { .. })));
    assert_eq!((writer.len(), commit(writer).images), (1, 1));
}

#[test]
fn vectors_that_have_no_cosine_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&folder.path().join("i")).unwrap();
    let short = writer.push("a", &[1.0], vec![]);
    assert!(matches!(
        short,
        Err(Error::Dim {
            expected: DIM,
            got: 1
        })
    ));
    for bad in [f32::NAN, f32::INFINITY, 0.0, 1.01] {
        let mut vector = axis(0);
        vector[0] = bad;
        assert!(
            matches!(writer.push("a", &vector, vec![]), Err(Error::Vector { .. })),
            "{bad}"
        );
    }
    assert!(writer.is_empty());
    writer.push("a", &axis(0), vec![]).unwrap();
    commit(writer);
    let index = Index::open(&folder.path().join("i")).unwrap();
    let options = VectorOptions::default();
    assert!(matches!(
        index.vector_search(&[1.0], &options, None),
        Err(Error::Dim { .. })
    ));
    let zero = index.vector_search(&[0.0; DIM], &options, None);
    assert!(matches!(zero, Err(Error::Vector { .. })));
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("i");
    let default = BuildOptions::default();
    for (dim, options) in [
        (0, default),
        (1 << 20, default),
        (DIM, BuildOptions { m: 1, ..default }),
        (DIM, BuildOptions { m: 1000, ..default }),
        (
            DIM,
            BuildOptions {
                ef_construction: 2,
                ..default
            },
        ),
    ] {
        let refused = Writer::create(&dir, encoder(dim), options);
        assert!(
            matches!(refused, Err(Error::Option { .. })),
            "{dim} {options:?}"
        );
        assert!(!dir.exists());
    }
}

#[test]
fn an_uncommitted_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("a/b");
    let mut dropped = writer(&made).unwrap();
    dropped.push("a fox", &axis(0), vec![]).unwrap();
    assert!(made.join("segments").exists());
    drop(dropped);
    assert!(!made.exists());

    let found = folder.path().join("found");
    fs::create_dir(&found).unwrap();
    drop(writer(&found).unwrap());
    assert!(found.exists() && fs::read_dir(&found).unwrap().next().is_none());
}

#[test]
fn a_stopped_commit_leaves_nothing_whenever_it_is_stopped() {
    let vectors = clustered(1, 3000, DIM, 10);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("i");
    let mut phases = Vec::new();
    for stop_at in 0.. {
        let mut writer = writer(&dir).unwrap();
        for (i, vector) in vectors.iter().enumerate() {
            writer
                .push(&format!("prompt {i}"), vector, vec![image("x")])
                .unwrap();
        }
        phases.clear();
        let result = writer.commit(&mut |phase| {
            phases.push(phase);
            if phases.len() > stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match result {
            Err(Error::Cancelled) => assert!(!dir.exists(), "stopped at {phases:?}"),
            other => {
                assert_eq!(other.unwrap().prompts, 3000);
                break;
            }
        }
    }
    assert!(phases.contains(&Phase::Graph {
        done: 3000,
        total: 3000
    }));
    assert!(phases.ends_with(&[Phase::Keywords, Phase::Images, Phase::Sync]));
    assert_eq!(Index::open(&dir).unwrap().len(), 3000);
}

#[test]
fn a_second_writer_is_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("i");
    let first = writer(&dir).unwrap();
    let second = writer(&dir).err().unwrap();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
    assert!(
        second
            .to_string()
            .contains("being written by another process")
    );
    drop(first);
    drop(writer(&dir).unwrap());
}

#[test]
fn what_a_killed_build_leaves_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, killed) = (folder.path().join("i"), folder.path().join("killed"));
    let mut unfinished = writer(&dir).unwrap();
    unfinished.push("a fox", &axis(0), vec![]).unwrap();
    // A killed process leaves its files, but no lock.
    copy(&dir, &killed);
    fs::write(killed.join("MANIFEST.tmp"), "half").unwrap();
    assert!(files(&killed).len() > 3);
    let mut next = writer(&killed).unwrap();
    next.push("an owl", &axis(1), vec![]).unwrap();
    commit(next);
    let index = Index::open(&killed).unwrap();
    assert_eq!(index.find(&PromptId::of("a fox")).unwrap(), None);
    assert_eq!(index.len(), 1);
    assert!(!killed.join("MANIFEST.tmp").exists());
}

#[test]
fn other_folders_are_not_touched() {
    let built = built(DIM, [("a fox", axis(0), vec![])]);
    let again = writer(&built.dir).err().unwrap();
    assert!(matches!(again, Error::AlreadyAnIndex { .. }), "{again}");
    assert!(check(&built.dir).unwrap().damaged.is_empty());

    let other = built.folder.path().join("photos");
    fs::create_dir_all(other.join("segments/2022")).unwrap();
    let refused = |name: &str| {
        let before = files(&other);
        match writer(&other).err().unwrap() {
            Error::ForeignFile { name: found, .. } => assert_eq!(found, name),
            error => panic!("{error}"),
        }
        assert_eq!(files(&other), before);
    };
    refused("segments");
    fs::write(other.join("a.jpg"), "x").unwrap();
    refused("a.jpg");
    assert!(other.join("segments/2022").exists());
}

#[test]
fn what_is_no_index_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for dir in [folder.path(), &folder.path().join("absent"), &file] {
        assert!(
            matches!(Index::open(dir), Err(Error::NotAnIndex { .. })),
            "{}",
            dir.display()
        );
        assert!(
            matches!(check(dir), Err(Error::NotAnIndex { .. })),
            "{}",
            dir.display()
        );
    }
}

#[test]
fn the_empty_index_answers_every_call() {
    let built = built(DIM, []);
    let index = &built.index;
    assert!(index.is_empty() && index.entries().next().is_none());
    assert_eq!(
        index.encoder(),
        &Encoder {
            name: "test".into(),
            digest: "0123".into(),
            dim: DIM
        }
    );
    for exact in [false, true] {
        let options = VectorOptions {
            exact,
            ..VectorOptions::default()
        };
        assert!(
            index
                .vector_search(&axis(0), &options, None)
                .unwrap()
                .is_empty()
        );
    }
    let text = KeywordQuery::Text("fox".into());
    assert!(index.keyword_search(&text, 10, None).unwrap().is_empty());
    for filter in [
        "fox",
        "cfg:7",
        "-cfg:7",
        "sampler:x fox",
        "seed:[1 TO 2]",
        "seed:*",
    ] {
        let request = SearchRequest {
            vector: Some(axis(0)),
            keywords: Some(text.clone()),
            filter: Some(unprompt_index::Filter::parse(filter).unwrap()),
            ..SearchRequest::default()
        };
        assert!(index.search(&request).unwrap().is_empty(), "{filter}");
    }
    assert_eq!(index.find(&PromptId::of("")).unwrap(), None);
    assert_eq!(index.stats().unwrap().prompts, 0);
    assert!(check(&built.dir).unwrap().damaged.is_empty());
}

#[test]
fn prompts_of_every_kind_come_back() {
    let long = "word ".repeat(20_000);
    let unbroken = "x".repeat(100_000);
    let prompts = [
        "",
        " ",
        "\n\t\0",
        "\u{65e5}\u{672c}\u{306e}\u{72d0}\u{3001}\u{96ea}\u{306e}\u{4e2d}",
        "a \u{1f98a} in the \u{2744}",
        "e\u{301}",
        "\u{e9}",
        &long,
        &unbroken,
    ];
    let mut rng = rng(5);
    let entries = prompts.map(|prompt| (prompt, unit(&mut rng, DIM, None), vec![image(prompt)]));
    let built = built(DIM, entries.clone());
    assert_eq!(built.index.len(), prompts.len());
    for (prompt, vector, _) in &entries {
        let entry = built.index.find(&PromptId::of(prompt)).unwrap().unwrap();
        assert_eq!(built.index.prompt(entry).unwrap(), *prompt);
        assert_eq!(built.index.id(entry).unwrap(), PromptId::of(prompt));
        assert!((built.index.cosine(entry, vector).unwrap() - 1.0).abs() < 1e-5);
        if prompt.len() < 1000 {
            let image = &built.index.images(entry, None, 1).unwrap().0[0];
            assert_eq!(image.image_name, *prompt);
        }
    }
    let find = |text: &str| {
        let query = KeywordQuery::Text(text.into());
        let found = built.index.keyword_search(&query, 1, None).unwrap();
        built.index.prompt(found[0].entry).unwrap()
    };
    assert_eq!(find("words"), long);
    assert_eq!(
        find("\u{96ea}\u{306e}\u{4e2d}"),
        "\u{65e5}\u{672c}\u{306e}\u{72d0}\u{3001}\u{96ea}\u{306e}\u{4e2d}"
    );
}
