//! Sky and place: time colours both, weather dulls the sky.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SIDE;
use super::canvas::{Canvas, Rgb, mix};
use crate::pocket::meaning::{Meaning, Place, Time, Weather};

const RIGHT: f32 = SIDE as f32;
const BOTTOM: f32 = SIDE as f32;

pub(super) fn paint(canvas: &mut Canvas, meaning: Meaning, horizon: f32, rng: &mut ChaCha8Rng) {
    sky(canvas, meaning, horizon, rng);
    let light = Light::of(meaning.time, meaning.weather);
    match meaning.place {
        Place::Forest => forest(canvas, light, horizon, rng),
        Place::Beach => beach(canvas, light, horizon, rng),
        Place::Desert => desert(canvas, light, horizon, rng),
        Place::Mountains => mountains(canvas, light, horizon, rng),
        Place::City => city(canvas, light, horizon, rng),
        Place::Meadow => meadow(canvas, light, horizon, rng),
        Place::Volcano => volcano(canvas, light, horizon, rng),
        Place::Arctic => arctic(canvas, light, horizon, rng),
    }
}

/// How the hour tints things.
#[derive(Clone, Copy)]
struct Light {
    tint: Rgb,
    night: bool,
}

impl Light {
    fn of(time: Time, weather: Weather) -> Self {
        let tint = match time {
            Time::Dawn => [1.0, 0.86, 0.92],
            Time::Day => [1.0, 1.0, 1.0],
            Time::Dusk => [0.86, 0.60, 0.48],
            Time::Night => [0.26, 0.31, 0.48],
        };
        let dull = if weather == Weather::Clear { 1.0 } else { 0.88 };
        Self {
            tint: tint.map(|channel| channel * dull),
            night: time == Time::Night,
        }
    }

    fn on(self, colour: Rgb) -> Rgb {
        std::array::from_fn(|i| colour[i] * self.tint[i])
    }
}

fn sky(canvas: &mut Canvas, meaning: Meaning, horizon: f32, rng: &mut ChaCha8Rng) {
    let (top, low) = match meaning.time {
        Time::Dawn => ([0.62, 0.66, 0.92], [1.0, 0.80, 0.82]),
        Time::Day => ([0.22, 0.55, 0.95], [0.70, 0.88, 1.0]),
        Time::Dusk => ([0.36, 0.16, 0.42], [1.0, 0.45, 0.12]),
        Time::Night => ([0.02, 0.03, 0.12], [0.08, 0.11, 0.28]),
    };
    let (grey, share) = match meaning.weather {
        Weather::Clear => ([0.0; 3], 0.0),
        Weather::Rain => ([0.45, 0.48, 0.54], 0.45),
        Weather::Snow => ([0.78, 0.80, 0.86], 0.35),
        Weather::Fog => ([0.80, 0.80, 0.82], 0.45),
        Weather::Storm => ([0.16, 0.15, 0.22], 0.60),
    };
    let grey = if meaning.time == Time::Night {
        grey.map(|channel| channel * 0.35)
    } else {
        grey
    };
    canvas.gradient(
        0.0,
        horizon + 1.0,
        mix(top, grey, share),
        mix(low, grey, share),
    );
    if meaning.time == Time::Night && meaning.weather != Weather::Storm {
        let stars = if meaning.weather == Weather::Clear {
            26
        } else {
            7
        };
        for _ in 0..stars {
            let (x, y) = (
                rng.random_range(0.0..RIGHT),
                rng.random_range(0.0..horizon - 8.0),
            );
            canvas.ellipse(x, y, 0.5, 0.5, [1.0, 1.0, 0.9]);
        }
    }
    if meaning.weather != Weather::Storm {
        sun_or_moon(canvas, meaning.time, horizon, rng);
    }
}

/// The hour's light: low and left at dawn, high at noon, low, right and red at dusk.
fn sun_or_moon(canvas: &mut Canvas, time: Time, horizon: f32, rng: &mut ChaCha8Rng) {
    let shift = rng.random_range(-3.0..3.0);
    let mut glowing = |x: f32, y: f32, radius: f32, colour: Rgb| {
        canvas.ellipse_alpha(x, y, radius * 1.8, radius * 1.8, colour, 0.25);
        canvas.ellipse(x, y, radius, radius, colour);
    };
    match time {
        Time::Dawn => glowing(10.0 + shift, horizon - 7.0, 4.5, [1.0, 0.95, 0.62]),
        Time::Day => glowing(50.0 + shift, 8.0, 4.5, [1.0, 0.97, 0.55]),
        Time::Dusk => glowing(52.0 + shift, horizon - 4.0, 6.5, [1.0, 0.32, 0.10]),
        Time::Night => {
            let (x, y) = (13.0 + shift, 9.0);
            canvas.ellipse_alpha(x, y, 8.0, 8.0, [0.8, 0.85, 1.0], 0.15);
            canvas.ellipse(x, y, 5.0, 5.0, [0.95, 0.95, 0.85]);
            canvas.ellipse(x + 2.6, y - 1.2, 4.4, 4.4, [0.05, 0.06, 0.18]);
        }
    }
}

fn ground(canvas: &mut Canvas, horizon: f32, far: Rgb, near: Rgb) {
    canvas.gradient(horizon, BOTTOM, far, near);
}

fn forest(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.16, 0.32, 0.14]),
        light.on([0.24, 0.22, 0.12]),
    );
    for row in 0..2 {
        let leaves = light.on(if row == 0 {
            [0.10, 0.36, 0.22]
        } else {
            [0.05, 0.25, 0.12]
        });
        let trunk = light.on([0.30, 0.19, 0.10]);
        let mut x = rng.random_range(-4.0..2.0);
        while x < RIGHT + 4.0 {
            let height = rng.random_range(22.0..32.0) - row as f32 * 4.0;
            let foot = horizon + 2.0 + row as f32 * 3.0;
            canvas.rectangle(x - 0.8, foot - 5.0, x + 0.8, foot, trunk);
            for tier in 0..3 {
                let top = foot - height + tier as f32 * height * 0.24;
                let half = 2.6 + tier as f32 * 1.6;
                let low = top + height * 0.38;
                canvas.polygon(&[(x, top), (x + half, low), (x - half, low)], leaves);
            }
            x += rng.random_range(6.5..10.0);
        }
    }
}

fn beach(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    let sea = horizon - 6.0;
    let shore = horizon + 7.0;
    canvas.gradient(
        sea,
        shore,
        light.on([0.05, 0.42, 0.68]),
        light.on([0.20, 0.74, 0.80]),
    );
    canvas.gradient(
        shore,
        BOTTOM,
        light.on([0.96, 0.87, 0.62]),
        light.on([0.88, 0.75, 0.48]),
    );
    let foam = light.on([0.97, 0.99, 1.0]);
    let mut wave = vec![];
    for step in 0..=16 {
        let x = step as f32 * 4.0;
        wave.push((x, shore + (x * 0.35).sin() * 1.0));
    }
    canvas.line(&wave, 1.4, foam, 1.0);
    for _ in 0..5 {
        let (x, y) = (
            rng.random_range(0.0..RIGHT),
            rng.random_range(sea + 2.0..shore - 2.0),
        );
        canvas.line(&[(x, y), (x + 5.0, y)], 0.6, foam, 0.6);
    }
    let left = rng.random_bool(0.5);
    let x = if left {
        rng.random_range(3.0..7.0)
    } else {
        rng.random_range(57.0..61.0)
    };
    let lean = if left { 3.0 } else { -3.0 };
    let (top_x, top_y) = (x + lean, shore - 26.0);
    canvas.line(
        &[
            (x, shore + 4.0),
            (x + lean * 0.3, shore - 12.0),
            (top_x, top_y),
        ],
        1.8,
        light.on([0.45, 0.30, 0.15]),
        1.0,
    );
    for (dx, dy) in [
        (-9.0, 2.0),
        (-6.0, -4.0),
        (0.0, -5.5),
        (6.0, -4.0),
        (9.0, 2.0),
    ] {
        let leaf = [
            (top_x, top_y),
            (top_x + dx * 0.6, top_y + dy),
            (top_x + dx, top_y + dy + 3.0),
        ];
        canvas.line(&leaf, 1.7, light.on([0.10, 0.48, 0.16]), 1.0);
    }
}

fn desert(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.93, 0.66, 0.32]),
        light.on([0.82, 0.52, 0.22]),
    );
    for (row, shade) in [[0.97, 0.74, 0.40], [0.85, 0.55, 0.25]]
        .into_iter()
        .enumerate()
    {
        let base = horizon + row as f32 * 9.0;
        let peak = rng.random_range(8.0..56.0);
        let height = rng.random_range(6.0..11.0);
        let mut dune = vec![(0.0, base + 4.0)];
        for step in 0..=16 {
            let x = step as f32 * 4.0;
            let bump = (-((x - peak) / 14.0).powi(2)).exp();
            dune.push((x, base - height * bump + (x * 0.15 + peak).sin() * 1.2));
        }
        dune.push((RIGHT, base + 8.0));
        dune.push((0.0, base + 8.0));
        canvas.polygon(&dune, light.on(shade));
        canvas.polygon_alpha(
            &[
                (peak, base - height),
                (peak + 20.0, base + 2.0),
                (peak + 4.0, base + 4.0),
            ],
            light.on([0.62, 0.36, 0.14]),
            0.6,
        );
    }
}

fn mountains(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.40, 0.50, 0.36]),
        light.on([0.30, 0.38, 0.26]),
    );
    let mut x = rng.random_range(2.0..8.0);
    while x < RIGHT + 6.0 {
        let top = horizon - rng.random_range(20.0..30.0);
        let half = rng.random_range(13.0..17.0);
        let rock = light.on([0.44, 0.46, 0.56]);
        canvas.polygon(
            &[
                (x, top),
                (x + half, horizon + 1.0),
                (x - half, horizon + 1.0),
            ],
            rock,
        );
        let shade = light.on([0.30, 0.31, 0.42]);
        canvas.polygon(
            &[
                (x, top),
                (x + half, horizon + 1.0),
                (x + 2.0, horizon + 1.0),
            ],
            shade,
        );
        let cap = 0.34;
        let low = top + (horizon - top) * cap;
        canvas.polygon(
            &[
                (x, top),
                (x + half * cap, low),
                (x + half * 0.12, low - 2.0),
                (x - half * 0.1, low + 2.0),
                (x - half * cap, low),
            ],
            light.on([0.98, 0.98, 1.0]),
        );
        x += rng.random_range(16.0..21.0);
    }
}

fn city(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.42, 0.42, 0.45]),
        light.on([0.28, 0.28, 0.31]),
    );
    let mut x = -2.0;
    while x < RIGHT {
        let width = rng.random_range(7.0..12.0);
        let top = horizon - rng.random_range(13.0..32.0);
        let grey = rng.random_range(0.42..0.62);
        let wall = light.on([grey, grey * 0.98, grey * 1.08]);
        canvas.rectangle(x, top, x + width, horizon, wall);
        let mut y = top + 2.0;
        while y < horizon - 2.0 {
            let mut window = x + 1.5;
            while window < x + width - 1.5 {
                let lit = rng.random_bool(if light.night { 0.65 } else { 0.3 });
                let pane = if lit && light.night {
                    [1.0, 0.88, 0.45]
                } else if lit {
                    light.on([0.80, 0.90, 1.0])
                } else {
                    light.on([0.20, 0.24, 0.34])
                };
                canvas.rectangle(window, y, window + 1.2, y + 1.6, pane);
                window += 2.4;
            }
            y += 3.2;
        }
        x += width + 0.6;
    }
    let mark = light.on([0.95, 0.92, 0.70]);
    for step in 0..4 {
        let x = step as f32 * 18.0 + 2.0;
        canvas.rectangle(x, 54.0, x + 9.0, 55.4, mark);
    }
}

fn meadow(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.48, 0.80, 0.28]),
        light.on([0.26, 0.60, 0.16]),
    );
    let mut hill = vec![(0.0, horizon + 4.0)];
    let phase = rng.random_range(0.0..6.0);
    for step in 0..=16 {
        let x = step as f32 * 4.0;
        hill.push((x, horizon - 2.5 + (x * 0.09 + phase).sin() * 2.5));
    }
    hill.push((RIGHT, horizon + 4.0));
    canvas.polygon(&hill, light.on([0.42, 0.74, 0.26]));
    for _ in 0..26 {
        let (x, y) = (
            rng.random_range(0.0..RIGHT),
            rng.random_range(horizon + 3.0..BOTTOM),
        );
        let petal = [[1.0, 1.0, 0.9], [1.0, 0.85, 0.2], [0.95, 0.6, 0.85]][rng.random_range(0..3)];
        canvas.ellipse(x, y, 0.9, 0.8, light.on(petal));
    }
}

fn volcano(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    ground(
        canvas,
        horizon,
        light.on([0.28, 0.19, 0.18]),
        light.on([0.16, 0.11, 0.11]),
    );
    let x = 32.0 + rng.random_range(-8.0..8.0);
    let top = horizon - 23.0;
    let smoke = mix(light.on([0.45, 0.42, 0.42]), [0.30, 0.26, 0.26], 0.4);
    for puff in 0..5 {
        let rise = puff as f32;
        let drift = x + rise * rng.random_range(0.5..2.5);
        canvas.ellipse_alpha(
            drift,
            top - 1.0 - rise * 3.6,
            3.2 + rise,
            2.8 + rise * 0.6,
            smoke,
            0.9,
        );
    }
    let rock = light.on([0.30, 0.22, 0.22]);
    let slope = [
        (x - 5.0, top),
        (x + 5.0, top),
        (x + 25.0, horizon + 1.0),
        (x - 25.0, horizon + 1.0),
    ];
    canvas.polygon(&slope, rock);
    let lava = [1.0, 0.36, 0.05];
    canvas.ellipse(x, top, 5.0, 1.5, [1.0, 0.65, 0.15]);
    for (foot, width) in [(-9.0, 2.0), (1.5, 2.6), (11.0, 1.8)] {
        let bend = x + foot * 0.45 + rng.random_range(-1.5..1.5);
        canvas.line(
            &[
                (x + foot * 0.2, top),
                (bend, top + 11.0),
                (x + foot, horizon),
            ],
            width,
            lava,
            1.0,
        );
    }
    for _ in 0..4 {
        let (cx, cy) = (
            rng.random_range(0.0..RIGHT),
            rng.random_range(horizon + 4.0..BOTTOM),
        );
        canvas.line(
            &[(cx, cy), (cx + 4.0, cy + 1.0), (cx + 7.0, cy - 1.0)],
            0.9,
            lava,
            0.9,
        );
    }
}

fn arctic(canvas: &mut Canvas, light: Light, horizon: f32, rng: &mut ChaCha8Rng) {
    let sea = horizon - 3.0;
    canvas.gradient(
        sea,
        horizon + 8.0,
        light.on([0.22, 0.42, 0.58]),
        light.on([0.30, 0.55, 0.68]),
    );
    let mut x = rng.random_range(0.0..8.0);
    while x < RIGHT + 6.0 {
        let half = rng.random_range(6.0..10.0);
        let top = sea - rng.random_range(9.0..18.0);
        let foot = sea + 4.0;
        let ice = light.on([0.84, 0.94, 1.0]);
        canvas.polygon(
            &[
                (x - half, foot),
                (x - half * 0.5, top + 4.0),
                (x, top),
                (x + half * 0.6, top + 6.0),
                (x + half, foot),
            ],
            ice,
        );
        canvas.polygon(
            &[
                (x, top),
                (x + half * 0.6, top + 6.0),
                (x + half, foot),
                (x + half * 0.1, foot),
            ],
            light.on([0.58, 0.76, 0.92]),
        );
        x += rng.random_range(17.0..25.0);
    }
    canvas.gradient(
        horizon + 8.0,
        BOTTOM,
        light.on([0.93, 0.97, 1.0]),
        light.on([0.80, 0.88, 0.96]),
    );
    for _ in 0..5 {
        let (cx, cy) = (
            rng.random_range(0.0..RIGHT),
            rng.random_range(horizon + 10.0..BOTTOM),
        );
        canvas.line(
            &[(cx, cy), (cx + 6.0, cy + 1.5)],
            0.7,
            light.on([0.55, 0.72, 0.86]),
            0.9,
        );
    }
}
