//! Which files are images, by their names, and where they lie in a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of image files end in, in lower case.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// Whether the name ends as those of images do.
pub fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|it| extension.eq_ignore_ascii_case(it))
    })
}

/// The image files in a folder and those below, in the order of names; nothing hidden. A folder that cannot
/// be read stands for itself, so that whoever reads it is told why and the rest goes on.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    collect(folder, &mut files);
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(mut entries) = list(folder) else {
        files.push(folder.to_owned());
        return;
    };
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (path, is_folder) in entries {
        if is_folder {
            collect(&path, files);
        } else if is_image(&path) && path.is_file() {
            files.push(path);
        }
    }
}

/// What lies in a folder, and whether it is a folder. A link to one is none, for it may lead back up; links to
/// files are fine.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut entries = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push((entry.path(), entry.file_type()?.is_dir()));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_at_any_depth_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b/2.PNG",
            "b/c/1.webp",
            "a.jpeg",
            "z.txt",
            ".hidden.png",
            ".thumbs/x.png",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(folder.path().join("folder.png")).unwrap();
        let found = below(folder.path());
        let names: Vec<&Path> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap())
            .collect();
        assert_eq!(names, ["a.jpeg", "b/2.PNG", "b/c/1.webp"].map(Path::new));
        let absent = folder.path().join("absent");
        assert_eq!(below(&absent), [absent]);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_files_are_followed_and_links_to_folders_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.png"), "").unwrap();
        std::os::unix::fs::symlink(at("a.png"), at("b.png")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("up")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("c.png")).unwrap();
        assert_eq!(below(folder.path()), [at("a.png"), at("b.png")]);
    }
}
