//! Work for the processor, off the threads that answer: as much at once as there are cores, and a bounded number
//! of requests that wait.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use actix_web::web;
use tokio::sync::Semaphore;

use crate::metrics::QueueMetrics;
use crate::problem::Problem;

/// Lets a few through at a time.
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    cores: usize,
    waiting: AtomicUsize,
    room: usize,
    metrics: QueueMetrics,
}

impl Gate {
    /// Room for so many that wait.
    pub(crate) fn new(room: NonZeroUsize, metrics: QueueMetrics) -> Self {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            running: Arc::new(Semaphore::new(cores.get())),
            cores: cores.get(),
            waiting: AtomicUsize::new(0),
            room: room.get(),
            metrics,
        }
    }

    /// Runs `work` when it is its turn. Work that has not begun when its client goes is never done.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room, and what the work reports.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if self.waiting.load(Ordering::Relaxed) >= self.room {
            return Err(Problem::busy());
        }
        self.pass(Place::take(self), work).await
    }

    /// The same for a request that much has been done for: it is not refused.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.pass(Place::take(self), work).await
    }

    /// What is left of a time that somebody may use up, when others wait for each core: an equal share.
    pub(crate) fn share(&self, time: Duration) -> Duration {
        let turns = self.waiting.load(Ordering::Relaxed) / self.cores + 1;
        time.div_f64(turns as f64)
    }

    async fn pass<T: Send + 'static>(
        &self,
        place: Place<'_>,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let running = self.running.clone().acquire_owned().await;
        let running = running.map_err(Problem::internal)?;
        drop(place);
        web::block(move || {
            // Goes on to the end, even if nobody waits for it any more.
            let _running = running;
            work()
        })
        .await
        .map_err(Problem::internal)?
    }
}

/// A place among those that wait.
struct Place<'a> {
    gate: &'a Gate,
    since: Instant,
}

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        gate.metrics.entered();
        let since = Instant::now();
        Self { gate, since }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
        self.gate.metrics.left(self.since.elapsed());
    }
}
