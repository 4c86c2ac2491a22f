//! Worker threads that each take an equal part of a batch.

use rayon::ThreadPool;

use crate::error::{Error, Result};

/// Mean parts of the losses, and with its share of the batch what each worker made.
pub(super) type Shared<T> = (Vec<f64>, Vec<(f64, T)>);

/// The workers of a run.
pub(super) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// So many of them, one thread each: matrix products take the pool they are called in, and none waits for
    /// another.
    pub(super) fn new(count: usize) -> Result<Self> {
        Self::of(count, 1)
    }

    /// One, whose threads read the images that were not read ahead for a device that does all else.
    pub(super) fn for_device(threads: usize) -> Result<Self> {
        Self::of(1, threads)
    }

    fn of(count: usize, threads: usize) -> Result<Self> {
        let pools = (0..count)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build())
            .collect::<std::result::Result<_, _>>()
            .map_err(|source| Error::Threads { source })?;
        Ok(Self { pools })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pools.len()
    }

    /// Runs `work` on an equal part of the batch in each worker, by number; mean parts of the losses
    /// and, with its share of the batch, what each worker made.
    pub(super) fn share<T: Send>(
        &self,
        batch: &[usize],
        work: impl Fn(&[usize], usize) -> Result<(Vec<f64>, T)> + Sync,
    ) -> Result<Shared<T>> {
        let part_length = batch.len().div_ceil(self.pools.len());
        let parts: Vec<&[usize]> = batch.chunks(part_length).collect();
        let work = &work;
        let results: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = parts
                .iter()
                .zip(&self.pools)
                .enumerate()
                .map(|(worker, (part, pool))| {
                    scope.spawn(move || pool.install(|| work(part, worker)))
                })
                .collect();
            handles.into_iter().map(|handle| handle.join()).collect()
        });
        let mut losses = vec![];
        let mut made = vec![];
        for (part, result) in parts.iter().zip(results) {
            let (part_losses, value) =
                result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let weight = part.len() as f64 / batch.len() as f64;
            add(&mut losses, &part_losses, weight);
            made.push((weight, value));
        }
        Ok((losses, made))
    }
}

/// Adds `weight` times `parts` to `sums`, which may be empty before.
pub(super) fn add(sums: &mut Vec<f64>, parts: &[f64], weight: f64) {
    sums.resize(parts.len(), 0.0);
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += part * weight;
    }
}
