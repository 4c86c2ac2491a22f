//! What the fuzz target `metadata` in `fuzz/` runs, and a test here with random damage: both functions take any
//! bytes whatever and return, without a panic, soon, and without taking much memory.

use super::{Embedded, GENERATORS, MAX_TEXT_BYTES, Texts};

/// Reads bytes as an image file.
pub fn file(bytes: &[u8]) {
    check(super::read(bytes).as_ref());
    let texts = super::texts(bytes);
    let total: usize = texts.iter().map(|(key, text)| key.len() + text.len()).sum();
    // A carrier and the pixels may say as much each.
    assert!(total <= 2 * MAX_TEXT_BYTES, "{total} bytes of text");
}

/// Reads bytes as what a file says, keywords and texts by turns with a zero byte behind each: the checksums of a
/// PNG would keep nearly all damage from the readers of what generators write.
pub fn texts(bytes: &[u8]) {
    let mut pieces = bytes
        .split(|&byte| byte == 0)
        .map(|piece| String::from_utf8_lossy(piece).into_owned());
    let mut texts = Texts::default();
    while let (Some(keyword), Some(text)) = (pieces.next(), pieces.next()) {
        texts.0.push((keyword, text));
    }
    for find in GENERATORS {
        check(find(&texts).as_ref());
    }
}

fn check(embedded: Option<&Embedded>) {
    if let Some(embedded) = embedded {
        assert!(!embedded.prompt.trim().is_empty(), "an empty prompt");
        assert!(!embedded.generator.is_empty(), "no generator");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SEED: u64 = 7;

    /// One of each form, as `keyword text keyword text ...`.
    const SEEDS: &[&str] = &[
        "parameters\0a cat, (night:1.2)\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, \
         Seed: 5, Model: v1-5, Lora hashes: \"a: 1\"\0",
        r#"prompt{Z}{"3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "cfg": 6.5,
           "sampler_name": "euler", "positive": ["6", 0], "negative": ["7", 0], "model": ["4", 0]}},
           "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
           "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0]}},
           "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog"}},
           "8": {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "cat"}}}{Z}"#,
        r#"Software{Z}NovelAI{Z}Description{Z}a cat{Z}Comment{Z}{"prompt": "a cat", "steps": 28, "seed": 1,
           "uc": "bad", "scale": 5.0, "sampler": "k_euler"}{Z}"#,
        r#"sd-metadata{Z}{"model_weights": "x", "image": {"prompt": [{"prompt": "a [cat]", "weight": 1}],
           "seed": 1, "steps": 50, "cfg_scale": 7.5, "sampler": "k_lms"}}{Z}"#,
        "Dream\0\"a cat [bad]\" -s 50 -S 1 -W 512 -H 512 -C 7.5 -A k_lms\0",
        r#"invokeai_metadata{Z}{"positive_prompt": "a cat", "seed": 1, "steps": 5, "model": {"name": "m"}}{Z}"#,
        r#"parameters{Z}{"prompt": "a cat", "negative_prompt": "b", "seed": "5", "steps": 30,
           "guidance_scale": 4, "base_model": "juggernaut"}{Z}"#,
        r#"parameters{Z}{"sui_image_params": {"prompt": "a cat", "seed": 1, "steps": 20}}{Z}"#,
    ];

    fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
        let at = rng.random_range(0..=bytes.len());
        let end = bytes.len().min(at + rng.random_range(0..40));
        match rng.random_range(0..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, b"\0[]{}\",:\\-9\n"[rng.random_range(0..12)]),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
        }
    }

    #[test]
    fn no_text_ends_in_a_panic() {
        let seeds: Vec<Vec<u8>> = SEEDS
            .iter()
            .map(|seed| seed.replace("{Z}", "\0").into_bytes())
            .collect();
        for (seed, form) in seeds.iter().zip(SEEDS) {
            let mut pieces = seed.split(|&byte| byte == 0);
            let mut texts = Texts::default();
            while let (Some(keyword), Some(text)) = (pieces.next(), pieces.next()) {
                let piece = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                texts.0.push((piece(keyword), piece(text)));
            }
            let found = GENERATORS.iter().find_map(|find| find(&texts));
            assert!(found.is_some(), "undamaged it is understood: {form}");
        }
        for number in 0..20_000u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(SEED << 32 | number);
            let mut bytes = seeds[number as usize % seeds.len()].clone();
            for _ in 0..rng.random_range(0..6) {
                damage(&mut bytes, &mut rng);
            }
            texts(&bytes);
        }
    }

    fn png(keyword: &str, text: &str) -> Vec<u8> {
        let mut file = vec![];
        let mut encoder = png::Encoder::new(&mut file, 1, 1);
        let (keyword, text) = (keyword.to_owned(), text.to_owned());
        encoder.add_text_chunk(keyword, text).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0]).unwrap();
        drop(writer);
        file
    }

    #[test]
    fn no_text_takes_long() {
        for (keyword, piece) in [
            ("prompt", "{\"a\":"),
            ("prompt", "["),
            ("parameters", "Negative prompt:\n"),
            ("parameters", "Steps: 1, Seed: 2, "),
            ("parameters", "((("),
            ("Dream", "\"a [b] -s 5 "),
            ("Comment", "{\"prompt\":\"{"),
            ("sd-metadata", "[{"),
        ] {
            let text = [keyword, "\0", &piece.repeat((1 << 20) / piece.len()), "\0"].concat();
            let start = Instant::now();
            texts(text.as_bytes());
            file(&png(keyword, &piece.repeat((1 << 20) / piece.len())));
            // It takes milliseconds; what grows with the square of a text takes minutes.
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{keyword} {piece}"
            );
        }
    }
}
