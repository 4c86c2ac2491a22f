//! The texts of EXIF fields in JPEG and WebP files (CIPA DC-008).
//!
//! Generators that have no text chunks write what they know into the user comment; ComfyUI's own WebP files have it in
//! the camera's maker and model, behind the keyword and a colon.

use std::io::Cursor;

use exif::{Context, Exif, In, Reader, Tag, Value};

use super::{MAX_TEXT_BYTES, Texts};

/// Keyword of the user comment.
pub(super) const USER_COMMENT: &str = "UserComment";

/// Fields of plain text.
const ASCII_FIELDS: [(Tag, &str); 4] = [
    (Tag::ImageDescription, "ImageDescription"),
    (Tag::Make, "Make"),
    (Tag::Model, "Model"),
    (Tag::Software, "Software"),
];

/// Keywords that ComfyUI puts before its texts.
const PREFIXES: [&str; 2] = ["prompt", "workflow"];

/// The texts of a JPEG or WebP file; `None` if it is neither.
pub(super) fn texts(file: &[u8]) -> Option<Texts> {
    let mut reader = Reader::new();
    reader.continue_on_error(true);
    let read = if file.starts_with(b"\xff\xd8\xff") {
        reader.read_from_container(&mut Cursor::new(file))
    } else {
        reader.read_raw(webp(file)?.to_vec())
    };
    let read = read.or_else(|error| error.distill_partial_result(|_| {}));
    let mut texts = vec![];
    if let Ok(exif) = read {
        texts.extend(user_comment(&exif));
        for (tag, keyword) in ASCII_FIELDS {
            texts.extend(ascii(&exif, tag, keyword));
        }
    }
    let mut left = MAX_TEXT_BYTES;
    texts.retain(|(_, text)| {
        let fits = text.len() <= left;
        left = left.saturating_sub(text.len());
        fits
    });
    Some(Texts(texts))
}

/// The EXIF fields of a WebP file, or nothing at all if it has none; `None` if it is no WebP file. Some tools keep
/// the marker that only JPEG has before them, which the reader of the exif crate does not expect here.
fn webp(file: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = file.split_at_checked(12)?;
    if !header.starts_with(b"RIFF") || !header.ends_with(b"WEBP") {
        return None;
    }
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let [name @ .., a, b, c, d] = header;
        let len = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
        let chunk = after.get(..len).unwrap_or(after);
        if name == b"EXIF" {
            return Some(chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk));
        }
        rest = after.get(len.next_multiple_of(2)..).unwrap_or_default();
    }
    Some(&[])
}

fn ascii(exif: &Exif, tag: Tag, keyword: &str) -> Option<(String, String)> {
    let Value::Ascii(lines) = &exif.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let bytes = lines.concat();
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches('\0');
    for prefix in PREFIXES {
        if let Some(rest) = text
            .strip_prefix(prefix)
            .and_then(|it| it.strip_prefix(':'))
        {
            return Some((prefix.to_owned(), rest.to_owned()));
        }
    }
    (!text.is_empty()).then(|| (keyword.to_owned(), text.to_owned()))
}

fn user_comment(exif: &Exif) -> Option<(String, String)> {
    // Its own place is among the fields of EXIF, but some tools write it a level higher.
    let misplaced = Tag(Context::Tiff, Tag::UserComment.number());
    let field = exif.get_field(Tag::UserComment, In::PRIMARY);
    let field = field.or_else(|| exif.get_field(misplaced, In::PRIMARY))?;
    let bytes = match &field.value {
        Value::Undefined(bytes, _) | Value::Byte(bytes) => bytes.clone(),
        Value::Ascii(lines) => lines.concat(),
        _ => return None,
    };
    let text = comment(&bytes)?;
    let text = text.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| (USER_COMMENT.to_owned(), text.to_owned()))
}

/// The text of a user comment: eight bytes that name the code, and the text. Some tools leave the eight out.
fn comment(bytes: &[u8]) -> Option<String> {
    match bytes.split_first_chunk::<8>() {
        Some((b"UNICODE\0", text)) => Some(utf16(text)),
        Some((b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0", text)) => Some(utf8(text)),
        Some((b"JIS\0\0\0\0\0", _)) => None,
        _ => Some(utf8(bytes)),
    }
}

fn utf8(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// UTF-16 in the order of its byte order mark or, without one, in the order that makes more of it the basic
/// signs which every prompt and every list of settings has. The order that the file names does not tell: most
/// tools write the large end first, whatever they wrote before it.
fn utf16(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    let decode = |read: fn([u8; 2]) -> u16| {
        let units = units.iter().map(|&unit| read(unit));
        let text: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        text
    };
    let (big, little) = (decode(u16::from_be_bytes), decode(u16::from_le_bytes));
    if let Some(text) = [&big, &little]
        .into_iter()
        .find_map(|it| it.strip_prefix('\u{feff}'))
    {
        return text.to_owned();
    }
    let plain = |text: &str| text.chars().filter(|c| c.is_ascii() && *c != '\0').count();
    if plain(&little) > plain(&big) {
        little
    } else {
        big
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const TEXT: &str =
        "a cat, テスト\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Model: v1-5";

    fn field(tag: Tag, value: Value) -> exif::Field {
        exif::Field {
            tag,
            ifd_num: In::PRIMARY,
            value,
        }
    }

    /// The bytes of fields, with the small end first or last.
    fn tiff(fields: &[exif::Field], little_endian: bool) -> Vec<u8> {
        let mut writer = exif::experimental::Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut bytes = Cursor::new(vec![]);
        writer.write(&mut bytes, little_endian).unwrap();
        bytes.into_inner()
    }

    fn jpeg(tiff: &[u8]) -> Vec<u8> {
        let mut file = b"\xff\xd8\xff\xe1".to_vec();
        file.extend(((tiff.len() + 8) as u16).to_be_bytes());
        file.extend(b"Exif\0\0");
        file.extend(tiff);
        file.extend(b"\xff\xd9");
        file
    }

    fn webp(tiff: &[u8]) -> Vec<u8> {
        let mut chunk = b"EXIF".to_vec();
        chunk.extend((tiff.len() as u32).to_le_bytes());
        chunk.extend(tiff);
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        let mut file = b"RIFF".to_vec();
        file.extend((chunk.len() as u32 + 4).to_le_bytes());
        file.extend(b"WEBP");
        file.extend(chunk);
        file
    }

    fn commented(code: &[u8; 8], text: Vec<u8>) -> exif::Field {
        field(
            Tag::UserComment,
            Value::Undefined([code.to_vec(), text].concat(), 0),
        )
    }

    fn big(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    fn little(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn user_comments_are_read_in_every_code() {
        let marked = |text: &str| little(&format!("\u{feff}{text}"));
        for comment in [
            commented(b"UNICODE\0", big(TEXT)),
            commented(b"UNICODE\0", little(TEXT)),
            commented(b"UNICODE\0", marked(TEXT)),
            commented(b"ASCII\0\0\0", TEXT.into()),
            commented(b"\0\0\0\0\0\0\0\0", TEXT.into()),
            field(Tag::UserComment, Value::Undefined(TEXT.into(), 0)),
        ] {
            for little_endian in [false, true] {
                let tiff = tiff(std::slice::from_ref(&comment), little_endian);
                let marked = [b"Exif\0\0", tiff.as_slice()].concat();
                for file in [jpeg(&tiff), webp(&tiff), webp(&marked)] {
                    let embedded = read(&file).unwrap_or_else(|| panic!("{comment:?}"));
                    assert_eq!(
                        (embedded.prompt.as_str(), embedded.seed),
                        ("a cat, テスト", Some(5))
                    );
                }
            }
        }
    }

    #[test]
    fn comfyui_writes_into_maker_and_model() {
        let text = |text: &str| Value::Ascii(vec![text.into()]);
        let fields = [
            field(Tag::Make, text("workflow:{\"nodes\": []}")),
            field(Tag::Model, text("prompt:{\"3\": {}}")),
            field(Tag::Software, text("a tool")),
        ];
        let texts = texts(&webp(&tiff(&fields, true))).unwrap();
        assert_eq!(texts.get("prompt"), Some("{\"3\": {}}"));
        assert_eq!(texts.get("workflow"), Some("{\"nodes\": []}"));
        assert_eq!(texts.get("Software"), Some("a tool"));
        assert_eq!(texts.get("Model"), None);
    }

    #[test]
    fn damaged_files_give_what_they_can_and_never_panic() {
        let whole = jpeg(&tiff(&[commented(b"UNICODE\0", big(TEXT))], false));
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = read(&damaged);
        }
        assert!(texts(b"GIF89a").is_none());
        assert!(texts(&webp(b"")).unwrap().0.is_empty());
    }
}
