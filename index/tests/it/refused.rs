//! What the system refuses, for want of space or of permission: told in one line that names the
//! file, and the index is as before.
//!
//! The full disk is one of ours, in memory, which root may mount, and others where they may have a
//! namespace of their own. Permissions do not bind root, so that root runs these tests again as
//! nobody, in a process of its own. What cannot be done is skipped, and the test says so.

use std::env;
use std::error::Error as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::RngExt;
use unprompt_index::{BuildOptions, Error, Index, Writer, check};

use crate::changes::{Change, Model, Told, WIDE};
use crate::util::{State, copy, encoder, files, image, rng, state, unit};

/// Set in a process that a test has started to run itself again: where to work.
const AGAIN: &str = "UNPROMPT_TEST_AGAIN";
const NOBODY: u32 = 65_534;
const DISK: &str = "size=8m";
const PAGE: u64 = 4096;

/// A one-line error of the system, of which `why` is the cause, about something at `within`.
fn assert_refused(error: &Error, why: &str, within: &Path, what: &str) {
    let path = match error {
        Error::Io { path, .. } | Error::Tantivy { path, .. } => path,
        other => panic!("{what}: {other:?}"),
    };
    let line = error.to_string();
    assert!(path.starts_with(within), "{what}: {line}");
    assert!(line.contains(&*path.to_string_lossy()), "{what}: {line}");
    assert!(!line.contains('\n'), "{what}: {line}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains(why), "{what}: {line}: {cause}");
}

fn rows(numbers: std::ops::Range<usize>, image: usize) -> Vec<(usize, usize)> {
    numbers.map(|prompt| (prompt, image)).collect()
}

/// An index of two segments that lack something, at `dir`.
fn past(dir: &Path) -> Model {
    let mut model = Model::default();
    for change in [
        Change::Build(rows(0..200, 0)),
        Change::Add(rows(200..260, 1)),
        Change::Delete(vec![3, 225]),
    ] {
        change.make(dir, &mut |_| {}).unwrap();
        model.apply(&change);
    }
    model
}

/// A small disk that can be filled.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<SmallDisk, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]);
        match mount.arg(folder.path()).output() {
            Ok(output) if output.status.success() => Ok(SmallDisk(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves so many pages free.
    fn fill(&self, room: u64) {
        let mut file = File::create(self.filler()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[0; PAGE as usize]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let len = file.metadata().unwrap().len();
        file.set_len(len - room * PAGE).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Makes `change` with more and more room, until it succeeds.
fn with_little_room(disk: &SmallDisk, start: Option<(&Path, &Model)>, change: &Change) {
    let name = change.name();
    let dir = disk.0.path().join("index");
    let mut after = start.map(|(_, model)| model.clone()).unwrap_or_default();
    after.apply(change);
    let before: Option<State> = start.and_then(|(start, _)| state(start).unwrap());
    for room in 0.. {
        if let Some((start, _)) = start {
            copy(start, &dir);
        }
        disk.fill(room);
        let mut staged = 0;
        let made = change.make(&dir, &mut |told| {
            if let Told::Staged(count) = told {
                staged = count;
            }
        });
        disk.make_room();
        let Err(error) = made else {
            assert_eq!(state(&dir).unwrap().unwrap().1, after.content());
            println!("{name} needs {room} pages");
            assert!(room > 0, "{name} needs no room");
            break;
        };
        let what = format!("{name} with room for {room} pages");
        assert_refused(&error, "No space left on device", &dir, &what);
        assert!(state(&dir).unwrap() == before, "{what}");
        let made = change.make(&dir, &mut |told| {
            if let Told::Staged(count) = told {
                assert!(count >= staged, "{what}: {staged} were staged");
            }
        });
        made.unwrap_or_else(|error| panic!("{what}, now there is room: {error:?}"));
        assert_eq!(state(&dir).unwrap().unwrap().1, after.content(), "{what}");
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::remove_dir_all(&dir).unwrap();
}

fn on_a_full_disk(disk: &SmallDisk) {
    let folder = tempfile::tempdir().unwrap();
    let start = folder.path().join("index");
    let model = past(&start);
    with_little_room(disk, None, &Change::Build(rows(0..200, 0)));
    for change in [
        Change::Add(rows(150..320, 2)),
        Change::Delete((0..20).collect()),
        Change::DeleteWord(1),
        Change::Compact,
    ] {
        with_little_room(disk, Some((&start, &model)), &change);
    }
}

/// Long prompts are written while they come, by a thread of tantivy's own.
fn long_prompts_on_a_full_disk(disk: &SmallDisk) {
    let dir = disk.0.path().join("index");
    let build = || {
        let mut rng = rng(3);
        let mut writer = Writer::create(&dir, encoder(WIDE), BuildOptions::default())?;
        for number in 0..300 {
            let words = (0..400).map(|_| format!("{:x}", rng.random::<u32>()));
            let prompt = words.collect::<Vec<_>>().join(" ");
            writer.push(
                &prompt,
                &unit(&mut rng, WIDE, None),
                vec![image(&number.to_string())],
            )?;
        }
        writer.commit(&mut |_| ControlFlow::Continue(()))
    };
    for room in (0..).step_by(50) {
        disk.fill(room);
        let built = build();
        disk.make_room();
        let Err(error) = built else {
            println!("long prompts need {room} pages");
            assert!(room > 500, "only {room} pages");
            return;
        };
        let what = format!("long prompts with room for {room} pages");
        assert_refused(&error, "No space left on device", &dir, &what);
        assert!(!dir.exists(), "{what}");
    }
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let why = match SmallDisk::mount() {
        Ok(disk) => {
            on_a_full_disk(&disk);
            return long_prompts_on_a_full_disk(&disk);
        }
        Err(why) => why,
    };
    let unshare = |program: &Path| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount"]).arg(program);
        unshare
    };
    let may = unshare(Path::new("true")).output();
    if env::var_os(AGAIN).is_some() || !may.is_ok_and(|output| output.status.success()) {
        println!("skipped, for no disk can be mounted: {why}");
        return;
    }
    let mut again = unshare(&env::current_exe().unwrap());
    again.env(AGAIN, "");
    passes_again(again, "refused::a_full_disk_is_told_and_harms_nothing");
}

/// Runs a test of this binary in another process.
fn passes_again(mut binary: Command, test: &str) {
    let output = match binary.args(["--exact", test, "--nocapture"]).output() {
        Ok(output) => output,
        Err(error) => return println!("skipped, for it cannot be run again: {error}"),
    };
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{test} run again"
    );
}

/// Prepares a folder, and tries what is refused there to whom permissions bind.
fn without_permission(test: &str, prepare: impl Fn(&Path), try_it: impl Fn(&Path)) {
    if let Some(folder) = env::var_os(AGAIN) {
        return try_it(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    allow(folder.path(), 0o755);
    prepare(folder.path());
    if folder.path().metadata().unwrap().uid() == 0 {
        // Not by its path, which nobody might not be allowed to follow.
        let running = PathBuf::from("/proc/self/exe");
        let binary = match running.exists() {
            true => running,
            false => env::current_exe().unwrap(),
        };
        let mut again = Command::new(binary);
        again.uid(NOBODY).gid(NOBODY).env(AGAIN, folder.path());
        passes_again(again, test);
    } else {
        try_it(folder.path());
    }
    restore(folder.path());
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// So that all can be removed.
fn restore(dir: &Path) {
    allow(dir, 0o755);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            restore(&path);
        }
    }
}

#[test]
fn what_may_not_be_read_is_named() {
    // In each folder `index`, and in `refused` the path below it that is forbidden.
    let prepare = |folder: &Path| {
        let start = folder.join("start");
        past(&start);
        let mut refused: Vec<PathBuf> = files(&start);
        refused.retain(|path| !path.ends_with("LOCK"));
        for file in refused.clone() {
            refused.push(file.parent().unwrap().to_owned());
        }
        refused.push(start.join("segments"));
        refused.sort();
        refused.dedup();
        assert!(refused.len() > 20, "{refused:?}");
        for (number, path) in refused.iter().enumerate() {
            let case = folder.join(number.to_string());
            copy(&start, &case.join("index"));
            let path = path.strip_prefix(&start).unwrap();
            fs::write(case.join("refused"), path.to_str().unwrap()).unwrap();
            allow(&case.join("index").join(path), 0);
        }
        let case = folder.join("above");
        copy(&start, &case.join("index"));
        allow(&case, 0);
    };
    let try_it = |folder: &Path| {
        let mut cases = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let case = entry.unwrap().path();
            let dir = case.join("index");
            let refused = match fs::read_to_string(case.join("refused")) {
                Ok(path) => dir.join(path),
                Err(_) if case.ends_with("above") => dir.clone(),
                Err(_) => continue,
            };
            let what = refused.display().to_string();
            for error in [Index::open(&dir).err(), check(&dir).err()] {
                let error = error.unwrap_or_else(|| panic!("{what} was read"));
                assert_refused(&error, "Permission denied", &refused, &what);
            }
            cases += 1;
        }
        assert!(cases > 20);
    };
    without_permission("refused::what_may_not_be_read_is_named", prepare, try_it);
}

#[test]
fn what_may_not_be_written_can_still_be_read() {
    let forbid = |dir: &Path| {
        for file in files(dir) {
            allow(&file, 0o444);
            file.ancestors()
                .skip(1)
                .take_while(|above| above.starts_with(dir))
                .for_each(|above| allow(above, 0o555));
        }
    };
    let prepare = |folder: &Path| {
        for name in ["all", "all but the lock"] {
            let dir = folder.join(name);
            past(&dir);
            forbid(&dir);
        }
        allow(&folder.join("all but the lock/LOCK"), 0o666);
        allow(folder, 0o555);
    };
    let try_it = |folder: &Path| {
        let refused = |error: Error, dir: &Path| {
            assert_refused(&error, "Permission denied", dir, &dir.display().to_string());
        };
        let options = BuildOptions::default();
        let new = folder.join("new");
        refused(
            Writer::create(&new, encoder(WIDE), options).err().unwrap(),
            &new,
        );
        let all = folder.join("all");
        refused(Writer::open(&all, options).err().unwrap(), &all);
        for dir in [all, folder.join("all but the lock")] {
            let before = state(&dir).unwrap().unwrap();
            for change in [
                Change::Add(rows(0..300, 4)),
                Change::Delete(vec![1, 2]),
                Change::DeleteWord(2),
                Change::Compact,
            ] {
                refused(change.make(&dir, &mut |_| {}).unwrap_err(), &dir);
            }
            assert!(state(&dir).unwrap().unwrap() == before);
        }
    };
    without_permission(
        "refused::what_may_not_be_written_can_still_be_read",
        prepare,
        try_it,
    );
}
