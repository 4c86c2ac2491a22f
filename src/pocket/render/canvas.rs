//! A 64 x 64 surface with the few shapes that the pictures are made of.

use image::RgbImage;
use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point, Shader,
    SpreadMode, Stroke, Transform,
};

use super::SIDE;

/// Red, green and blue in [0, 1].
pub(super) type Rgb = [f32; 3];

/// Mixes `share` of `b` into `a`.
pub(super) fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

/// The perceived lightness of a colour, in [0, 1] (Rec. 601 weights).
pub(super) fn luma(colour: Rgb) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

pub(super) struct Canvas {
    pixmap: Pixmap,
    transform: Transform,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let pixmap = Pixmap::new(SIDE, SIDE).expect("the side of a pocket image is not zero");
        Self {
            pixmap,
            transform: Transform::identity(),
        }
    }

    /// Starts from a picture instead of from nothing.
    pub(super) fn from_picture(picture: &RgbImage) -> Self {
        let mut canvas = Self::new();
        for (to, from) in canvas
            .pixmap
            .data_mut()
            .chunks_exact_mut(4)
            .zip(picture.pixels())
        {
            to[..3].copy_from_slice(&from.0);
            to[3] = u8::MAX;
        }
        canvas
    }

    /// Draws what follows in a box whose corners are (-1, -1) and (1, 1), placed at (`x`, `y`)
    /// with half-width `radius`.
    pub(super) fn in_box(&mut self, x: f32, y: f32, radius: f32, mirrored: bool) {
        let across = if mirrored { -radius } else { radius };
        self.transform = Transform::from_row(across, 0.0, 0.0, radius, x, y);
    }

    /// Draws what follows in pixels again.
    pub(super) fn in_pixels(&mut self) {
        self.transform = Transform::identity();
    }

    pub(super) fn polygon(&mut self, corners: &[(f32, f32)], colour: Rgb) {
        self.polygon_alpha(corners, colour, 1.0);
    }

    pub(super) fn polygon_alpha(&mut self, corners: &[(f32, f32)], colour: Rgb, alpha: f32) {
        if let Some(path) = path(corners, true) {
            self.fill(&path, &paint(colour, alpha));
        }
    }

    pub(super) fn rectangle(&mut self, left: f32, top: f32, right: f32, bottom: f32, colour: Rgb) {
        self.polygon(
            &[(left, top), (right, top), (right, bottom), (left, bottom)],
            colour,
        );
    }

    pub(super) fn ellipse(&mut self, x: f32, y: f32, rx: f32, ry: f32, colour: Rgb) {
        self.ellipse_alpha(x, y, rx, ry, colour, 1.0);
    }

    pub(super) fn ellipse_alpha(
        &mut self,
        x: f32,
        y: f32,
        rx: f32,
        ry: f32,
        colour: Rgb,
        alpha: f32,
    ) {
        let path = tiny_skia::Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry)
            .and_then(PathBuilder::from_oval);
        if let Some(path) = path {
            self.fill(&path, &paint(colour, alpha));
        }
    }

    /// A line through `points`; `width` is in units of the current box.
    pub(super) fn line(&mut self, points: &[(f32, f32)], width: f32, colour: Rgb, alpha: f32) {
        if let Some(path) = path(points, false) {
            let stroke = Stroke {
                width,
                line_cap: tiny_skia::LineCap::Round,
                line_join: tiny_skia::LineJoin::Round,
                ..Stroke::default()
            };
            let transform = self.transform;
            self.pixmap
                .stroke_path(&path, &paint(colour, alpha), &stroke, transform, None);
        }
    }

    /// A vertical gradient over the rows `top..bottom`, across the whole picture.
    pub(super) fn gradient(&mut self, top: f32, bottom: f32, from: Rgb, to: Rgb) {
        let stops = vec![
            GradientStop::new(0.0, color(from, 1.0)),
            GradientStop::new(1.0, color(to, 1.0)),
        ];
        let shader = LinearGradient::new(
            Point::from_xy(0.0, top),
            Point::from_xy(0.0, bottom),
            stops,
            SpreadMode::Pad,
            Transform::identity(),
        );
        let side = SIDE as f32;
        let corners = [(0.0, top), (side, top), (side, bottom), (0.0, bottom)];
        if let (Some(shader), Some(path)) = (shader, path(&corners, true)) {
            self.fill(
                &path,
                &Paint {
                    shader,
                    ..Paint::default()
                },
            );
        }
    }

    /// The picture as it stands.
    pub(super) fn picture(&self) -> RgbImage {
        let pixels = self.pixmap.pixels();
        RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let pixel = pixels[(y * SIDE + x) as usize].demultiply();
            image::Rgb([pixel.red(), pixel.green(), pixel.blue()])
        })
    }

    fn fill(&mut self, path: &Path, paint: &Paint<'_>) {
        self.pixmap
            .fill_path(path, paint, FillRule::Winding, self.transform, None);
    }
}

fn path(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (&(x, y), rest) = points.split_first()?;
    builder.move_to(x, y);
    for &(x, y) in rest {
        builder.line_to(x, y);
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn paint(colour: Rgb, alpha: f32) -> Paint<'static> {
    Paint {
        shader: Shader::SolidColor(color(colour, alpha)),
        ..Paint::default()
    }
}

fn color(colour: Rgb, alpha: f32) -> Color {
    let [red, green, blue] = colour.map(|channel| channel.clamp(0.0, 1.0));
    Color::from_rgba(red, green, blue, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
}
