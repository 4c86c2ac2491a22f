//! Pictures of the index, and nothing else.

use std::fs::{self, File};
use std::io::Write;

use crate::support::{png, server};

#[test]
fn images_come_whole_or_small() {
    let server = server(|_| {});
    let whole = png(400, 200);
    fs::create_dir(server.pictures.join("sub")).unwrap();
    fs::write(server.pictures.join("sub/a b.png"), &whole).unwrap();
    let got = server.get("/v1/images/sub/a%20b.png");
    assert_eq!((got.status, got.header("content-type")), (200, "image/png"));
    assert_eq!(got.body, whole);
    let absolute = server.pictures.join("sub/a b.png");
    let absolute = absolute
        .to_str()
        .unwrap()
        .replace('/', "%2F")
        .replace(' ', "%20");
    assert_eq!(server.get(&format!("/v1/images/{absolute}")).body, whole);
    for _ in 0..2 {
        let small = server.get("/v1/images/sub/a%20b.png?size=100");
        assert_eq!(small.header("content-type"), "image/jpeg");
        let image = image::load_from_memory(&small.body).unwrap();
        assert_eq!((image.width(), image.height()), (100, 50));
    }
    // A file that changes is not shown as it was.
    fs::write(server.pictures.join("sub/a b.png"), png(50, 100)).unwrap();
    let small = server.get("/v1/images/sub/a%20b.png?size=100");
    let image = image::load_from_memory(&small.body).unwrap();
    assert_eq!((image.width(), image.height()), (50, 100));
    for size in ["0", "1025", "x", "-1"] {
        let path = format!("/v1/images/sub/a%20b.png?size={size}");
        server.get(&path).problem(400);
    }
}

#[test]
fn nothing_outside_of_the_folder_is_sent() {
    let server = server(|_| {});
    let outside = server.pictures.parent().unwrap().join("outside.png");
    fs::write(&outside, png(8, 8)).unwrap();
    fs::write(server.pictures.join("notes.txt"), "secret").unwrap();
    fs::write(server.pictures.join("fake.png"), "no image").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&outside, server.pictures.join("link.png")).unwrap();
    let absolute = outside.to_str().unwrap().replace('/', "%2F");
    for name in [
        "..%2Foutside.png",
        "%2e%2e%2Foutside.png",
        "sub%2F..%2F..%2Foutside.png",
        &absolute,
        "%2Fetc%2Fpasswd",
        "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "notes.txt",
        "link.png",
        "absent.png",
        ".",
        "%00.png",
    ] {
        let said = server.get(&format!("/v1/images/{name}")).problem(404);
        assert!(!said.contains("secret"), "{name}: {said}");
    }
    server.get("/v1/images/fake.png").problem(422);
    server.get("/v1/images/fake.png?size=9").problem(422);
    // Too large a file is no reason to tell where it lies.
    let large = File::create(server.pictures.join("large.png")).unwrap();
    large.set_len(65 << 20).unwrap();
    let said = server.get("/v1/images/large.png").problem(422);
    assert!(!said.contains("large.png"), "{said}");
}

#[test]
fn galleries_that_were_moved_and_zipped_parts_are_shown() {
    // Parts are those of the start.
    let server = server(|config| {
        let images = config.images.as_ref().unwrap();
        let part = File::create(images.join("part-000007.zip")).unwrap();
        let mut part = zip::ZipWriter::new(part);
        let options = zip::write::SimpleFileOptions::default();
        part.start_file("1.png", options).unwrap();
        part.write_all(&png(8, 8)).unwrap();
        part.finish().unwrap();
    });
    let image = server.get("/v1/images/1.png");
    assert_eq!((image.status, image.body), (200, png(8, 8)));
    // That of another prompt is in no part.
    server.get("/v1/images/9.png").problem(404);
    fs::create_dir(server.pictures.join("cats")).unwrap();
    fs::write(server.pictures.join("cats/9.png"), png(9, 9)).unwrap();
    let image = server.get("/v1/images/%2Fold%2Fplace%2Fcats%2F9.png");
    assert_eq!((image.status, image.body), (200, png(9, 9)));
}

#[test]
fn without_a_folder_there_are_no_images() {
    let server = server(|config| config.images = None);
    let said = server.get("/v1/images/1.png").problem(404);
    assert!(said.contains("--images"), "{said}");
}
