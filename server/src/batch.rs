//! Requests for a model, put together: while one batch is encoded, the next one gathers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use crate::config::Batching;
use crate::metrics::BatchMetrics;
use crate::problem::Problem;

/// Requests with many inputs that are worked on at a time.
const MANY: usize = 4;

/// How often somebody who has begun looks for room to go on.
const LOOK: Duration = Duration::from_millis(5);

struct Job<I, O> {
    inputs: Vec<I>,
    since: Instant,
    reply: oneshot::Sender<Result<Vec<O>, Problem>>,
}

/// A bounded queue, and the thread that works through it.
pub(crate) struct Batcher<I, O> {
    sender: SyncSender<Job<I, O>>,
    /// Places for those with many inputs.
    many: Semaphore,
    size: usize,
    metrics: BatchMetrics,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts the thread. `work` gives an output for each input, in order.
    pub(crate) fn start(
        name: &str,
        batching: Batching,
        metrics: BatchMetrics,
        work: impl Fn(Vec<I>) -> Result<Vec<O>, Problem> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(batching.queue.get());
        let told = metrics.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&receiver, batching, &told, &work))?;
        Ok(Self {
            sender,
            many: Semaphore::new(MANY),
            size: batching.size.get(),
            metrics,
        })
    }

    /// What the work makes of `input`. Somebody who no longer waits for it is passed over.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room, and what the work reports.
    pub(crate) async fn run(&self, input: I) -> Result<O, Problem> {
        let answer = self.place(vec![input]).map_err(|error| refused(&error))?;
        let outputs = answered(answer).await?;
        let output = outputs.into_iter().next();
        output.ok_or_else(|| Problem::internal("a batch without an output"))
    }

    /// The same for any number of inputs, in order. They take one place in the queue, and come back to its end for each
    /// batch, so that they do not hold up single ones. A few may do so at a time, and are not refused half-way.
    ///
    /// # Errors
    /// As for [`Batcher::run`], and [`Problem::busy`] if as many do so already.
    pub(crate) async fn run_all(&self, inputs: Vec<I>) -> Result<Vec<O>, Problem> {
        let _place = self.many.try_acquire().map_err(|_| Problem::busy())?;
        let mut outputs = Vec::with_capacity(inputs.len());
        let mut inputs = inputs.into_iter();
        loop {
            let mut some: Vec<I> = inputs.by_ref().take(self.size).collect();
            if some.is_empty() {
                return Ok(outputs);
            }
            let answer = loop {
                match self.place(some) {
                    Ok(answer) => break answer,
                    Err(TrySendError::Full(again)) if !outputs.is_empty() => {
                        some = again;
                        tokio::time::sleep(LOOK).await;
                    }
                    Err(error) => return Err(refused(&error)),
                }
            };
            outputs.extend(answered(answer).await?);
        }
    }

    /// Puts inputs into the queue, or gives them back.
    fn place(&self, inputs: Vec<I>) -> Result<Answer<O>, TrySendError<Vec<I>>> {
        let (reply, answer) = oneshot::channel();
        let since = Instant::now();
        // Before it is sent, for it may be taken at once.
        self.metrics.queue.entered();
        let job = Job {
            inputs,
            since,
            reply,
        };
        self.sender.try_send(job).map_err(|error| {
            self.metrics.queue.refused();
            match error {
                TrySendError::Full(job) => TrySendError::Full(job.inputs),
                TrySendError::Disconnected(job) => TrySendError::Disconnected(job.inputs),
            }
        })?;
        Ok(answer)
    }
}

fn refused<I>(error: &TrySendError<I>) -> Problem {
    match error {
        TrySendError::Full(_) => Problem::busy(),
        TrySendError::Disconnected(_) => Problem::internal("a queue has ended"),
    }
}

type Answer<O> = oneshot::Receiver<Result<Vec<O>, Problem>>;

async fn answered<O>(answer: Answer<O>) -> Result<Vec<O>, Problem> {
    answer
        .await
        .map_err(|_| Problem::internal("a batch was dropped"))?
}

fn run<I, O>(
    receiver: &Receiver<Job<I, O>>,
    batching: Batching,
    metrics: &BatchMetrics,
    work: &impl Fn(Vec<I>) -> Result<Vec<O>, Problem>,
) {
    // What was taken from the queue and would have been too much for the batch before.
    let mut next = None;
    while let Some(first) = next.take().or_else(|| receiver.recv().ok()) {
        let deadline = Instant::now() + batching.wait;
        let mut count = first.inputs.len();
        let mut jobs = vec![first];
        while count < batching.size.get() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(job) = receiver.recv_timeout(left) else {
                break;
            };
            count += job.inputs.len();
            if count > batching.size.get() {
                next = Some(job);
                break;
            }
            jobs.push(job);
        }
        for job in &jobs {
            metrics.queue.left(job.since.elapsed());
        }
        jobs.retain(|job| !job.reply.is_closed());
        if !jobs.is_empty() {
            answer(jobs, metrics, work);
        }
    }
}

fn answer<I, O>(
    jobs: Vec<Job<I, O>>,
    metrics: &BatchMetrics,
    work: &impl Fn(Vec<I>) -> Result<Vec<O>, Problem>,
) {
    let mut inputs = vec![];
    let mut replies = vec![];
    for job in jobs {
        replies.push((job.reply, job.inputs.len()));
        inputs.extend(job.inputs);
    }
    let (count, start) = (inputs.len(), Instant::now());
    // A panic is a bug, which the log has been told where it was, but ends this batch and not the server.
    let done = catch_unwind(AssertUnwindSafe(|| work(inputs)))
        .unwrap_or_else(|_| Err(Problem::internal("a model panicked")));
    metrics.worked(count, start.elapsed());
    match done {
        Ok(outputs) => {
            let mut outputs = outputs.into_iter();
            for (reply, count) in replies {
                let _ = reply.send(Ok(outputs.by_ref().take(count).collect()));
            }
        }
        Err(problem) => {
            for (reply, _) in replies {
                let _ = reply.send(Err(problem.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::{Arc, Mutex, mpsc};

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
        let metrics = Metrics::new().batches("test", "encode");
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

    #[test]
    fn many_at_once_take_one_place_and_let_others_in_between() {
        System::new().block_on(async {
            let (batcher, go, seen) = slow(3, 2);
            let all = batcher.clone();
            let all = spawn(async move { all.run_all((1..6).collect()).await });
            until(&seen, 1).await;
            let others = [ask(&batcher, 7), ask(&batcher, 8)];
            tokio::time::sleep(Duration::from_millis(20)).await;
            (0..3).for_each(|_| go.send(()).unwrap());
            assert_eq!(all.await.unwrap().unwrap(), [2, 4, 6, 8, 10]);
            for (other, input) in others.into_iter().zip([7, 8]) {
                assert_eq!(other.await.unwrap().unwrap(), 2 * input);
            }
            assert_eq!(
                *seen.lock().unwrap(),
                [vec![1, 2, 3], vec![7, 8], vec![4, 5]]
            );
            assert_eq!(batcher.run_all(vec![]).await.unwrap(), [] as [u32; 0]);
        });
    }
}
