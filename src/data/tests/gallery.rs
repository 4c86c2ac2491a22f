//! Folders of images that carry their prompt, or do not.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use unprompt_index::ImageRecord;

use super::folders::folder;
use super::{ReadOptions, rows_of};
use crate::data::gallery::KnownFiles;
use crate::data::read::{Sink, read};
use crate::data::row::Row;

/// When the files of these tests were changed, in milliseconds since 1970.
const MS: i64 = 1_700_000_000_123;

/// A picture of 3 x 2 pixels, with AUTOMATIC1111's text if there is one.
fn png(parameters: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(png::ColorType::Rgb);
    if let Some(text) = parameters {
        encoder
            .add_text_chunk("parameters".to_owned(), text.to_owned())
            .unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0; 18]).unwrap();
    drop(writer);
    bytes
}

/// The folder as the names of its images have it.
fn whole(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap()
}

fn set_time(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let time = UNIX_EPOCH + Duration::from_millis(MS as u64);
    file.set_modified(time).unwrap();
}

/// All that a source says.
#[derive(Default)]
struct All {
    rows: Vec<Row>,
    changed: Vec<String>,
    without: Vec<ImageRecord>,
    looked: Vec<(usize, usize)>,
}

impl Sink for All {
    fn row(&mut self, row: Row) -> ControlFlow<()> {
        self.rows.push(row);
        ControlFlow::Continue(())
    }

    fn changed(&mut self, name: &str) -> ControlFlow<()> {
        self.changed.push(name.to_owned());
        ControlFlow::Continue(())
    }

    fn without_prompt(&mut self, image: ImageRecord) -> ControlFlow<()> {
        self.without.push(image);
        ControlFlow::Continue(())
    }

    fn looked_at(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.looked.push((done, total));
        ControlFlow::Continue(())
    }
}

#[test]
fn images_give_their_prompts_and_what_is_known_of_them() {
    let text = "a red fox\nNegative prompt: bad\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 5, \
                Size: 3x2, Model: DreamShaper_8";
    let folder = folder(&[
        ("b/fox.png", &png(Some(text))),
        ("a.png", &png(None)),
        ("b/broken.png", b"x"),
        ("b/notes.txt", b"no prompt"),
        (".hidden/c.png", &png(Some(text))),
    ]);
    let at = whole(folder.path());
    for name in ["a.png", "b/fox.png"] {
        set_time(&at.join(name));
    }
    let mut all = All::default();
    let summary = read(folder.path(), &ReadOptions::default(), &mut all).unwrap();
    let file = |name: &str, bytes: &[u8]| ImageRecord {
        image_name: at.join(name).to_str().unwrap().to_owned(),
        width: Some(3),
        height: Some(2),
        timestamp: Some(MS),
        file_size: Some(bytes.len() as u64),
        ..ImageRecord::default()
    };
    let fox = Row {
        prompt: "a red fox".to_owned(),
        image: Some(ImageRecord {
            seed: Some(5),
            step: Some(20),
            cfg: Some(7.5),
            sampler: Some("DPM++ 2M".to_owned()),
            model: Some("DreamShaper_8".to_owned()),
            generator: Some("automatic1111".to_owned()),
            ..file("b/fox.png", &png(Some(text)))
        }),
        vector: None,
    };
    assert_eq!(all.rows, [fox]);
    assert_eq!(all.without, [file("a.png", &png(None))]);
    assert_eq!(all.looked, [(3, 3)]);
    assert_eq!((summary.rows, summary.empty, summary.invalid), (1, 1, 1));
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems);
    };
    let broken = at.join("b/broken.png");
    assert!(
        problem.starts_with(&format!("{}: ", broken.display())),
        "{problem}"
    );

    let one = rows_of(&folder.path().join("b/fox.png"), &ReadOptions::default()).unwrap();
    assert_eq!(one.0, all.rows);
    let limited = ReadOptions {
        limit: Some(0),
        ..ReadOptions::default()
    };
    assert_eq!(rows_of(folder.path(), &limited).unwrap().1.rows, 0);
}

#[test]
fn files_are_read_again_only_after_a_change() {
    let folder = folder(&[
        ("a.png", &png(Some("a cat"))),
        ("b.png", &png(Some("a dog"))),
        ("c.png", &png(None)),
    ]);
    let read = |options: &ReadOptions| rows_of(folder.path(), options).unwrap();
    let (rows, _) = read(&ReadOptions::default());
    let mut known_files = KnownFiles::default();
    for image in rows.iter().filter_map(|row| row.image.as_ref()) {
        known_files.add(image);
    }
    let options = ReadOptions {
        known_files: Arc::new(known_files.clone()),
        ..ReadOptions::default()
    };
    let (rows, summary) = read(&options);
    assert!(rows.is_empty());
    assert_eq!((summary.unchanged, summary.empty), (2, 1));
    set_time(&folder.path().join("a.png"));
    fs::write(folder.path().join("b.png"), png(Some("two dogs"))).unwrap();
    let mut all = All::default();
    crate::data::read::read(folder.path(), &options, &mut all).unwrap();
    let prompts: Vec<&str> = all.rows.iter().map(|row| &*row.prompt).collect();
    assert_eq!(prompts, ["a cat", "two dogs"]);
    let changed = ["a.png", "b.png"].map(|name| whole(folder.path()).join(name));
    assert_eq!(
        all.changed,
        changed.map(|path| path.to_str().unwrap().to_owned())
    );

    let names: Vec<&str> = known_files.below(&whole(folder.path())).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(known_files.below(Path::new("/elsewhere")).count(), 0);
}

#[test]
fn tables_beside_images_are_read_too_and_texts_are_not() {
    let folder = folder(&[
        ("images/a.png", &png(Some("a cat"))),
        ("notes.txt", b"buy milk"),
        ("prompts.csv", b"prompt\na dog\n"),
    ]);
    let (rows, summary) = rows_of(folder.path(), &ReadOptions::default()).unwrap();
    let prompts: Vec<String> = rows.into_iter().map(|row| row.prompt).collect();
    assert_eq!(prompts, ["a dog", "a cat"]);
    let [texts, tables] = &summary.notes[..] else {
        panic!("{:?}", summary.notes);
    };
    assert!(texts.ends_with("none of its text files; name those to have them read: notes.txt"));
    assert!(tables.ends_with("reading its data files: prompts.csv"));
}

#[test]
fn a_folder_that_had_images_is_a_gallery_however_empty() {
    let folder = folder(&[("notes.txt", b"buy milk")]);
    let mut known = KnownFiles::default();
    known.add(&ImageRecord {
        image_name: whole(folder.path())
            .join("a.png")
            .to_str()
            .unwrap()
            .to_owned(),
        file_size: Some(1),
        timestamp: Some(1),
        ..ImageRecord::default()
    });
    let read = |known_files| {
        let options = ReadOptions {
            known_files,
            ..ReadOptions::default()
        };
        rows_of(folder.path(), &options).unwrap().0.len()
    };
    assert_eq!(read(Arc::default()), 1);
    assert_eq!(read(Arc::new(known)), 0);
}

#[test]
fn a_broken_file_that_was_named_is_counted() {
    let folder = folder(&[("a.png", b"x")]);
    let (rows, summary) = rows_of(&folder.path().join("a.png"), &ReadOptions::default()).unwrap();
    assert_eq!((rows.len(), summary.invalid), (0, 1));
}

#[test]
fn models_have_no_folder() {
    let text = "a cat\nSteps: 20, Sampler: Euler, Seed: 5, Model: SD15/sub\\dream_8.safetensors";
    let folder = folder(&[("a.png", &png(Some(text)))]);
    let (rows, _) = rows_of(folder.path(), &ReadOptions::default()).unwrap();
    let model = rows[0].image.as_ref().unwrap().model.as_deref();
    assert_eq!(model, Some("dream_8.safetensors"));
}

#[test]
fn reading_ends_when_it_is_asked_to() {
    struct Stop;
    impl Sink for Stop {
        fn row(&mut self, _: Row) -> ControlFlow<()> {
            panic!("nothing is wanted any more");
        }

        fn without_prompt(&mut self, _: ImageRecord) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let folder = folder(&[("a.png", &png(None)), ("b.png", &png(Some("a cat")))]);
    let summary = read(folder.path(), &ReadOptions::default(), &mut Stop).unwrap();
    assert_eq!((summary.rows, summary.empty), (0, 1));
}
