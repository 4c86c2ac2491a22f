//! Requests for a model, put together: while one batch is encoded, the next one gathers.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;
use unprompt_index::catch_panic;

use crate::config::Batching;
use crate::metrics::QueueMetrics;
use crate::problem::Problem;

struct Job<I, O> {
    input: I,
    reply: oneshot::Sender<Result<O, Problem>>,
}

/// A bounded queue, and the thread that works through it.
pub(crate) struct Batcher<I, O> {
    sender: SyncSender<Job<I, O>>,
    metrics: QueueMetrics,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts the thread. `work` gives an output for each input, in order.
    pub(crate) fn start(
        name: &str,
        batching: Batching,
        metrics: QueueMetrics,
        work: impl Fn(Vec<I>) -> Result<Vec<O>, Problem> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(batching.queue.get());
        let told = metrics.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&receiver, batching, &told, &work))?;
        Ok(Self { sender, metrics })
    }

    /// What the work makes of `input`. Somebody who no longer waits for it is passed over.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room, and what the work reports.
    pub(crate) async fn run(&self, input: I) -> Result<O, Problem> {
        let (reply, answer) = oneshot::channel();
        // Before it is sent, for it may be taken at once.
        self.metrics.entered();
        self.sender
            .try_send(Job { input, reply })
            .map_err(|error| {
                self.metrics.left();
                match error {
                    TrySendError::Full(_) => Problem::busy(),
                    TrySendError::Disconnected(_) => Problem::internal(&"a queue has ended"),
                }
            })?;
        answer
            .await
            .map_err(|_| Problem::internal(&"a batch was dropped"))?
    }
}

fn run<I, O>(
    receiver: &Receiver<Job<I, O>>,
    batching: Batching,
    metrics: &QueueMetrics,
    work: &impl Fn(Vec<I>) -> Result<Vec<O>, Problem>,
) {
    while let Ok(first) = receiver.recv() {
        let deadline = Instant::now() + batching.wait;
        let mut jobs = vec![first];
        while jobs.len() < batching.size.get() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(job) = receiver.recv_timeout(left) else {
                break;
            };
            jobs.push(job);
        }
        jobs.iter().for_each(|_| metrics.left());
        jobs.retain(|job| !job.reply.is_closed());
        if jobs.is_empty() {
            continue;
        }
        metrics.batch(jobs.len());
        let (inputs, replies): (Vec<I>, Vec<_>) =
            jobs.into_iter().map(|job| (job.input, job.reply)).unzip();
        // A panic is a bug, but ends this batch and not the server.
        let done = catch_panic(|| work(inputs))
            .unwrap_or_else(|| Err(Problem::internal(&"a model panicked")));
        match done {
            Ok(outputs) => {
                for (reply, output) in replies.into_iter().zip(outputs) {
                    let _ = reply.send(Ok(output));
                }
            }
            Err(problem) => {
                for reply in replies {
                    let _ = reply.send(Err(problem.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use actix_web::rt::{System, spawn};

    use super::*;
    use crate::metrics::Metrics;

    /// A queue whose work waits for a word each time, and what it was given.
    #[expect(clippy::type_complexity)]
    fn slow(
        size: usize,
        queue: usize,
    ) -> (
        Arc<Batcher<u32, u32>>,
        mpsc::Sender<()>,
        Arc<Mutex<Vec<Vec<u32>>>>,
    ) {
        let (go, wait) = mpsc::channel();
        let seen = Arc::new(Mutex::new(vec![]));
        let batching = Batching {
            size: NonZeroUsize::new(size).unwrap(),
            queue: NonZeroUsize::new(queue).unwrap(),
            wait: Duration::ZERO,
        };
        let batches = seen.clone();
        let metrics = Metrics::new().queue("test");
        let batcher = Batcher::start("test", batching, metrics, move |inputs| {
            batches.lock().unwrap().push(inputs.clone());
            wait.recv().unwrap();
            if inputs.contains(&13) {
                panic!("thirteen");
            }
            Ok(inputs.into_iter().map(|input| input * 2).collect())
        });
        (Arc::new(batcher.unwrap()), go, seen)
    }

    async fn until(seen: &Mutex<Vec<Vec<u32>>>, batches: usize) {
        while seen.lock().unwrap().len() < batches {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn ask(
        batcher: &Arc<Batcher<u32, u32>>,
        input: u32,
    ) -> actix_web::rt::task::JoinHandle<Result<u32, Problem>> {
        let batcher = batcher.clone();
        spawn(async move { batcher.run(input).await })
    }

    #[test]
    fn what_comes_meanwhile_is_worked_on_together() {
        System::new().block_on(async {
            let (batcher, go, seen) = slow(3, 8);
            let first = ask(&batcher, 1);
            until(&seen, 1).await;
            let others: Vec<_> = (2..6).map(|input| ask(&batcher, input)).collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            (0..3).for_each(|_| go.send(()).unwrap());
            assert_eq!(first.await.unwrap().unwrap(), 2);
            for (other, input) in others.into_iter().zip(2..) {
                assert_eq!(other.await.unwrap().unwrap(), 2 * input);
            }
            assert_eq!(*seen.lock().unwrap(), [vec![1], vec![2, 3, 4], vec![5]]);
        });
    }

    #[test]
    fn no_room_is_refused_and_who_has_gone_is_passed_over() {
        System::new().block_on(async {
            let (batcher, go, seen) = slow(8, 2);
            let first = ask(&batcher, 1);
            until(&seen, 1).await;
            let (gone, stays) = (ask(&batcher, 2), ask(&batcher, 3));
            tokio::time::sleep(Duration::from_millis(20)).await;
            let refused = batcher.run(4).await.unwrap_err();
            assert_eq!(refused.to_string(), Problem::busy().to_string());
            gone.abort();
            let _ = gone.await;
            (0..2).for_each(|_| go.send(()).unwrap());
            assert_eq!(first.await.unwrap().unwrap(), 2);
            assert_eq!(stays.await.unwrap().unwrap(), 6);
            assert_eq!(*seen.lock().unwrap(), [vec![1], vec![3]]);
        });
    }

    #[test]
    fn a_panic_ends_a_batch_and_not_the_queue() {
        System::new().block_on(async {
            let (batcher, go, _) = slow(1, 8);
            (0..2).for_each(|_| go.send(()).unwrap());
            assert!(batcher.run(13).await.is_err());
            assert_eq!(batcher.run(14).await.unwrap(), 28);
        });
    }
}
