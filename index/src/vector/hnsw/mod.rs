//! A navigable small world graph in layers (HNSW; Malkov and Yashunin, 2016): [`build`] makes it
//! in memory, as [`links`]; [`layout`] is the file it is frozen into, [`search`] walks either, with a
//! [`list`] of the best.

pub(crate) mod build;
mod connect;
pub(crate) mod layout;
pub(crate) mod links;
mod list;
mod order;
pub(crate) mod search;
mod select;

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::Path;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use roaring::RoaringBitmap;

    use super::build::{Parameters, build};
    use super::layout::Graph;
    use super::links::Links;
    use super::search::{Pool, Width};
    use crate::vector::rows::Rows;

    const SEED: u64 = 7;
    const DIM: usize = 4;

    /// So many that walks go by codes.
    const CODED_DIM: usize = 100;

    fn links(values: &[f32], dim: usize, threads: usize) -> Links {
        let parameters = Parameters {
            m: 4,
            ef_construction: 20,
            threads,
        };
        let rows = Rows::of(values, dim);
        build(rows, parameters, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// Points of a sphere in an order that has nothing to do with their place.
    fn sphere(count: usize) -> Vec<f32> {
        let point = |i: usize| {
            let turn = i as f32 * 2.4;
            let height = (i * 977 % count) as f32 / count as f32 * 2.0 - 1.0;
            let width = (1.0 - height * height).sqrt();
            [turn.cos() * width, turn.sin() * width, height, 0.0]
        };
        (0..count).flat_map(point).collect()
    }

    /// Builds, freezes and opens; every step of progress goes on.
    fn graph(values: &[f32], dim: usize) -> Graph<Vec<u8>> {
        let mut bytes = Vec::new();
        links(values, dim, 1).write_to(&mut bytes).unwrap();
        Graph::new(bytes, Path::new("graph")).unwrap()
    }

    fn found(values: &[f32], query: &[f32], ef: usize) -> Vec<u32> {
        let graph = graph(values, DIM);
        let pool = Pool::new(values.len() / DIM);
        let hits = graph
            .search(
                Rows::of(values, DIM),
                query,
                Width { k: ef, ef },
                None,
                &pool,
            )
            .unwrap();
        hits.iter().map(|candidate| candidate.row).collect()
    }

    #[test]
    fn none_one_and_two_rows() {
        let query = [1.0, 0.0, 0.0, 0.0];
        assert!(found(&[], &query, 5).is_empty());
        assert_eq!(found(&[0.0, 1.0, 0.0, 0.0], &query, 5), [0]);
        assert_eq!(
            found(&[0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], &query, 5),
            [1, 0]
        );
    }

    #[test]
    fn every_one_of_many_equal_rows_is_found() {
        let values: Vec<f32> = (0..500).flat_map(|_| [0.0, 1.0, 0.0, 0.0]).collect();
        let mut rows = found(&values, &[0.0, 1.0, 0.0, 0.0], 500);
        rows.sort_unstable();
        assert_eq!(rows, (0..500).collect::<Vec<u32>>());
    }

    #[test]
    fn every_row_is_reachable_among_equal_ones_and_others() {
        // Runs of 60 equal rows, as near-duplicate prompts give: more than a node has links.
        let turn = |i: usize| (i / 60) as f32;
        let values: Vec<f32> = (0..1200)
            .flat_map(|i| [turn(i).cos(), turn(i).sin(), 0.0, 0.0])
            .collect();
        let graph = graph(&values, DIM);
        let pool = Pool::new(1200);
        let rows = Rows::of(&values, DIM);
        let all = graph
            .search(
                rows,
                &[1.0, 0.0, 0.0, 0.0],
                Width { k: 1200, ef: 1200 },
                None,
                &pool,
            )
            .unwrap();
        assert_eq!(all.len(), 1200);
    }

    #[test]
    fn a_walk_past_rows_that_are_not_accepted_finds_those_that_are() {
        let values = sphere(3000);
        let graph = graph(&values, DIM);
        let (rows, pool) = (Rows::of(&values, DIM), Pool::new(3000));
        for share in [2, 10, 100] {
            let accept: RoaringBitmap = (0..3000).filter(|row| row % share == 0).collect();
            let mut found = 0;
            for query in 0..100 {
                let query = &rows.get(query * 7 + 1).unwrap();
                let walked = graph
                    .search(rows, query, Width { k: 10, ef: 32 }, Some(&accept), &pool)
                    .unwrap();
                assert!(
                    walked
                        .iter()
                        .all(|candidate| accept.contains(candidate.row))
                );
                let scored = accept.iter().map(|row| rows.score(row, query).unwrap());
                let mut exact: Vec<_> = scored.collect();
                exact.sort_by(|a, b| b.cmp(a));
                found += exact
                    .iter()
                    .take(10)
                    .filter(|hit| walked.contains(hit))
                    .count();
            }
            assert!(found >= 950, "{found} of 1000 among one in {share}");
        }
    }

    /// Directions around some, each number of them nearly normal.
    fn directions(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let centres: Vec<[f32; CODED_DIM]> = (0..40).map(|_| rng.random()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let row = |i: usize| {
            let off: [f32; CODED_DIM] = rng.random();
            let row: Vec<f32> = std::iter::zip(off, centres[i % 40])
                .map(|(off, centre)| off + centre - 1.0)
                .collect();
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.into_iter().map(move |x| x / length)
        };
        (0..count).flat_map(row).collect()
    }

    #[test]
    fn a_walk_by_codes_finds_what_is_nearest_by_the_rows() {
        let (values, queries) = (directions(4000, 1), directions(100, 2));
        let (graph, rows) = (graph(&values, CODED_DIM), Rows::of(&values, CODED_DIM));
        let pool = Pool::new(rows.len());
        let mut right = 0;
        for query in queries.chunks(CODED_DIM) {
            let found = graph
                .search(rows, query, Width { k: 10, ef: 100 }, None, &pool)
                .unwrap();
            let mut exact: Vec<_> = (0..4000)
                .map(|row| rows.score(row, query).unwrap())
                .collect();
            exact.sort_by(|a, b| b.cmp(a));
            right += exact[..10].iter().filter(|hit| found.contains(hit)).count();
        }
        assert!(right >= 900, "{right} of 1000");
    }

    #[test]
    fn the_graph_does_not_depend_on_the_number_of_threads() {
        // Enough for batches of some two hundred, with equal rows among them.
        let mut values = sphere(6000);
        values.extend_from_within(..4000);
        for (values, dim) in [(values, DIM), (directions(4000, 3), CODED_DIM)] {
            let alone = links(&values, dim, 1);
            for threads in [2, 3, 8] {
                assert!(links(&values, dim, threads) == alone, "{threads} threads");
            }
        }
    }

    #[test]
    fn building_stops_when_told() {
        let values: Vec<f32> = (0..5000)
            .flat_map(|i| [(i as f32).cos(), (i as f32).sin(), 0.0, 0.0])
            .collect();
        let parameters = Parameters {
            m: 4,
            ef_construction: 20,
            threads: 2,
        };
        let mut calls = 0;
        let stopped = build(Rows::of(&values, DIM), parameters, &mut |_| {
            calls += 1;
            if calls == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(stopped, Err(crate::Error::Cancelled)));
        assert_eq!(calls, 2);
    }
}
