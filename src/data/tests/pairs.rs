//! Images with their prompts, out of zipped parts.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;
use zip::CompressionMethod;

use super::parts::zipped;
use crate::data::pairs::Pairs;
use crate::error::{Error, one_line};

/// An image that no other number has.
fn image(number: u8) -> RgbImage {
    RgbImage::from_pixel(3, 2, Rgb([number, 1, 2]))
}

fn png(number: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image(number)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A part of one image.
fn part(prompt: &str, png: &[u8]) -> Vec<u8> {
    let json = serde_json::json!({ "a.png": { "p": prompt } }).to_string();
    let entries: [(&str, &[u8]); 2] = [("a.png", png), ("part-000001.json", json.as_bytes())];
    zipped(&entries, CompressionMethod::Deflated)
}

/// A folder with a part a prompt; the number of its image is the prompt's place.
fn folder(prompts: &[String]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for (number, prompt) in (0..).zip(prompts) {
        let path = images.join(format!("part-{number:06}.zip"));
        fs::write(path, part(prompt, &png(number))).unwrap();
    }
    folder
}

fn prompts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cat {number}")).collect()
}

fn open(folder: &Path) -> Pairs {
    Pairs::open(folder).unwrap()
}

#[test]
fn images_are_read_in_any_order_out_of_more_parts_than_are_open_at_once() {
    let expected = prompts(150);
    let folder = folder(&expected);
    for place in [folder.path().to_owned(), folder.path().join("images")] {
        let pairs = open(&place);
        assert!(pairs.prompts().eq(expected.iter()));
        std::thread::scope(|scope| {
            for start in 0..4 {
                let pairs = &pairs;
                scope.spawn(move || {
                    for place in (start..600).map(|step| step * 67 % 150) {
                        assert_eq!(pairs.image(place).unwrap(), image(place as u8));
                    }
                });
            }
        });
    }
}

#[test]
fn damage_is_told_with_part_and_image() {
    let folder = folder(&prompts(3));
    let images = folder.path().join("images");
    let whole = png(0);
    fs::write(images.join("part-000000.zip"), part("cut", &whole[..40])).unwrap();
    let json = br#"{"b.png": {"p": "not there"}}"#;
    let lone = zipped(&[("part-000001.json", json)], CompressionMethod::Stored);
    fs::write(images.join("part-000001.zip"), lone).unwrap();
    let pairs = open(folder.path());
    for (place, name) in [(0, "a.png of "), (1, "b.png of ")] {
        let error = pairs.image(place).unwrap_err();
        assert!(matches!(error, Error::PartImage { .. }), "{error}");
        let said = one_line(&error);
        assert!(said.contains(name), "{said}");
        assert!(said.contains(&format!("part-00000{place}.zip: ")), "{said}");
    }
    assert_eq!(pairs.image(2).unwrap(), image(2));
}

#[test]
fn folders_without_images_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let error = Pairs::open(empty.path()).unwrap_err();
    assert!(matches!(error, Error::NoZippedParts { .. }), "{error}");
}
