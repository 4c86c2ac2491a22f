//! Which of the nearest nodes become neighbours.

use crate::error::Result;
use crate::vector::Candidate;
use crate::vector::flat::Rows;

/// At most `limit` of `candidates`, which come best first, each nearer to the point than to any
/// chosen before it: links in all directions rather than many in one (Malkov and Yashunin 2016,
/// algorithm 4, without the two extensions).
///
/// Equal distances do not count as crowding, so that equal rows may be linked to each other.
pub(super) fn select(
    rows: Rows<'_>,
    candidates: &[Candidate],
    limit: usize,
) -> Result<Vec<Candidate>> {
    let mut chosen: Vec<Candidate> = Vec::with_capacity(limit.min(candidates.len()));
    'candidates: for &candidate in candidates {
        if chosen.len() == limit {
            break;
        }
        let row = rows.code(candidate.row)?;
        for other in &chosen {
            if rows.estimate(other.row, row)?.score > candidate.score {
                continue 'candidates;
            }
        }
        chosen.push(candidate);
    }
    Ok(chosen)
}
