//! The texts of a PNG file: its tEXt, zTXt and iTXt chunks (PNG specification, s. 11.3.3).
//!
//! The file is walked chunk by chunk, and only chunks of text go to the `png` crate, each behind a
//! header of its own. So damage to a picture does not matter, chunks behind the picture are found,
//! and nothing else of the file is ever unpacked. A chunk with a wrong checksum is left out; the
//! walk ends where a chunk's length leads out of the file.

use png::StreamingDecoder;
use png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};

use super::{MAX_TEXT_BYTES, Texts};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The header of a picture of one grey pixel.
const HEADER: &[u8] = b"\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55";

/// Length, kind and checksum of a chunk, 4 bytes each.
const FRAME_BYTES: usize = 12;

/// The most that one compressed text may unpack to.
const MAX_UNPACKED_BYTES: usize = 4 << 20;

/// The most chunks of text that are looked at; with the limit above, it bounds the work.
const MAX_TEXTS: usize = 256;

/// The texts of a PNG file; `None` if it is none.
pub(super) fn texts(file: &[u8]) -> Option<Texts> {
    let rest = file.strip_prefix(SIGNATURE)?;
    let mut texts = Vec::new();
    let mut left = MAX_TEXT_BYTES;
    for chunk in chunks(rest).filter(is_text).take(MAX_TEXTS) {
        if chunk.len() > left {
            continue;
        }
        if let Some((keyword, text)) = text(chunk, left)
            && keyword.len() + text.len() <= left
        {
            left -= keyword.len() + text.len();
            texts.push((keyword, text));
        }
    }
    Some(Texts(texts))
}

/// The whole chunks up to the end of the image, each with its frame.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = u32::from_be_bytes(*rest.first_chunk()?);
        let len = usize::try_from(len).ok()?.checked_add(FRAME_BYTES)?;
        let (chunk, after) = rest.split_at_checked(len)?;
        rest = after;
        (kind(chunk) != b"IEND").then_some(chunk)
    })
}

/// The four letters that stand behind a chunk's length.
fn kind(chunk: &[u8]) -> &[u8] {
    chunk.get(4..8).unwrap_or_default()
}

fn is_text(chunk: &&[u8]) -> bool {
    matches!(kind(chunk), b"tEXt" | b"zTXt" | b"iTXt")
}

/// Keyword and text of a chunk that is whole, and no longer than `limit_bytes` when unpacked.
fn text(chunk: &[u8], limit_bytes: usize) -> Option<(String, String)> {
    let mut decoder = StreamingDecoder::new();
    for mut bytes in [SIGNATURE, HEADER, chunk] {
        while !bytes.is_empty() {
            let (used, _) = decoder.update(bytes, None).ok()?;
            bytes = bytes.get(used..)?;
        }
    }
    let info = decoder.info()?;
    let limit_bytes = limit_bytes.min(MAX_UNPACKED_BYTES);
    if let Some(TEXtChunk { keyword, text }) = info.uncompressed_latin1_text.first() {
        return Some((keyword.clone(), as_written(text)));
    }
    if let Some(chunk) = info.compressed_latin1_text.first() {
        let mut chunk: ZTXtChunk = chunk.clone();
        chunk.decompress_text_with_limit(limit_bytes).ok()?;
        return Some((chunk.keyword.clone(), as_written(&chunk.get_text().ok()?)));
    }
    let mut chunk: ITXtChunk = info.utf8_text.first()?.clone();
    chunk.decompress_text_with_limit(limit_bytes).ok()?;
    Some((chunk.keyword.clone(), chunk.get_text().ok()?))
}

/// A text that was read as Latin-1, as the specification has it. Many tools write UTF-8 there:
/// where the bytes are valid UTF-8, that is what they are.
fn as_written(text: &str) -> String {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use png::text_metadata::EncodableTextChunk;
    use png::{ColorType, Encoder};

    use super::super::{Embedded, read};
    use super::*;

    /// Adds chunks to a file that is being written.
    type Add<'a> = &'a dyn Fn(&mut png::Writer<&mut Vec<u8>>);

    /// A small picture with chunks added before its pixels and behind them.
    fn png(before: Option<Add<'_>>, after: Option<Add<'_>>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 2, 2);
        encoder.set_color(ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        if let Some(before) = before {
            before(&mut writer);
        }
        writer.write_image_data(&[7; 12]).unwrap();
        if let Some(after) = after {
            after(&mut writer);
        }
        writer.finish().unwrap();
        file
    }

    fn with(chunk: &impl EncodableTextChunk) -> Vec<u8> {
        png(
            Some(&|writer| writer.write_text_chunk(chunk).unwrap()),
            None,
        )
    }

    fn with_raw(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        png(
            Some(&|writer| {
                writer
                    .write_chunk(png::chunk::ChunkType(kind), data)
                    .unwrap();
            }),
            None,
        )
    }

    fn prompt(file: &[u8]) -> Option<String> {
        read(file).map(|embedded| embedded.prompt)
    }

    const CAFE: &str = "caf\u{e9}, \u{732b}";

    #[test]
    fn every_kind_of_chunk_is_read() {
        let latin = "caf\u{e9} at night";
        let text = TEXtChunk::new("parameters", latin);
        assert_eq!(prompt(&with(&text)).as_deref(), Some(latin));
        let text = ZTXtChunk::new("parameters", latin);
        assert_eq!(prompt(&with(&text)).as_deref(), Some(latin));
        for compressed in [false, true] {
            let mut text = ITXtChunk::new("parameters", CAFE);
            text.compressed = compressed;
            assert_eq!(prompt(&with(&text)).as_deref(), Some(CAFE));
        }
    }

    #[test]
    fn utf8_where_latin1_belongs_is_recognised() {
        let file = with_raw(*b"tEXt", format!("parameters\0{CAFE}").as_bytes());
        assert_eq!(prompt(&file).as_deref(), Some(CAFE));
        let as_latin1: String = CAFE.bytes().map(char::from).collect();
        let file = with(&ZTXtChunk::new("parameters", as_latin1));
        assert_eq!(prompt(&file).as_deref(), Some(CAFE));
    }

    #[test]
    fn chunks_behind_the_picture_are_read() {
        let text = TEXtChunk::new("parameters", "a cat");
        let file = png(
            None,
            Some(&|writer| writer.write_text_chunk(&text).unwrap()),
        );
        assert_eq!(prompt(&file).as_deref(), Some("a cat"));
    }

    #[test]
    fn two_chunks_make_one_answer() {
        let prompt = TEXtChunk::new("prompt", "a cat");
        let seed = TEXtChunk::new("seed", "12");
        let file = png(
            Some(&|writer| writer.write_text_chunk(&prompt).unwrap()),
            Some(&|writer| writer.write_text_chunk(&seed).unwrap()),
        );
        let expected = Embedded {
            generator: "diffusiondb".into(),
            prompt: "a cat".into(),
            seed: Some(12),
            ..Embedded::default()
        };
        assert_eq!(read(&file), Some(expected));
    }

    #[test]
    fn a_picture_without_text_says_nothing() {
        assert_eq!(read(&png(None, None)), None);
        assert_eq!(read(b""), None);
        assert_eq!(read(SIGNATURE), None);
    }

    #[test]
    fn a_bomb_is_dropped_and_the_rest_is_read() {
        let bomb = ZTXtChunk::new("parameters", "a".repeat(MAX_UNPACKED_BYTES + 1));
        let text = TEXtChunk::new("parameters", "a cat");
        let file = png(
            Some(&|writer| writer.write_text_chunk(&bomb).unwrap()),
            Some(&|writer| writer.write_text_chunk(&text).unwrap()),
        );
        assert!(file.len() < 1 << 20);
        assert_eq!(prompt(&file).as_deref(), Some("a cat"));
    }

    #[test]
    fn no_more_text_than_the_limit_is_kept() {
        let third = TEXtChunk::new("other", "a".repeat(MAX_TEXT_BYTES / 3));
        let small = TEXtChunk::new("parameters", "a cat");
        let file = png(
            Some(&|writer| {
                for _ in 0..5 {
                    writer.write_text_chunk(&third).unwrap();
                }
            }),
            Some(&|writer| writer.write_text_chunk(&small).unwrap()),
        );
        let texts = texts(&file).unwrap();
        let kept: usize = texts
            .0
            .iter()
            .map(|(key, text)| key.len() + text.len())
            .sum();
        assert!(kept <= MAX_TEXT_BYTES, "{kept}");
        assert_eq!(texts.get("parameters"), Some("a cat"));
    }

    #[test]
    fn a_cut_file_gives_what_stands_before_the_cut() {
        let text = TEXtChunk::new("parameters", "a cat");
        let file = with(&text);
        let start = file.windows(4).position(|bytes| bytes == b"tEXt").unwrap() - 4;
        let end = start + FRAME_BYTES + "parameters\0a cat".len();
        for len in 0..=file.len() {
            let expected = (len >= end).then_some("a cat");
            assert_eq!(prompt(&file[..len]).as_deref(), expected, "cut at {len}");
        }
    }

    #[test]
    fn damage_anywhere_is_no_panic_and_no_wrong_text() {
        let mut text = ITXtChunk::new("parameters", CAFE);
        text.compressed = true;
        let file = with(&text);
        for at in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff, file[at] ^ 1] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                let found = prompt(&damaged);
                assert!(
                    found.is_none() || found.as_deref() == Some(CAFE),
                    "{at} {byte}"
                );
            }
        }
    }

    #[test]
    fn texts_that_break_the_rules_are_left_out() {
        for (kind, data) in [
            (*b"tEXt", b"no separator".as_slice()),
            (*b"tEXt", b"\0no keyword"),
            (*b"tEXt", b""),
            (*b"zTXt", b"parameters\0"),
            (*b"zTXt", b"parameters\0\x09method"),
            (*b"zTXt", b"parameters\0\0no zlib"),
            (*b"iTXt", b"parameters\0"),
            (*b"iTXt", b"parameters\0\0"),
            (*b"iTXt", b"parameters\0\0\0"),
            (*b"iTXt", b"parameters\0\0\0en\0"),
            (*b"iTXt", b"parameters\0\0\0\0\0\xff\xfe"),
        ] {
            assert_eq!(read(&with_raw(kind, data)), None, "{data:?}");
        }
    }
}
