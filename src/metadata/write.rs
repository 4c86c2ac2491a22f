//! Images that carry their prompt, as AUTOMATIC1111 writes it.

use ::png::{BitDepth, ColorType, Encoder, EncodingError};
use image::RgbImage;

use super::Embedded;
use super::automatic1111::MIN_SETTINGS;

/// A PNG file of an image that says how it was made: what [`read`](super::read) gives back, whatever generator is named,
/// as `automatic1111`.
///
/// # Errors
/// If the prompts are longer than a chunk of a PNG file may be, or the image has no pixels.
pub fn png(image: &RgbImage, made: &Embedded) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = vec![];
    let mut encoder = Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.add_itxt_chunk("parameters".to_owned(), parameters(made, image))?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}

fn parameters(made: &Embedded, image: &RgbImage) -> String {
    let mut text = made.prompt.clone();
    if let Some(negative) = &made.negative_prompt {
        text.push_str(&format!("\nNegative prompt: {negative}"));
    }
    let said = |name: &str, value: Option<String>| Some(format!("{name}: {}", value?));
    let size = format!("{}x{}", image.width(), image.height());
    let settings = [
        said("Steps", made.steps.map(|it| it.to_string())),
        said("Sampler", made.sampler.clone()),
        said("CFG scale", made.cfg.map(|it| it.to_string())),
        said("Seed", made.seed.map(|it| it.to_string())),
        said("Size", Some(size)),
        said("Model", made.model.clone()),
        said(
            "Version",
            Some(concat!("unprompt ", env!("CARGO_PKG_VERSION")).to_owned()),
        ),
    ];
    let settings: Vec<String> = settings.into_iter().flatten().collect();
    // Fewer are taken for a line of the prompt, here and by others.
    if settings.len() < MIN_SETTINGS {
        return text;
    }
    format!("{text}\n{}", settings.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::read;

    #[test]
    fn what_is_written_is_read() {
        let image = RgbImage::from_pixel(5, 4, image::Rgb([1, 2, 3]));
        let made = Embedded {
            generator: "automatic1111".to_owned(),
            prompt: "ein Fuchs im Schnee, Ölbild\nby 葛飾北斎".to_owned(),
            negative_prompt: Some("blurry".to_owned()),
            seed: Some(u64::MAX),
            steps: Some(20),
            cfg: Some(7.5),
            sampler: Some("ddim".to_owned()),
            model: Some("pocket".to_owned()),
        };
        let file = png(&image, &made).unwrap();
        assert_eq!(read(&file), Some(made));
        let pixels = crate::image::decode::decode(&file).unwrap();
        assert_eq!(pixels, image);
        let little = Embedded {
            prompt: "a fox".to_owned(),
            generator: "automatic1111".to_owned(),
            ..Embedded::default()
        };
        let said = read(&png(&image, &little).unwrap()).unwrap();
        assert_eq!(said.prompt, "a fox");
    }
}
