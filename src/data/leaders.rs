//! Near-duplicates found by their embeddings.

use std::ops::ControlFlow;
use std::path::Path;

use unprompt_index::{BuildOptions, Encoder, Index, VectorOptions, Writer};

use crate::error::{Error, Result};
use crate::text::Embeddings;

/// The cosine from which on two prompts are near-duplicates.
pub const NEAR_DUPLICATE: f32 = 0.9;

/// Up to so many embeddings each is compared with all.
const EXACT: usize = 10_000;

/// Neighbours looked at first; four times as many as long as all of them are near-duplicates.
const NEIGHBOURS: usize = 32;

/// Candidates of a graph walk at least.
const EF: usize = 128;

/// Leader clustering: the leader of each embedding, by number. In their order, each that has no leader yet leads itself
/// and all later ones without a leader that are its near-duplicates. So a cluster is no wider than that, and not a chain
/// of neighbours; two embeddings of different clusters may still be near-duplicates of each other.
///
/// Beyond some thousand embeddings neighbours are found by a graph, which misses one now and then. `observe` is told
/// how many have a leader, of how many.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks; what the graph reports, which is written to a temporary folder.
pub fn leaders(
    embeddings: &Embeddings,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<usize>> {
    let count = embeddings.len();
    if count == 0 {
        return Ok(vec![]);
    }
    let folder = tempfile::tempdir().map_err(Error::io("write", &std::env::temp_dir()))?;
    let index = index(embeddings, folder.path(), &mut || observe(0, count))?;
    let mut leaders = vec![None; count];
    for leader in 0..count {
        if leader % 1024 == 0 && observe(leader, count).is_break() {
            return Err(Error::Cancelled);
        }
        if leaders[leader].is_some() {
            continue;
        }
        leaders[leader] = Some(leader);
        for near in near_duplicates(&index, embeddings.row(leader), count)? {
            if let Some(it @ None) = leaders.get_mut(near) {
                *it = Some(leader);
            }
        }
    }
    Ok(leaders.into_iter().flatten().collect())
}

/// An index of the embeddings, whose prompts are their numbers.
fn index(
    embeddings: &Embeddings,
    folder: &Path,
    observe: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Index> {
    let encoder = Encoder {
        name: "embeddings".to_owned(),
        digest: String::new(),
        dim: embeddings.dim(),
    };
    let path = folder.join("index");
    let mut writer = Writer::create(&path, encoder, BuildOptions::default())?;
    for (number, row) in embeddings.rows().enumerate() {
        writer.push(&number.to_string(), row, vec![])?;
    }
    writer.commit(&mut |_| observe())?;
    Ok(Index::open(&path)?)
}

fn near_duplicates(index: &Index, embedding: &[f32], count: usize) -> Result<Vec<usize>> {
    let mut k = NEIGHBOURS;
    let found = loop {
        let options = VectorOptions {
            k,
            ef: Some(k.max(EF)),
            exact: count <= EXACT,
        };
        let found = index.vector_search(embedding, &options, None)?;
        let are_all = found.last().is_some_and(|it| it.score >= NEAR_DUPLICATE);
        if !are_all || k >= count {
            break found;
        }
        k *= 4;
    };
    let near = found.into_iter().filter(|it| it.score >= NEAR_DUPLICATE);
    let number = |prompt: String| prompt.parse().unwrap_or(usize::MAX);
    near.map(|it| Ok(number(index.prompt(it.entry)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(angles: &[f32]) -> Vec<usize> {
        let rows = angles.iter().flat_map(|it| {
            let radians = it.to_radians();
            [radians.cos(), radians.sin()]
        });
        let embeddings = Embeddings::new(2, rows.collect());
        leaders(&embeddings, &mut |_, _| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn a_leader_takes_what_is_near_and_no_chain() {
        // A cosine of 0.9 is an angle of 25.8 degrees.
        assert_eq!(clusters(&[0.0, 20.0, 40.0, 26.0]), [0, 0, 2, 2]);
        assert_eq!(clusters(&[20.0, 0.0, 40.0]), [0, 0, 0]);
        assert_eq!(clusters(&[0.0, 90.0, 180.0, 90.5]), [0, 1, 2, 1]);
        assert_eq!(clusters(&[]), [] as [usize; 0]);
    }

    #[test]
    fn a_large_cluster_is_found_whole() {
        let angles: Vec<f32> = (0..500).map(|it| it as f32 * 0.1).collect();
        let leaders = clusters(&angles);
        assert!(leaders[..259].iter().all(|it| *it == 0), "{leaders:?}");
        assert!(leaders[259..].iter().all(|it| *it == 259), "{leaders:?}");
    }
}
