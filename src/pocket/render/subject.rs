//! The sixteen subjects, drawn in a box from (-1, -1) to (1, 1), y downwards.

use super::Spot;
use super::canvas::{Canvas, Rgb, luma, mix};
use crate::pocket::meaning::{Colour, Meaning, Medium, Subject, Time};

const WHITE: Rgb = [1.0, 1.0, 1.0];
const INK: Rgb = [0.10, 0.08, 0.10];
const GLASS: Rgb = [0.75, 0.90, 1.0];

/// Paints the subject of `meaning` at `spot`.
pub(super) fn paint(canvas: &mut Canvas, meaning: Meaning, spot: Spot) {
    let mut main = paint_of(meaning.colour);
    // Things stay recognisable at night, so they darken less than their surroundings.
    let tint = match meaning.time {
        Time::Dawn | Time::Day => [1.0, 1.0, 1.0],
        Time::Dusk => [0.96, 0.88, 0.82],
        Time::Night => [0.82, 0.84, 0.94],
    };
    main = std::array::from_fn(|i| main[i] * tint[i]);
    let rounded = meaning.medium == Medium::Photograph;
    canvas.in_box(spot.x, spot.y, spot.radius, spot.mirrored);
    let dark_thing = luma(main) < 0.16;
    let mut pen = Pen {
        canvas,
        main,
        dark: if dark_thing {
            mix(main, WHITE, 0.28)
        } else {
            main.map(|c| c * 0.58)
        },
        light: mix(main, WHITE, if dark_thing { 0.18 } else { 0.42 }),
        outline: if dark_thing { [0.62, 0.62, 0.66] } else { INK },
        width: 1.1 / spot.radius,
    };
    if !matches!(meaning.subject, Subject::Balloon | Subject::Rocket) {
        pen.shadow();
    }
    match meaning.subject {
        Subject::Cat => pen.cat(),
        Subject::Bird => pen.bird(),
        Subject::Fish => pen.fish(),
        Subject::Butterfly => pen.butterfly(),
        Subject::Flower => pen.flower(),
        Subject::Mushroom => pen.mushroom(),
        Subject::Cactus => pen.cactus(),
        Subject::House => pen.house(),
        Subject::Castle => pen.castle(),
        Subject::Car => pen.car(),
        Subject::Sailboat => pen.sailboat(),
        Subject::Rocket => pen.rocket(),
        Subject::Balloon => pen.balloon(),
        Subject::Umbrella => pen.umbrella(),
        Subject::Robot => pen.robot(),
        Subject::Teapot => pen.teapot(),
    }
    if rounded {
        pen.canvas
            .ellipse_alpha(-0.25, -0.3, 0.34, 0.24, WHITE, 0.16);
    }
    canvas.in_pixels();
}

fn paint_of(colour: Colour) -> Rgb {
    match colour {
        Colour::Red => [0.86, 0.08, 0.10],
        Colour::Orange => [1.0, 0.52, 0.04],
        Colour::Yellow => [1.0, 0.90, 0.10],
        Colour::Green => [0.10, 0.68, 0.20],
        Colour::Blue => [0.10, 0.30, 0.92],
        Colour::Purple => [0.52, 0.14, 0.74],
        Colour::Pink => [1.0, 0.50, 0.76],
        Colour::White => [0.98, 0.98, 0.96],
        Colour::Black => [0.07, 0.07, 0.08],
        Colour::Brown => [0.52, 0.29, 0.12],
    }
}

/// Shapes with an outline one pixel wide, in the subject's colours.
struct Pen<'a> {
    canvas: &'a mut Canvas,
    main: Rgb,
    dark: Rgb,
    light: Rgb,
    outline: Rgb,
    width: f32,
}

impl Pen<'_> {
    fn shape(&mut self, corners: &[(f32, f32)], colour: Rgb) {
        self.canvas.polygon(corners, colour);
        let mut closed = corners.to_vec();
        closed.extend(corners.first());
        self.canvas.line(&closed, self.width, self.outline, 0.85);
    }

    fn oval(&mut self, x: f32, y: f32, rx: f32, ry: f32, colour: Rgb) {
        self.arc(x, y, rx, ry, (0.0, 1.0), colour);
    }

    /// The part of an oval between two turns (0 is right, 0.25 is down).
    fn arc(&mut self, x: f32, y: f32, rx: f32, ry: f32, turns: (f32, f32), colour: Rgb) {
        let corners: Vec<_> = (0..=24)
            .map(|step| {
                let turn = turns.0 + (turns.1 - turns.0) * step as f32 / 24.0;
                let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
                (x + rx * cos, y + ry * sin)
            })
            .collect();
        self.shape(&corners, colour);
    }

    fn box_(&mut self, left: f32, top: f32, right: f32, bottom: f32, colour: Rgb) {
        self.shape(
            &[(left, top), (right, top), (right, bottom), (left, bottom)],
            colour,
        );
    }

    fn eye(&mut self, x: f32, y: f32, radius: f32) {
        self.canvas.ellipse(x, y, radius, radius, WHITE);
        self.canvas.ellipse(x, y, radius * 0.6, radius * 0.6, INK);
    }

    fn stroke(&mut self, points: &[(f32, f32)], width: f32, colour: Rgb) {
        self.canvas.line(points, width, colour, 1.0);
    }

    fn shadow(&mut self) {
        self.canvas.ellipse_alpha(0.0, 0.95, 0.85, 0.13, INK, 0.35);
    }

    fn cat(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        self.stroke(
            &[(0.45, 0.8), (0.85, 0.6), (0.92, 0.1), (0.72, -0.1)],
            0.2,
            main,
        );
        self.oval(0.05, 0.5, 0.52, 0.46, main);
        self.shape(&[(-0.55, -0.45), (-0.52, -1.0), (-0.12, -0.72)], main);
        self.shape(&[(0.35, -0.45), (0.32, -1.0), (-0.08, -0.72)], main);
        self.oval(-0.1, -0.35, 0.52, 0.44, main);
        self.oval(-0.1, -0.17, 0.2, 0.15, light);
        self.eye(-0.3, -0.42, 0.12);
        self.eye(0.1, -0.42, 0.12);
        self.oval(-0.25, 0.85, 0.17, 0.12, dark);
        self.oval(0.2, 0.85, 0.17, 0.12, dark);
    }

    fn bird(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        let beak = [0.98, 0.68, 0.10];
        self.stroke(&[(-0.05, 0.5), (-0.05, 0.95)], 0.08, beak);
        self.stroke(&[(0.2, 0.5), (0.2, 0.95)], 0.08, beak);
        self.shape(&[(0.45, 0.1), (1.0, -0.15), (0.95, 0.25), (0.5, 0.4)], dark);
        self.oval(0.1, 0.2, 0.58, 0.42, main);
        self.shape(&[(-0.72, -0.42), (-1.05, -0.25), (-0.68, -0.18)], beak);
        self.oval(-0.42, -0.32, 0.36, 0.34, main);
        self.oval(-0.12, 0.32, 0.28, 0.22, light);
        self.shape(&[(-0.1, 0.0), (0.35, -0.05), (0.72, 0.3), (0.2, 0.4)], dark);
        self.eye(-0.5, -0.4, 0.1);
    }

    fn fish(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        self.shape(&[(0.45, 0.1), (1.0, -0.4), (0.88, 0.12), (1.0, 0.62)], dark);
        self.shape(&[(-0.25, -0.3), (0.1, -0.75), (0.4, -0.2)], dark);
        self.oval(-0.15, 0.12, 0.78, 0.46, main);
        self.arc(-0.15, 0.12, 0.78, 0.46, (0.05, 0.45), light);
        self.shape(&[(-0.05, 0.12), (0.32, 0.0), (0.28, 0.35)], dark);
        self.stroke(
            &[(-0.4, -0.2), (-0.3, 0.1), (-0.4, 0.42)],
            self.width,
            self.outline,
        );
        self.eye(-0.62, 0.02, 0.12);
    }

    fn butterfly(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        for side in [-1.0, 1.0] {
            self.shape(
                &[
                    (0.0, -0.1),
                    (side * 0.5, -0.85),
                    (side * 1.0, -0.75),
                    (side * 0.9, -0.1),
                    (side * 0.4, 0.1),
                ],
                main,
            );
            self.shape(
                &[
                    (0.0, 0.05),
                    (side * 0.75, 0.1),
                    (side * 0.78, 0.65),
                    (side * 0.4, 0.85),
                ],
                dark,
            );
            self.canvas.ellipse(side * 0.66, -0.48, 0.17, 0.17, light);
            self.canvas.ellipse(side * 0.5, 0.42, 0.13, 0.13, light);
            self.stroke(&[(0.0, -0.4), (side * 0.25, -0.95)], self.width, INK);
        }
        self.oval(0.0, 0.1, 0.11, 0.58, INK);
    }

    fn flower(&mut self) {
        let (main, light) = (self.main, self.light);
        let green = [0.12, 0.52, 0.16];
        self.stroke(&[(0.0, 0.0), (0.05, 0.95)], 0.13, green);
        self.shape(&[(0.04, 0.72), (0.5, 0.35), (0.45, 0.68)], green);
        self.shape(&[(0.04, 0.82), (-0.48, 0.48), (-0.38, 0.8)], green);
        for petal in 0..6 {
            let (sin, cos) = (petal as f32 / 6.0 * std::f32::consts::TAU).sin_cos();
            self.oval(cos * 0.42, -0.35 + sin * 0.42, 0.3, 0.3, main);
        }
        self.oval(
            0.0,
            -0.35,
            0.22,
            0.22,
            if luma(light) > 0.75 {
                [0.9, 0.6, 0.1]
            } else {
                [1.0, 0.88, 0.3]
            },
        );
    }

    fn mushroom(&mut self) {
        let main = self.main;
        let spot = if luma(main) > 0.8 {
            [0.75, 0.55, 0.45]
        } else {
            WHITE
        };
        self.shape(
            &[(-0.22, 0.0), (0.22, 0.0), (0.32, 0.92), (-0.32, 0.92)],
            [0.95, 0.90, 0.78],
        );
        self.arc(0.0, 0.08, 0.95, 0.95, (0.5, 1.0), main);
        for (x, y, radius) in [
            (-0.45, -0.25, 0.15),
            (0.05, -0.55, 0.17),
            (0.5, -0.22, 0.14),
            (0.02, -0.12, 0.1),
        ] {
            self.canvas.ellipse(x, y, radius, radius, spot);
        }
    }

    fn cactus(&mut self) {
        let (main, light) = (self.main, self.light);
        let arm = 0.3;
        for (width, colour) in [(arm + self.width * 1.6, self.outline), (arm, main)] {
            self.stroke(&[(0.0, 0.35), (-0.62, 0.35), (-0.62, -0.25)], width, colour);
            self.stroke(&[(0.0, 0.1), (0.62, 0.1), (0.62, -0.5)], width, colour);
            self.stroke(&[(0.0, 0.85), (0.0, -0.72)], width * 1.35, colour);
        }
        for x in [-0.08, 0.1] {
            self.stroke(&[(x, 0.8), (x, -0.7)], self.width * 0.8, light);
        }
        for (x, y) in [(0.0, -0.95), (-0.62, -0.42), (0.62, -0.66)] {
            self.canvas.ellipse(x, y, 0.13, 0.1, [1.0, 0.45, 0.6]);
        }
    }

    fn house(&mut self) {
        let (main, dark) = (self.main, self.dark);
        self.box_(0.35, -0.85, 0.58, -0.3, dark);
        self.box_(-0.72, -0.15, 0.72, 0.92, main);
        self.shape(&[(-0.98, -0.12), (0.0, -0.92), (0.98, -0.12)], dark);
        self.box_(-0.16, 0.32, 0.2, 0.92, [0.32, 0.20, 0.12]);
        self.box_(-0.58, 0.15, -0.3, 0.45, [1.0, 0.92, 0.55]);
        self.box_(0.34, 0.15, 0.6, 0.45, [1.0, 0.92, 0.55]);
    }

    fn castle(&mut self) {
        let (main, dark) = (self.main, self.dark);
        self.box_(-0.6, -0.05, 0.6, 0.92, main);
        for x in [-0.45, -0.1, 0.25] {
            self.box_(x, -0.25, x + 0.2, -0.05, main);
        }
        for x in [-0.75, 0.75] {
            self.box_(x - 0.25, -0.4, x + 0.25, 0.92, main);
            self.shape(&[(x - 0.33, -0.4), (x, -1.0), (x + 0.33, -0.4)], dark);
            self.canvas.ellipse(x, 0.05, 0.08, 0.14, INK);
        }
        self.arc(0.0, 0.55, 0.2, 0.22, (0.5, 1.0), INK);
        self.canvas.rectangle(-0.2, 0.55, 0.2, 0.92, INK);
    }

    fn car(&mut self) {
        let (main, dark) = (self.main, self.dark);
        self.shape(
            &[(-0.55, 0.15), (-0.32, -0.38), (0.35, -0.38), (0.62, 0.15)],
            dark,
        );
        self.shape(
            &[(-0.42, 0.12), (-0.25, -0.25), (0.0, -0.25), (0.0, 0.12)],
            GLASS,
        );
        self.shape(
            &[(0.08, 0.12), (0.08, -0.25), (0.29, -0.25), (0.48, 0.12)],
            GLASS,
        );
        self.shape(
            &[
                (-1.0, 0.2),
                (-0.6, 0.1),
                (0.65, 0.1),
                (0.98, 0.25),
                (0.98, 0.66),
                (-1.0, 0.66),
            ],
            main,
        );
        self.canvas
            .ellipse(-0.92, 0.36, 0.09, 0.1, [1.0, 0.95, 0.6]);
        for x in [-0.55, 0.55] {
            self.oval(x, 0.68, 0.27, 0.27, INK);
            self.canvas.ellipse(x, 0.68, 0.12, 0.12, [0.75, 0.75, 0.78]);
        }
    }

    fn sailboat(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        self.stroke(&[(0.0, 0.5), (0.0, -1.0)], 0.09, [0.35, 0.22, 0.12]);
        self.shape(&[(0.08, -0.92), (0.82, 0.36), (0.08, 0.36)], main);
        self.shape(&[(-0.08, -0.7), (-0.62, 0.36), (-0.08, 0.36)], light);
        self.shape(
            &[(-0.95, 0.45), (0.98, 0.45), (0.62, 0.92), (-0.6, 0.92)],
            dark,
        );
    }

    fn rocket(&mut self) {
        let (main, dark) = (self.main, self.dark);
        self.shape(&[(-0.2, 0.55), (0.0, 1.08), (0.2, 0.55)], [1.0, 0.70, 0.10]);
        self.shape(&[(-0.34, 0.1), (-0.68, 0.68), (-0.3, 0.55)], dark);
        self.shape(&[(0.34, 0.1), (0.68, 0.68), (0.3, 0.55)], dark);
        self.shape(
            &[
                (0.0, -1.0),
                (0.28, -0.55),
                (0.36, 0.0),
                (0.26, 0.6),
                (-0.26, 0.6),
                (-0.36, 0.0),
                (-0.28, -0.55),
            ],
            main,
        );
        self.shape(&[(0.0, -1.0), (0.28, -0.55), (-0.28, -0.55)], dark);
        self.oval(0.0, -0.2, 0.18, 0.18, GLASS);
    }

    fn balloon(&mut self) {
        let (main, light) = (self.main, self.light);
        for x in [-0.3, 0.3] {
            self.stroke(&[(x, 0.35), (x * 0.6, 0.72)], self.width, INK);
        }
        self.box_(-0.2, 0.68, 0.2, 0.98, [0.55, 0.36, 0.18]);
        self.oval(0.0, -0.28, 0.72, 0.72, main);
        self.canvas.ellipse(0.0, -0.28, 0.38, 0.68, light);
        self.canvas.ellipse(0.0, -0.28, 0.14, 0.68, main);
        self.shape(
            &[(-0.42, 0.3), (0.42, 0.3), (0.22, 0.48), (-0.22, 0.48)],
            main,
        );
    }

    fn umbrella(&mut self) {
        let (main, dark) = (self.main, self.dark);
        self.stroke(
            &[
                (0.0, -0.1),
                (0.0, 0.8),
                (0.1, 0.94),
                (0.26, 0.9),
                (0.3, 0.72),
            ],
            0.11,
            [0.42, 0.28, 0.16],
        );
        self.stroke(&[(0.0, -0.7), (0.0, -1.0)], 0.09, self.outline);
        self.arc(0.0, 0.12, 0.98, 0.92, (0.5, 1.0), main);
        self.shape(
            &[
                (-0.36, 0.12),
                (-0.2, -0.5),
                (0.0, -0.8),
                (0.2, -0.5),
                (0.36, 0.12),
            ],
            dark,
        );
    }

    fn robot(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        self.stroke(&[(0.0, -0.7), (0.0, -0.95)], 0.08, self.outline);
        self.canvas.ellipse(0.0, -0.97, 0.1, 0.1, [1.0, 0.3, 0.2]);
        self.box_(-0.82, 0.0, -0.58, 0.55, dark);
        self.box_(0.58, 0.0, 0.82, 0.55, dark);
        self.box_(-0.4, 0.6, -0.1, 0.95, dark);
        self.box_(0.1, 0.6, 0.4, 0.95, dark);
        self.box_(-0.55, -0.08, 0.55, 0.65, main);
        self.box_(-0.46, -0.75, 0.46, -0.12, light);
        self.eye(-0.2, -0.48, 0.14);
        self.eye(0.2, -0.48, 0.14);
        self.stroke(&[(-0.2, -0.23), (0.2, -0.23)], 0.07, INK);
        self.canvas.ellipse(0.0, 0.25, 0.15, 0.15, [1.0, 0.9, 0.4]);
    }

    fn teapot(&mut self) {
        let (main, dark, light) = (self.main, self.dark, self.light);
        self.stroke(
            &[(0.5, -0.05), (0.95, -0.05), (0.95, 0.5), (0.5, 0.6)],
            0.15,
            dark,
        );
        self.shape(
            &[(-0.45, 0.25), (-1.0, -0.3), (-0.85, -0.4), (-0.4, -0.05)],
            dark,
        );
        self.oval(0.02, 0.3, 0.64, 0.58, main);
        self.arc(0.02, -0.18, 0.42, 0.28, (0.5, 1.0), dark);
        self.oval(0.02, -0.54, 0.12, 0.12, main);
        self.canvas.ellipse(-0.2, 0.15, 0.16, 0.2, light);
    }
}
