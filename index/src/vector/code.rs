//! Rows in 8 bits a number, kept as two halves of 4. Walks go by the upper half, a quarter of the
//! bytes of a row of f16: to fetch them is what a walk spends its time on. Both halves then put what it
//! has found in order, and the rows themselves the best of that.
//!
//! As locally adaptive vector quantization in two levels has it (Aguerrebere et al., "Similarity
//! search in the blink of an eye with compressed indices", VLDB 2023), a code is that of the row
//! without the mean of all rows, in steps of its own largest number.

use crate::distance::{self, PACKED, dots_u4};

/// The fewest numbers of a row that is given a code: the errors of upper halves need so many to even
/// out, and shorter rows take few cache lines as they are.
pub(crate) const MIN_DIM: usize = 64;

/// The largest number of a code, whose halves are then -7 to 7 and -8 to 7.
const MAX: f32 = 119.0;
/// The largest number of a query, which is not split.
const MAX_QUERY: f32 = 127.0;
/// What is added to halves, so that they have no sign.
const BIAS: i32 = 8;

/// Bytes of a half of the code of a row of `dim` numbers.
pub(crate) fn width(dim: usize) -> usize {
    dim.div_ceil(2 * PACKED) * PACKED
}

/// The step of a code, and what to add to a product of two codes.
///
/// Of rows `x` and `y` without the mean `m` the product is `(x - m)(y - m)`, so that `xy` is that
/// and `mx - mm / 2` and `my - mm / 2`.
pub(crate) type Scale = [f32; 2];

/// Encodes rows from whose numbers it takes a mean.
#[derive(Debug)]
pub(crate) struct Coder<'a> {
    mean: &'a [f32],
    square: f32,
}

impl<'a> Coder<'a> {
    pub(crate) fn new(mean: &'a [f32]) -> Coder<'a> {
        let square = distance::dot(mean, mean);
        Coder { mean, square }
    }

    /// Appends the numbers of a vector's code, `limit` at most, and zeros up to a whole number of
    /// blocks.
    fn numbers(&self, vector: &[f32], limit: f32, numbers: &mut Vec<i8>) -> Scale {
        let centred = || vector.iter().zip(self.mean).map(|(x, mean)| x - mean);
        let step = centred().fold(0.0, |max: f32, x| max.max(x.abs())) / limit;
        let factor = if step > 0.0 { 1.0 / step } else { 0.0 };
        let end = numbers.len() + 2 * width(vector.len());
        numbers.extend(centred().map(|x| (x * factor).round() as i8));
        numbers.resize(end, 0);
        [step, distance::dot(vector, self.mean) - self.square / 2.0]
    }

    /// What encodes rows.
    pub(crate) fn encoder(self) -> RowEncoder<'a> {
        RowEncoder {
            coder: self,
            numbers: Vec::new(),
            upper: Vec::new(),
            lower: Vec::new(),
        }
    }

    /// The code of a vector to compare rows with.
    pub(crate) fn query(&self, vector: &[f32]) -> Query {
        let mut numbers = Vec::new();
        let scale = self.numbers(vector, MAX_QUERY, &mut numbers);
        Query::new(numbers, scale)
    }
}

/// Encodes rows one after the other.
#[derive(Debug)]
pub(crate) struct RowEncoder<'a> {
    coder: Coder<'a>,
    numbers: Vec<i8>,
    /// The halves of the last row's code.
    pub(crate) upper: Vec<u8>,
    pub(crate) lower: Vec<u8>,
}

impl RowEncoder<'_> {
    pub(crate) fn encode(&mut self, row: &[f32]) -> Scale {
        let RowEncoder {
            coder,
            numbers,
            upper,
            lower,
        } = self;
        numbers.clear();
        upper.clear();
        lower.clear();
        let scale = coder.numbers(row, MAX, numbers);
        let halves = |number: i8| {
            let number = i32::from(number);
            let upper = (number + BIAS) >> 4;
            ((upper + BIAS) as u8, (number - 16 * upper + BIAS) as u8)
        };
        for block in numbers.chunks_exact(2 * PACKED) {
            let (first, second) = block.split_at(PACKED);
            for (&first, &second) in first.iter().zip(second) {
                let (first, second) = (halves(first), halves(second));
                upper.push(second.0 << 4 | first.0);
                lower.push(second.1 << 4 | first.1);
            }
        }
        scale
    }
}

/// The number of 16 times its upper half and its lower half, both with their bias.
#[inline]
fn number(upper: u8, lower: u8) -> i8 {
    let bias = (16 * BIAS + BIAS) as u8;
    upper.wrapping_add(lower).wrapping_sub(bias) as i8
}

/// A code that those of rows are compared with, in 8 bits a number.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    numbers: Vec<i8>,
    scale: Scale,
    /// What the bias of a row's halves adds to its product with this.
    bias: i32,
}

impl Query {
    fn new(numbers: Vec<i8>, scale: Scale) -> Query {
        let sum: i32 = numbers.iter().map(|&number| i32::from(number)).sum();
        let bias = BIAS * sum;
        Query {
            numbers,
            scale,
            bias,
        }
    }

    /// The step from one number to the next.
    pub(crate) fn step(&self) -> f32 {
        self.scale[0]
    }
}

/// The codes of all rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codes<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) upper: &'a [u8],
    pub(crate) lower: &'a [u8],
    pub(crate) scales: &'a [Scale],
}

impl<'a> Codes<'a> {
    /// What encodes queries for these rows.
    pub(crate) fn coder(&self) -> Coder<'a> {
        Coder::new(self.mean)
    }

    /// The code of a row as a query; none where there is no such row.
    pub(crate) fn query(&self, row: u32) -> Option<Query> {
        let (row, width) = (row as usize, width(self.mean.len()));
        let half = |half: &'a [u8]| half.get(row * width..)?.get(..width);
        let (upper, lower) = (half(self.upper)?, half(self.lower)?);
        let mut numbers = vec![0; 2 * width];
        let (blocks, _) = numbers.as_chunks_mut::<{ 2 * PACKED }>();
        let halves = upper
            .as_chunks::<PACKED>()
            .0
            .iter()
            .zip(lower.as_chunks::<PACKED>().0);
        for (block, (upper, lower)) in blocks.iter_mut().zip(halves) {
            let (first, second) = block.split_at_mut(PACKED);
            for place in 0..PACKED {
                let (upper, lower) = (upper[place], lower[place]);
                first[place] = number(upper << 4, lower & 15);
                second[place] = number(upper & !15, lower >> 4);
            }
        }
        Some(Query::new(numbers, *self.scales.get(row)?))
    }

    /// The cosine of a row to the query, nearly, by the upper half of its code: a number is off by
    /// 8.5 steps at most, and by 4.6 in the mean square. Nothing where there is no such row.
    #[inline]
    pub(crate) fn estimate(&self, row: u32, query: &Query) -> Option<f32> {
        let mut dot = [0];
        let there = dots_u4(&query.numbers, self.upper, &[row], &mut dot);
        there.then(|| self.score(row, 16.0 * (dot[0] - query.bias) as f32, query))
    }

    /// As [`Codes::estimate`], of some rows at once.
    pub(crate) fn estimates(
        &self,
        rows: &[u32],
        query: &Query,
        dots: &mut Vec<i32>,
        scores: &mut Vec<f32>,
    ) -> Option<()> {
        scores.clear();
        for &row in rows {
            distance::prefetch(std::slice::from_ref(self.scales.get(row as usize)?));
        }
        self.dots(self.upper, rows, query, dots)?;
        let found = rows.iter().zip(dots.iter());
        scores.extend(found.map(|(&row, dot)| self.score(row, 16.0 * *dot as f32, query)));
        Some(())
    }

    /// As [`Codes::estimates`], by both halves: a number is off by half a step at most, and by 0.29
    /// in the mean square.
    pub(crate) fn refined(&self, rows: &[u32], query: &Query) -> Option<Vec<f32>> {
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        self.dots(self.upper, rows, query, &mut upper)?;
        self.dots(self.lower, rows, query, &mut lower)?;
        let halves = upper.iter().zip(&lower).zip(rows);
        let scores = halves.map(|((upper, lower), &row)| {
            self.score(row, 16.0 * *upper as f32 + *lower as f32, query)
        });
        Some(scores.collect())
    }

    /// The dot products of halves of rows with the query.
    fn dots(&self, half: &[u8], rows: &[u32], query: &Query, dots: &mut Vec<i32>) -> Option<()> {
        dots.clear();
        dots.resize(rows.len(), 0);
        let all = dots_u4(&query.numbers, half, rows, dots);
        for dot in dots {
            *dot -= query.bias;
        }
        all.then_some(())
    }

    #[inline]
    fn score(&self, row: u32, dot: f32, query: &Query) -> f32 {
        let scale = self.scales.get(row as usize);
        let [step, offset] = scale.copied().unwrap_or([f32::NAN; 2]);
        dot * (step * query.scale[0]) + (offset + query.scale[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::dot;

    const DIM: usize = 200;

    fn vector(turn: f32) -> Vec<f32> {
        (0..DIM)
            .map(|i| (i as f32 * turn).sin() / 9.0 + 0.05)
            .collect()
    }

    #[test]
    fn a_code_is_within_half_a_step_of_the_row_and_its_upper_half_within_eight() {
        let mean: Vec<f32> = (0..DIM).map(|i| (i as f32).cos() / 20.0).collect();
        let coder = Coder::new(&mean);
        let row = vector(1.0);
        let mut encoder = coder.encoder();
        let scale = encoder.encode(&row);
        let RowEncoder { upper, lower, .. } = encoder;
        assert_eq!([upper.len(), lower.len()], [width(DIM); 2]);
        let codes = Codes {
            mean: &mean,
            upper: &upper,
            lower: &lower,
            scales: &[scale],
        };
        let numbers = codes.query(0).unwrap().numbers;
        assert_eq!(numbers.len(), 2 * width(DIM));
        assert!(numbers[DIM..].iter().all(|&number| number == 0));
        let step = scale[0];
        for (i, (x, mean)) in row.iter().zip(&mean).enumerate() {
            let x = x - mean;
            let off = (x - f32::from(numbers[i]) * step).abs();
            assert!(off <= step * 0.5001, "{x} as {} times {step}", numbers[i]);
            let (block, place) = (i / (2 * PACKED), i % PACKED);
            let byte = upper[block * PACKED + place];
            let half = if (i / PACKED).is_multiple_of(2) {
                byte & 15
            } else {
                byte >> 4
            };
            let off = (x - 16.0 * (f32::from(half) - 8.0) * step).abs();
            assert!(off <= step * 8.5001, "{x} as {half} times 16 times {step}");
        }
        assert!(codes.query(1).is_none());
    }

    #[test]
    fn products_are_those_of_the_vectors() {
        let mean = vector(0.1);
        let coder = Coder::new(&mean);
        let (row, other) = (vector(1.0), vector(1.1));
        let mut encoder = Coder::new(&mean).encoder();
        let scales = [encoder.encode(&row)];
        let RowEncoder { upper, lower, .. } = encoder;
        let codes = Codes {
            mean: &mean,
            upper: &upper,
            lower: &lower,
            scales: &scales,
        };
        for vector in [&row, &other, &mean] {
            let (query, exact) = (coder.query(vector), dot(&row, vector));
            let near = codes.estimate(0, &query).unwrap();
            assert!(
                (near - exact).abs() < 0.02 * exact.abs().max(1.0),
                "{near}, {exact}"
            );
            let near = codes.refined(&[0], &query).unwrap()[0];
            assert!(
                (near - exact).abs() < 0.002 * exact.abs().max(1.0),
                "{near}, {exact}"
            );
        }
    }

    #[test]
    fn a_row_that_is_the_mean_has_a_code_as_well() {
        let mean = vector(0.1);
        let mut encoder = Coder::new(&mean).encoder();
        let scale = encoder.encode(&mean);
        assert_eq!(scale[0], 0.0);
        let halves = encoder.upper.iter().chain(&encoder.lower);
        assert!(halves.copied().all(|byte| byte == 0x88));
    }
}
