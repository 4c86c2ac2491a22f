//! Files that are not what was written: every file of an index with several segments, deletions
//! and staged leftovers is cut, extended, zeroed, flipped and exchanged. Whatever is called then
//! gives an error that names the file, or a sound answer; `check` finds every damage; a change
//! that fails leaves all other files as they were, and one that succeeds hides no damage.
//!
//! The cases run in child processes, so that nothing goes unseen: an abort, a message on stderr, a
//! case that does not end, memory that grows. `UNPROMPT_DAMAGE_CASES` sets how many there are, and
//! `UNPROMPT_DAMAGE_SEED` where their random numbers come from.

mod asks; // what is asked of an index
mod blocks; // files of several blocks
mod cases; // ways to damage a file
mod manifests; // a MANIFEST that is whole and wrong
mod sample; // the index that is damaged
mod writes; // changes of a damaged index

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, exit};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unprompt_index::{Error, check};

use self::asks::{Answers, ask};
use self::cases::{Case, cases};
use self::sample::Sample;

/// Damaged files, when nothing else is asked for.
const CASES: usize = 5200;
/// One case in so many is also changed.
const CASES_PER_CHANGE: usize = 8;
const CHILDREN: usize = 2;
const SEED: u64 = 12;
/// What one case may take.
const LIMIT: Duration = Duration::from_secs(20);
/// What a child may take at its peak: resident, and reserved. The sample has a tenth of a megabyte.
const RESIDENT_MIB: u64 = 256;
const RESERVED_MIB: u64 = 2048;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn damage_is_an_error_that_names_the_file_or_a_sound_answer() {
    let run = |child: usize| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["damage::child", "--exact", "--ignored", "--nocapture"]);
        command.env("UNPROMPT_DAMAGE_CHILD", child.to_string());
        command.env_remove("RUST_BACKTRACE");
        thread::spawn(move || command.output().unwrap())
    };
    let children: Vec<_> = (0..CHILDREN).map(run).collect();
    for child in children {
        let output = child.join().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        println!("{out}");
        assert!(output.status.success(), "{}: {err}", output.status);
        assert_eq!(err, "", "nothing is to be printed on stderr");
    }
}

/// A share of the cases; started by the test above.
#[test]
#[ignore = "a child of another test"]
fn child() {
    let Ok(child) = env::var("UNPROMPT_DAMAGE_CHILD") else {
        return;
    };
    Share::new(child.parse().unwrap()).run();
}

/// What one child does.
struct Share {
    child: usize,
    seed: u64,
    per_file: usize,
    sample: Sample,
    expected: Answers,
    /// What the sample answers after each change.
    changed: Vec<Answers>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    errors: usize,
    answers: usize,
    changes_failed: usize,
    changes_done: usize,
    slowest: Duration,
}

impl Share {
    fn new(child: usize) -> Share {
        let sample = Sample::new();
        let expected = ask(&sample.dir);
        assert!(expected.errors.is_empty(), "{:?}", expected.errors);
        let changed = writes::CHANGES.map(|change| {
            let copy = sample.copy();
            change(&copy.dir).unwrap();
            assert!(check(&copy.dir).unwrap().damaged.is_empty());
            ask(&copy.dir)
        });
        let cases = number("UNPROMPT_DAMAGE_CASES", CASES as u64) as usize;
        Share {
            child,
            seed: number("UNPROMPT_DAMAGE_SEED", SEED),
            per_file: cases.div_ceil(sample.files.len()),
            sample,
            expected,
            changed: changed.into(),
            tally: Tally::default(),
        }
    }

    fn run(mut self) {
        let start = Instant::now();
        let now = Arc::new(Mutex::new((String::new(), Instant::now())));
        watch(now.clone());
        let files = self.sample.files.clone();
        for (place, name) in files.keys().enumerate() {
            let good = &files[name];
            let peers = cases::peers(name, &files);
            // Names of tantivy's files are random, their order by kind is not.
            let seed = self.seed.wrapping_mul(1 << 20) + place as u64;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for (at, case) in cases(good, &peers, self.per_file, &mut rng)
                .into_iter()
                .enumerate()
            {
                let change = rng.random_range(0..writes::CHANGES.len());
                if at % CHILDREN != self.child {
                    continue;
                }
                let what = format!("{name} {} (seed {})", case.what, self.seed);
                *now.lock().unwrap_or_else(PoisonError::into_inner) =
                    (what.clone(), Instant::now());
                let began = Instant::now();
                self.read(name, &case, &what);
                if (at / CHILDREN).is_multiple_of(CASES_PER_CHANGE) {
                    self.change(name, &case, &what, change);
                }
                self.tally.cases += 1;
                self.tally.slowest = self.tally.slowest.max(began.elapsed());
            }
        }
        println!(
            "child {}: {:?} in {:?}",
            self.child,
            self.tally,
            start.elapsed()
        );
        for (what, limit) in [("VmHWM", RESIDENT_MIB), ("VmPeak", RESERVED_MIB)] {
            if let Some(peak) = peak_mib(what) {
                println!("{what} {peak} MiB");
                assert!(peak < limit, "{what} {peak} MiB");
            }
        }
    }

    /// Everything that reads.
    fn read(&mut self, name: &str, case: &Case, what: &str) {
        let dir = self.sample.dir.clone();
        let file = dir.join(name);
        case.write(&file);
        let listed = self.sample.is_listed(name);
        found_by_check(&dir, &file, listed, what);
        let answers = ask(&dir);
        for error in &answers.errors {
            names(error, &dir, &file, what);
        }
        match answers.errors.is_empty() {
            true => self.tally.answers += 1,
            false => self.tally.errors += 1,
        }
        if !listed {
            assert_eq!(
                answers, self.expected,
                "{what}: no answer stands in this file"
            );
        }
        self.sample.restore(name);
    }

    /// One change of a copy.
    fn change(&mut self, name: &str, case: &Case, what: &str, change: usize) {
        let what = format!("{what}, change {change}");
        let copy = self.sample.copy();
        let file = copy.dir.join(name);
        case.write(&file);
        let outcome = writes::CHANGES[change](&copy.dir);
        let expected = match &outcome {
            Ok(()) => {
                self.tally.changes_done += 1;
                &self.changed[change]
            }
            Err(error) => {
                self.tally.changes_failed += 1;
                names(error, &copy.dir, &file, &what);
                untouched(&self.sample, &copy.dir, name, &what);
                &self.expected
            }
        };
        let listed = copy.is_listed(name);
        if listed && (file.exists() || outcome.is_err()) {
            found_by_check(&copy.dir, &file, true, &what);
            copy.restore(name);
        }
        assert_eq!(check(&copy.dir).unwrap().damaged, [], "{what}");
        let answers = ask(&copy.dir);
        assert_eq!(answers.lasting, expected.lasting, "{what}");
    }
}

/// Ends the process when a case takes too long.
fn watch(now: Arc<Mutex<(String, Instant)>>) {
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = now.lock().unwrap_or_else(PoisonError::into_inner);
            if now.1.elapsed() > LIMIT {
                eprintln!("{} takes longer than {LIMIT:?}", now.0);
                exit(3);
            }
        }
    });
}

/// A peak of this process, where the system tells.
fn peak_mib(what: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// `check` names the file, if its bytes matter.
fn found_by_check(dir: &Path, file: &Path, listed: bool, what: &str) {
    match check(dir) {
        Ok(report) if listed => {
            let told = report.damaged.iter().any(|damage| damage.path == file);
            assert!(told, "{what}: {report:?}");
        }
        Ok(report) => assert_eq!(report.damaged, [], "{what}"),
        // Without a MANIFEST it is no index; and a flipped version is a newer one.
        Err(error) => assert!(file.ends_with("MANIFEST"), "{what}: {error}"),
    }
}

/// The error is one line with the path of the file, of tantivy's folder that it is in, or, of the
/// MANIFEST, of the index.
fn names(error: &Error, dir: &Path, file: &Path, what: &str) {
    let message = error.to_string();
    assert!(!message.contains('\n'), "{what}: {message}");
    let folder = file.parent().unwrap();
    let within = folder.ends_with("prompts") || folder.ends_with("images");
    let named = |path: &Path| message.contains(&path.display().to_string());
    let told = match file.ends_with("MANIFEST") {
        true => named(dir),
        false => named(file) || within && named(folder),
    };
    assert!(told, "{what}: {message}");
}

/// All other files that make up the index are as they were.
fn untouched(sample: &Sample, copy: &Path, but: &str, what: &str) {
    let listed = |files: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        let keep = |name: &String| name != but && sample.is_listed(name);
        files.into_iter().filter(|(name, _)| keep(name)).collect()
    };
    let now = listed(sample::contents(copy));
    for (name, bytes) in listed((*sample.files).clone()) {
        assert!(now.get(&name) == Some(&bytes), "{what}: {name} has changed");
    }
}

/// A path within an index as text.
fn within(dir: &Path, file: &Path) -> String {
    file.strip_prefix(dir).unwrap().display().to_string()
}
