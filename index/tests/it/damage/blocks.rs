//! Files of several blocks: only those who read a damaged block meet the damage.

use std::fs;
use std::ops::ControlFlow;

use rand::RngExt;
use unprompt_index::{Deletion, Index, PromptId, check, compact, delete};

use super::sample::{options, place};
use crate::util::{DIM, built, clustered, files, rng};

const COUNT: usize = 2000;
/// In the second block of texts.
const AT: usize = 70_000;

#[test]
fn damage_of_a_block_is_met_where_it_is_read_and_never_copied() {
    let mut rng = rng(4);
    let mut text = |_| {
        (0..6)
            .map(|_| format!("{:016x} ", rng.random::<u64>()))
            .collect()
    };
    let texts: Vec<String> = (0..COUNT).map(&mut text).collect();
    let vectors = clustered(4, COUNT, DIM, 9);
    let entries = texts.iter().zip(vectors);
    let built = built(
        DIM,
        entries.map(|(text, vector)| (text.as_str(), vector, vec![])),
    );
    drop(built.index);
    let dir = &built.dir;
    let is_store = |file: &std::path::PathBuf| {
        file.to_string_lossy().contains("prompts") && file.extension().is_some_and(|e| e == "store")
    };
    let file = files(dir).into_iter().find(is_store).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 150_000, "{} bytes", bytes.len());
    bytes[AT] ^= 1;
    fs::write(&file, &bytes).unwrap();

    let index = Index::open(dir).unwrap();
    let (mut right, mut errors) = (0, 0);
    for (entry, text) in index.entries().zip(&texts) {
        match index.prompt(entry) {
            Ok(found) => {
                assert_eq!(found, *text);
                right += 1;
            }
            Err(error) => {
                let message = error.to_string();
                let name = file.file_name().unwrap().to_string_lossy();
                assert!(
                    message.contains(&*name) && message.contains("65536"),
                    "{message}"
                );
                errors += 1;
            }
        }
    }
    assert!(
        right > COUNT / 3 && errors > COUNT / 20,
        "{right} right, {errors} errors"
    );
    drop(index);

    // Words are in other files.
    let gone = Deletion::Prompts(vec![PromptId::of(&texts[0])]);
    assert_eq!(delete(place(dir), &gone).unwrap().prompts, 1);
    let before = fs::read(dir.join("MANIFEST")).unwrap();
    assert!(compact(place(dir), options(), &mut |_| ControlFlow::Continue(())).is_err());
    assert_eq!(fs::read(dir.join("MANIFEST")).unwrap(), before);
    assert_eq!(check(dir).unwrap().damaged[0].path, file);
    bytes[AT] ^= 1;
    fs::write(&file, &bytes).unwrap();
    compact(place(dir), options(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(check(dir).unwrap().damaged, []);
}
