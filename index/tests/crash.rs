//! Kills a process that changes an index, at any moment, over and over: the index is as before or
//! as after the change that was under way.
//!
//! The binary starts itself as a child, which makes one random change after the other, and says
//! on its standard output, the journal, when it begins one and when it has ended. What each change
//! is follows from the seed and its number, so that the parent can follow in a plain model. It
//! lets a few changes pass, waits for a part of the time that the next one takes, and kills. The
//! next child meets what the dead one left behind.
//!
//! A moment drawn at random seldom falls close to the commit of a change. So half of the moments
//! close in on it, from when the files are all written: later where the last kill came before the
//! commit, sooner where it came after.
//!
//! This is about processes that die, not about power cuts: those are the subject of
//! `it/durable.rs`.
//!
//! `UNPROMPT_CRASH_KILLS` sets how often, `UNPROMPT_CRASH_SEED` repeats the changes of a run, if
//! not the moments.

#[path = "it/changes.rs"]
mod changes;
#[path = "it/util.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod util;

use std::collections::BTreeMap;
use std::env;
use std::fmt::{Debug, Display};
use std::fs;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use unprompt_index::Index;

use crate::changes::{Change, Model, Told, WORDS};
use crate::util::{folder_in_memory, rng, state};

/// Prompts that there are; few, so that they meet again.
const PROMPTS: usize = 40;
/// Prompts added at once, at most.
const ROWS: usize = 24;
const KILLS: usize = 400;
/// Changes that pass before a kill, at most; fewer before the first commit, for builds are rare.
const PASSED: usize = 2;
/// One in so many kills is followed by a new folder.
const NEW_FOLDER: u32 = 5;
/// What a change is taken to last before the first of its kind has ended.
const FIRST_GUESS: Duration = Duration::from_millis(10);
/// Where an aim starts, and how fast it moves.
const FIRST_AIM: Duration = Duration::from_millis(2);
const STEP: f64 = 1.3;

const DIR: &str = "UNPROMPT_CRASH_CHILD";
const SEED: &str = "UNPROMPT_CRASH_SEED";
const FIRST: &str = "UNPROMPT_CRASH_FIRST";

fn main() {
    // Unlike other tests this one has no harness to heed `cargo test NAME` and `--list`.
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut names = arguments.iter().filter(|word| !word.starts_with('-'));
    let named = names.clone().count() == 0 || names.any(|name| "crash".contains(name.as_str()));
    if let Some(dir) = env::var_os(DIR) {
        change_for_ever(&PathBuf::from(dir));
    } else if cfg!(unix) && named && !arguments.iter().any(|word| word == "--list") {
        kill_over_and_over();
    }
}

fn variable<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

/// The change of a number.
fn change(seed: u64, number: usize, exists: bool) -> Change {
    let mut rng = rng(seed.wrapping_add(number as u64));
    let count = rng.random_range(1..=ROWS);
    // Every image is a new one, so that no addition is in vain.
    let row = |at| (rng.random_range(0..PROMPTS), number * ROWS + at);
    let rows: Vec<(usize, usize)> = (0..count).map(row).collect();
    if !exists {
        return Change::Build(rows);
    }
    match rng.random_range(0..11) {
        0..3 => Change::Add(rows),
        // The images of the last additions are those that are likely to be there.
        9.. => {
            let old = (0..number * ROWS).rev().take(4 * ROWS);
            let all = |image| (0..PROMPTS).map(move |prompt| (prompt, image));
            Change::Replace(old.flat_map(all).collect(), rows)
        }
        3..5 => Change::Delete(rows.iter().take(6).map(|row| row.0).collect()),
        5 => Change::DeletePart(rng.random_range(0..3)),
        6 => Change::DeleteWord(rng.random_range(0..WORDS)),
        _ => Change::Compact,
    }
}

/// What the child does until it is killed, or nobody listens any more.
fn change_for_ever(dir: &Path) {
    let seed = variable(SEED).unwrap();
    let mut exists = Index::open(dir).is_ok();
    for number in variable(FIRST).unwrap().. {
        tell(format!("begin {number}"));
        let change = change(seed, number, exists);
        let made = change.make(dir, &mut |told| match told {
            Told::Staged(count) => tell(format!("staged {count}")),
            Told::Sync => tell(format!("sync {number}")),
        });
        made.unwrap_or_else(|error| panic!("{number} {change:?}: {error:?}"));
        exists = true;
        let generation = Index::open(dir).unwrap().stats().unwrap().generation;
        tell(format!("end {generation}"));
    }
}

fn tell(line: impl Display) {
    let mut out = stdout().lock();
    // In one piece, so that no line is half there when the process is gone.
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A change under way.
struct Begun {
    change: Change,
    at: Instant,
    /// Whether its files are all written.
    written: bool,
}

/// What is known of the index from the journals and from looking.
struct Known {
    seed: u64,
    model: Model,
    /// Of the last commit; 0 where there is no index.
    generation: u64,
    /// Vectors that are staged at least.
    staged: usize,
    /// Number of the next change.
    next: usize,
    begun: Option<Begun>,
    /// How long the last change of each kind took.
    lasted: BTreeMap<&'static str, Duration>,
}

impl Known {
    /// Follows a line of the journal.
    fn follow(&mut self, line: &str) {
        let (word, number) = line.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        match word {
            "begin" => {
                assert_eq!(number, self.next);
                self.next += 1;
                let change = change(self.seed, number, self.generation > 0);
                self.begun = Some(Begun {
                    written: matches!(
                        change,
                        Change::Delete(_) | Change::DeletePart(_) | Change::DeleteWord(_)
                    ),
                    change,
                    at: Instant::now(),
                });
            }
            "staged" => {
                assert!(number >= self.staged, "{} were staged", self.staged);
                self.staged = number;
            }
            "sync" => self.begun.as_mut().unwrap().written = true,
            _ => {
                let Begun { change, at, .. } = self.begun.take().unwrap();
                self.lasted.insert(change.name(), at.elapsed());
                self.committed(&change, number as u64);
            }
        }
    }

    /// The change is there, unless it changed nothing.
    fn committed(&mut self, change: &Change, generation: u64) {
        self.model.apply(change);
        if generation > self.generation
            && matches!(
                change,
                Change::Build(_) | Change::Add(_) | Change::Replace(..)
            )
        {
            self.staged = 0;
        }
        self.generation = generation;
    }

    /// Compares with what is there after a kill: which change was under way, and whether it is
    /// there.
    fn compare(&mut self, dir: &Path) -> Option<(&'static str, bool)> {
        let found = state(dir).unwrap();
        let (generation, content) = found.unwrap_or_default();
        let under_way = self.begun.take().map(|begun| begun.change);
        let after = generation > self.generation;
        if after {
            let change = under_way.as_ref().expect("no change was under way");
            assert_eq!(generation, self.generation + 1);
            self.committed(change, generation);
        }
        assert_eq!(generation, self.generation);
        assert_eq!(
            content,
            self.model.content(),
            "{under_way:?}, after it: {after}"
        );
        under_way.map(|change| (change.name(), after))
    }
}

/// A child and its journal.
struct Running {
    child: Child,
    journal: BufReader<ChildStdout>,
}

impl Running {
    fn start(dir: &Path, known: &Known) -> Running {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(DIR, dir)
            .env(SEED, known.seed.to_string())
            .env(FIRST, known.next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let journal = BufReader::new(child.stdout.take().unwrap());
        Running { child, journal }
    }

    /// The next line; none, if there is no process and nothing left to read.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.journal.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// Follows until something is so.
    fn follow_until(&mut self, known: &mut Known, is_so: impl Fn(&Known) -> bool) {
        while !is_so(known) {
            let line = self.line().expect("the child has died of itself");
            known.follow(&line);
        }
    }

    /// Kills it, and follows what it said until then.
    fn kill(mut self, known: &mut Known) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Some(line) = self.line() {
            known.follow(&line);
        }
    }
}

/// When changes are committed, it seems, from when their files are written.
#[derive(Default)]
struct Aim(BTreeMap<&'static str, Duration>);

impl Aim {
    fn at(&mut self, name: &'static str) -> Duration {
        *self.0.entry(name).or_insert(FIRST_AIM)
    }

    fn learn(&mut self, name: &'static str, was_before: bool) {
        if let Some(commit) = self.0.get_mut(name) {
            *commit = commit.mul_f64(if was_before { STEP } else { 1.0 / STEP });
        }
    }
}

/// The parent.
fn kill_over_and_over() {
    let kills = variable("UNPROMPT_CRASH_KILLS").unwrap_or(KILLS);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable(SEED).unwrap_or_else(|| u64::from(now().subsec_nanos()));
    println!("crash: {kills} kills, UNPROMPT_CRASH_SEED={seed}");
    let folder = folder_in_memory();
    let dir = folder.path().join("index");
    let mut known = Known {
        seed,
        model: Model::default(),
        generation: 0,
        staged: 0,
        next: 0,
        begun: None,
        lasted: BTreeMap::new(),
    };
    let mut rng = rng(!seed);
    let mut aim = Aim::default();
    let mut report = Report::default();
    let start = Instant::now();
    for _ in 0..kills {
        let mut running = Running::start(&dir, &known);
        let passed = rng.random_range(0..=PASSED);
        let spare = known.generation > 0 || rng.random();
        let target = known.next + if spare { passed } else { 0 };
        running.follow_until(&mut known, |known| known.next > target);
        let name = known.begun.as_ref().unwrap().change.name();
        let aimed = rng.random();
        if aimed {
            let written = |begun: &Begun| begun.written;
            running.follow_until(&mut known, |known| known.begun.as_ref().is_none_or(written));
            sleep(aim.at(name).mul_f64(rng.random_range(0.9..1.1)));
        } else {
            let lasted = known.lasted.get(name).unwrap_or(&FIRST_GUESS);
            sleep(lasted.mul_f64(rng.random_range(0.0..1.2)));
        }
        running.kill(&mut known);
        let at_target = known.begun.is_some() && known.next == target + 1;
        let outcome = known.compare(&dir);
        if aimed {
            aim.learn(name, at_target && outcome.is_some_and(|(_, after)| !after));
        }
        report.count(outcome);
        if rng.random_ratio(1, NEW_FOLDER) && dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
            (known.model, known.generation, known.staged) = (Model::default(), 0, 0);
        }
    }
    report.print(start.elapsed());
    report.assert_fair(kills);
}

/// How often each change was hit, and left the index as before and as after.
#[derive(Default)]
struct Report {
    changes: BTreeMap<&'static str, [usize; 2]>,
    between: usize,
}

impl Report {
    fn count(&mut self, outcome: Option<(&'static str, bool)>) {
        match outcome {
            Some((name, after)) => self.changes.entry(name).or_default()[usize::from(after)] += 1,
            None => self.between += 1,
        }
    }

    fn print(&self, took: Duration) {
        println!("{:<16} {:>6} {:>6}", "killed at", "before", "after");
        for (name, [before, after]) in &self.changes {
            println!("{name:<16} {before:>6} {after:>6}");
        }
        println!("between changes {}, {took:.1?}", self.between);
    }

    /// Nothing is shown by kills that all came at the same moment.
    fn assert_fair(&self, kills: usize) {
        let sum = |at: usize| {
            self.changes
                .values()
                .map(|counts| counts[at])
                .sum::<usize>()
        };
        assert!(sum(0) >= kills / 5, "hardly any kill came before a commit");
        assert!(sum(1) >= kills / 20, "hardly any kill came after a commit");
        for name in [
            "build",
            "add",
            "delete by id",
            "delete by filter",
            "compact",
        ] {
            let hit = self
                .changes
                .get(name)
                .map_or(0, |[before, after]| before + after);
            assert!(hit >= kills / 50, "{name} was hardly ever hit");
        }
    }
}
