//! Power cuts and failing calls: at every point where a change asks the medium for something, in
//! turn, the index is as before or as after.
//!
//! The change is made over and over, with the fault at one call later each time. Of what a power
//! cut then leaves, the least, the most and some of what is possible between the two are looked
//! at: before the MANIFEST is renamed, each must be the index as before; once the folder with the
//! new name is synced, as after; between these two, either. And what is left can be changed again.

use std::path::{Path, PathBuf};

use unprompt_index::Place;

use crate::changes::{Change, Model};
use crate::medium::{Call, Fault, Kind, Luck, Medium, Picture};
use crate::util::{State, copy, rng, state};

/// Mixtures of what is durable and what is not that are looked at of every power cut.
const MIXTURES: usize = 4;
/// The same where the new MANIFEST is there, but not lasting.
const MORE_MIXTURES: usize = 40;
const LUCKS: usize = 2 + MIXTURES;

const FAULTS: [Fault; 4] = [
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::FailBefore,
    Fault::FailAfter,
];

/// A change, and what it starts from.
struct Case {
    /// What was done before.
    past: Vec<Change>,
    change: Change,
    /// Where the index stands.
    below: &'static str,
}

fn rows(numbers: std::ops::Range<usize>, image: usize) -> Vec<(usize, usize)> {
    numbers.map(|prompt| (prompt, image)).collect()
}

/// A change of an index of two segments that lack something already.
fn change(change: Change) -> Case {
    let past = vec![
        Change::Build(rows(0..24, 0)),
        Change::Add(rows(24..30, 1)),
        Change::Delete(vec![3, 25]),
    ];
    Case {
        past,
        change,
        below: "index",
    }
}

fn build(below: &'static str) -> Case {
    Case {
        past: Vec::new(),
        change: Change::Build(rows(0..9, 0)),
        below,
    }
}

/// A case with the states before and after it.
struct Prepared {
    case: Case,
    /// The folder to start from.
    start: tempfile::TempDir,
    model: Model,
    before: Option<State>,
    after: Option<State>,
    calls: Vec<Call>,
    /// Folders looked at.
    looked: usize,
}

/// A folder with the index on its medium.
struct Run {
    _folder: tempfile::TempDir,
    medium: std::sync::Arc<Medium>,
    dir: PathBuf,
}

impl Run {
    fn make(&self, change: &Change) -> Result<(), unprompt_index::Error> {
        let place = Place::on(&self.dir, self.medium.clone());
        change.make(place, &mut |_| {})
    }
}

impl Prepared {
    fn new(case: Case) -> Prepared {
        let start = tempfile::tempdir().unwrap();
        let dir = start.path().join(case.below);
        let mut model = Model::default();
        for change in &case.past {
            change.make(&dir, &mut |_| {}).unwrap();
            model.apply(change);
        }
        let before = state(&dir).unwrap();
        assert_eq!(before.clone().unwrap_or_default().1, model.content());
        let mut prepared = Prepared {
            start,
            model: model.clone(),
            before,
            after: None,
            calls: Vec::new(),
            looked: 0,
            case,
        };
        model.apply(&prepared.case.change);
        let run = prepared.run();
        run.make(&prepared.case.change).unwrap();
        prepared.after = state(&run.dir).unwrap();
        assert_eq!(prepared.after.clone().unwrap().1, model.content());
        prepared.calls = run.medium.take().1;
        let last = run.medium.picture(prepared.calls.len());
        prepared.check(&last, "at the end");
        prepared
    }

    fn run(&self) -> Run {
        let folder = tempfile::tempdir().unwrap();
        copy(self.start.path(), folder.path());
        Run {
            medium: Medium::new(folder.path()),
            dir: folder.path().canonicalize().unwrap().join(self.case.below),
            _folder: folder,
        }
    }

    /// The call that gives the MANIFEST its name.
    fn rename(&self) -> usize {
        let manifest = Path::new(self.case.below).join("MANIFEST");
        let rename = Call(Kind::Rename, manifest);
        self.calls.iter().position(|call| *call == rename).unwrap()
    }

    /// The call that makes it last.
    fn commit(&self) -> usize {
        let sync = Call(Kind::SyncDir, self.case.below.into());
        let after = &self.calls[self.rename()..];
        let lasts = after.iter().position(|call| *call == sync);
        self.rename() + lasts.expect("nothing makes the name of the MANIFEST last")
    }

    /// The states that a picture may show.
    fn allowed(&self, picture: &Picture, luck: &Luck) -> Vec<&Option<State>> {
        let either = || vec![&self.before, &self.after];
        match luck {
            _ if picture.done > self.commit() => vec![&self.after],
            _ if picture.done <= self.rename() => vec![&self.before],
            Luck::None => vec![&self.before],
            Luck::All => vec![&self.after],
            Luck::Some(_) => either(),
        }
    }

    /// Looks at what is left after a power cut, and changes some of it again.
    fn check(&mut self, picture: &Picture, what: &str) {
        let between = (self.rename() + 1..=self.commit()).contains(&picture.done);
        let mixtures = if between { MORE_MIXTURES } else { MIXTURES };
        for (number, (mut luck, what)) in lucks(what, picture, mixtures).enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let dir = develop(picture, &mut luck, &folder).join(self.case.below);
            let found = state(&dir).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(self.allowed(picture, &luck).contains(&&found), "{what}");
            if picture.done % LUCKS == number {
                let (next, expected) = self.next(&found);
                let made = next.make(&dir, &mut |_| {});
                made.unwrap_or_else(|error| panic!("{what}, next change: {error:?}"));
                assert_eq!(state(&dir).unwrap(), Some(expected), "{what}");
            }
            self.looked += 1;
        }
    }

    /// Another change of what is there, and what it leads to.
    fn next(&self, found: &Option<State>) -> (Change, State) {
        let Some((generation, _)) = found else {
            let rows = rows(5..12, 2);
            let mut model = Model::default();
            model.apply(&Change::Build(rows.clone()));
            return (Change::Build(rows), (1, model.content()));
        };
        let mut model = self.model.clone();
        if *found == self.after {
            model.apply(&self.case.change);
        }
        let change = Change::Add(rows(20..50, 2));
        model.apply(&change);
        (change, (generation + 1, model.content()))
    }

    fn every_fault_at_every_call(&mut self) {
        for call in 0..self.calls.len() {
            for fault in FAULTS {
                let at = &self.calls[call];
                let what = format!("{} {fault:?} {call} {at:?}", self.case.change.name());
                let run = self.run();
                run.medium.arm(call, fault);
                let result = run.make(&self.case.change);
                let (pictures, _) = run.medium.take();
                for picture in &pictures {
                    self.check(picture, &what);
                }
                // Only removing what is of no use any more may fail in silence.
                assert!(result.is_err() || call > self.commit(), "{what}");
                let critical = call == self.rename() || call == self.commit();
                self.goes_on(&run, &what, critical);
            }
        }
    }

    /// Who lives to see the fault finds the index as before or as after, and changes it again.
    /// If the power is cut then, nothing is lost either, which is looked at where it is `critical`:
    /// where the change is there, but may not be lasting.
    fn goes_on(&mut self, run: &Run, what: &str, critical: bool) {
        let found = state(&run.dir).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(found == self.before || found == self.after, "{what}");
        let (next, expected) = self.next(&found);
        let expected = Some(expected);
        run.medium.recover(critical);
        let made = run.make(&next);
        made.unwrap_or_else(|error| panic!("{what}, next change: {error:?}"));
        assert_eq!(state(&run.dir).unwrap(), expected, "{what}");
        let (pictures, calls) = run.medium.take();
        let last = run.medium.picture(calls.len());
        for picture in pictures.iter().chain([&last]) {
            let is_last = picture.done == calls.len();
            let what = format!("{what}, next change {:?}", calls.get(picture.done));
            // The least that may be left, and a mixture.
            for (mut luck, what) in lucks(&what, picture, 1).step_by(2) {
                let folder = tempfile::tempdir().unwrap();
                let dir = develop(picture, &mut luck, &folder).join(self.case.below);
                let left = state(&dir).unwrap_or_else(|error| panic!("{what}: {error}"));
                let known = !is_last && [&self.before, &found].contains(&&left);
                assert!(left == expected || known, "{what}");
                self.looked += 1;
            }
        }
    }
}

fn develop(picture: &Picture, luck: &mut Luck, folder: &tempfile::TempDir) -> PathBuf {
    let root = folder.path().join("root");
    picture.develop(luck, &root);
    root
}

/// The least and the most that may be left, and mixtures.
fn lucks(what: &str, picture: &Picture, mixtures: usize) -> impl Iterator<Item = (Luck, String)> {
    let first = (picture.done * MORE_MIXTURES) as u64;
    let mixture = |seed| (Luck::Some(Box::new(rng(seed))), format!("mixture {seed}"));
    [
        (Luck::None, "nothing more".to_owned()),
        (Luck::All, "all".to_owned()),
    ]
    .into_iter()
    .chain((first..).take(mixtures).map(mixture))
    .map(move |(luck, name)| (luck, format!("{what}, {name} is left")))
}

fn survives(case: Case) {
    let mut prepared = Prepared::new(case);
    prepared.every_fault_at_every_call();
    let Prepared {
        case,
        calls,
        looked,
        ..
    } = prepared;
    println!(
        "{}: {} calls, {looked} folders looked at",
        case.change.name(),
        calls.len()
    );
    assert!(looked > calls.len() * 2 * LUCKS);
}

#[test]
fn a_build_survives_every_fault() {
    survives(build("index"));
}

#[test]
fn a_build_in_a_folder_below_new_folders_survives_every_fault() {
    survives(build("a/b/index"));
}

#[test]
fn an_addition_survives_every_fault() {
    // Some of them are there, some are new.
    survives(change(Change::Add(rows(20..34, 1))));
}

#[test]
fn a_deletion_by_id_survives_every_fault() {
    // All that is left of the second segment, and some of the first.
    let last = [0, 7, 9].into_iter().chain(24..30);
    survives(change(Change::Delete(last.collect())));
}

#[test]
fn a_deletion_by_filter_survives_every_fault() {
    survives(change(Change::DeleteWord(1)));
}

#[test]
fn compacting_survives_every_fault() {
    survives(change(Change::Compact));
}
