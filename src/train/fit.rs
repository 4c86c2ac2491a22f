//! The training loop: data-parallel on the CPU, resumable at any checkpoint.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64;

use super::average::Average;
use super::checkpoint::{self, RunState};
use super::curriculum::Curriculum;
use super::gradients;
use super::log::{Log, LogRow};
use super::optim::{AdamW, AdamWOptions};
use super::schedule::CosineSchedule;
use super::task::{Draw, Loss, Task};
use super::workers::{self, Workers};
use crate::error::{Error, Result};
use crate::matmul::Precision;

/// Settings of a run. Defaults are for the pocket ViT.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    /// Passes over the training set.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// The learning rate after warm-up.
    pub learning_rate: f64,
    /// The learning rate at the end.
    pub min_learning_rate: f64,
    /// Steps of warm-up.
    pub warmup_steps: usize,
    /// Gradients longer than this are shortened to it.
    pub max_gradient_norm: f64,
    /// Decoupled decay of matrices.
    pub weight_decay: f64,
    /// Decay of the running mean of the weights, if one is kept; it is then what is validated and
    /// kept.
    pub average: Option<f64>,
    /// Seed of the order of the images.
    pub seed: u64,
    /// Worker threads on the CPU; each takes an equal part of every batch.
    pub threads: usize,
    /// Pieces that each worker takes its part of a batch in, one after the other: a step is the same but for
    /// rounding, unless its examples are told from each other, and needs memory for a piece alone.
    pub accumulate: usize,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: usize,
    /// Epochs without a better validation score after which the run ends; `None` to never end early.
    pub patience: Option<usize>,
    /// How precise the products of a step are on the CPU; validation is in full precision.
    pub precision: Precision,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            epochs: 7,
            batch_size: 64,
            learning_rate: 1e-3,
            min_learning_rate: 1e-6,
            warmup_steps: 300,
            max_gradient_norm: 1.0,
            weight_decay: AdamWOptions::default().weight_decay,
            average: None,
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            accumulate: 1,
            checkpoint_every: 250,
            patience: None,
            precision: Precision::Full,
        }
    }
}

/// Steps from one line of the log to the next.
const LOG_EVERY: usize = 25;

/// A network in training.
pub struct Fit<'a> {
    task: &'a dyn Task,
    device: &'a Device,
    options: FitOptions,
    optimiser: AdamW,
    average: Option<Average>,
    names: Vec<String>,
    workers: Workers,
    identity: String,
    curriculum: Option<Curriculum>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOutcome {
    /// Best score on the validation examples.
    pub best_score: f64,
    /// Steps done.
    pub steps: usize,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct FitProgress<'a> {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub total_steps: usize,
    /// The line of the log that this step has completed.
    pub row: Option<&'a LogRow>,
}

/// Losses since the last line of the log.
struct Meter {
    sums: Vec<f64>,
    steps: usize,
    since: Instant,
}

impl Meter {
    fn new() -> Self {
        Self {
            sums: vec![],
            steps: 0,
            since: Instant::now(),
        }
    }

    fn add(&mut self, parts: &[f64]) {
        workers::add(&mut self.sums, parts, 1.0);
        self.steps += 1;
    }

    /// Mean parts of the losses, and examples a second; begins anew.
    fn read(&mut self, batch_size: usize) -> (Vec<f64>, f64) {
        let Self { sums, steps, since } = std::mem::replace(self, Self::new());
        let means = sums.iter().map(|sum| sum / steps.max(1) as f64);
        let rate = (steps * batch_size) as f64 / since.elapsed().as_secs_f64();
        (means.collect(), rate)
    }
}

impl<'a> Fit<'a> {
    /// Prepares the training of `vars` for `task`. `identity` says what is trained, so that a
    /// checkpoint of something else is not resumed.
    ///
    /// # Errors
    /// [`Error::Setting`] for no epochs, empty batches or nothing to validate with, [`Error::Threads`] if the workers do not
    /// start.
    pub fn new(
        task: &'a dyn Task,
        vars: Vec<(String, Var)>,
        device: &'a Device,
        options: FitOptions,
        identity: String,
    ) -> Result<Self> {
        for (name, value) in [
            ("batch size", options.batch_size),
            ("epochs", options.epochs),
            ("pieces of a batch", options.accumulate),
            ("validation examples", task.validation_len()),
        ] {
            if value == 0 {
                return Err(Error::Setting {
                    name,
                    value,
                    least: 1,
                });
            }
        }
        let workers = if device.is_cpu() {
            Workers::new(options.threads.clamp(1, options.batch_size))?
        } else {
            Workers::for_device(options.threads.max(1))?
        };
        let names = vars.iter().map(|(name, _)| name.clone()).collect();
        let average = options
            .average
            .map(|decay| Average::new(&vars, decay))
            .transpose()?;
        let settings = AdamWOptions {
            weight_decay: options.weight_decay,
            ..AdamWOptions::default()
        };
        Ok(Self {
            task,
            device,
            optimiser: AdamW::new(vars, settings)?,
            average,
            options,
            names,
            workers,
            identity,
            curriculum: None,
        })
    }

    /// The same, from easy to hard.
    pub fn with_curriculum(self, curriculum: Curriculum) -> Self {
        Self {
            curriculum: Some(curriculum),
            ..self
        }
    }

    /// Trains to the end or until `observe` breaks; checkpoints and log go to `folder`, and `keep`
    /// is called, with the number of the epoch, whenever validation has improved.
    ///
    /// With `resume`, a run goes on from `folder`'s checkpoint, step for step as if it had never
    /// stopped.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after a break (the state is saved), [`Error::NoGradient`] if a
    /// variable is not reached by the loss, [`Error::Diverged`], [`Error::OtherRun`] on resuming
    /// another run, [`Error::CheckpointExists`] on starting where a run has been.
    pub fn run(
        &mut self,
        folder: &Path,
        resume: bool,
        observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
        keep: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<FitOutcome> {
        let checkpoint_path = folder.join(checkpoint::FILE);
        let epochs = self.epochs()?;
        let total_steps = epochs.last().map_or(0, |epoch| epoch.end);
        let schedule = CosineSchedule {
            peak: self.options.learning_rate,
            floor: self.options.min_learning_rate,
            warmup_steps: self.options.warmup_steps.min(total_steps / 2),
            total_steps,
        };
        let mut state = RunState {
            step: 0,
            best_score: None,
            best_epoch: 0,
            fingerprint: self.fingerprint(),
        };
        if resume {
            state = self.load(&checkpoint_path, state)?;
        } else if checkpoint_path.exists() {
            return Err(Error::CheckpointExists {
                path: checkpoint_path,
            });
        }
        let mut log = Log::open(folder, self.task, state.step)?;

        let mut meter = Meter::new();
        let mut epoch = epochs.partition_point(|epoch| epoch.end <= state.step);
        let mut order = self.order(epoch);
        while state.step < total_steps && !self.is_over(&state, epoch) {
            let place = state.step - epochs[epoch].start;
            let batch = &order[place * self.options.batch_size..][..self.options.batch_size];
            let learning_rate = schedule.rate(state.step);
            let following = order[place * self.options.batch_size..]
                .chunks_exact(self.options.batch_size)
                .nth(1);
            let parts = self
                .step_and_prepare(batch, following, epoch, state.step, learning_rate)?
                .ok_or(Error::Diverged { step: state.step })?;
            meter.add(&parts);
            state.step += 1;

            let epoch_ends = state.step == epochs[epoch].end;
            let mut row = None;
            if state.step.is_multiple_of(LOG_EVERY) || epoch_ends {
                let (parts, images_per_s) = meter.read(self.options.batch_size);
                let validation = epoch_ends.then(|| self.validation_score()).transpose()?;
                if validation.is_some_and(|score| !score.is_finite()) {
                    return Err(Error::Diverged { step: state.step });
                }
                row = Some(log.append(LogRow {
                    step: state.step,
                    epoch,
                    learning_rate,
                    parts,
                    validation,
                    images_per_s,
                })?);
                if let Some(score) = validation
                    && state.best_score.is_none_or(|best| score > best)
                {
                    state.best_score = Some(score);
                    state.best_epoch = epoch;
                    self.averaged(|| keep(epoch))?;
                }
            }
            let stop = observe(FitProgress {
                step: state.step,
                total_steps,
                row: row.as_ref(),
            })
            .is_break();
            if epoch_ends || stop || state.step.is_multiple_of(self.options.checkpoint_every) {
                self.save(&checkpoint_path, &state)?;
                log.plot()?;
            }
            if stop {
                return Err(Error::Cancelled);
            }
            if epoch_ends {
                epoch += 1;
                order = self.order(epoch);
            }
        }
        Ok(FitOutcome {
            best_score: state.best_score.unwrap_or(f64::NAN),
            steps: state.step,
        })
    }

    /// The steps of each epoch.
    fn epochs(&self) -> Result<Vec<Range<usize>>> {
        let batch_size = self.options.batch_size;
        let mut end = 0;
        (0..self.options.epochs)
            .map(|epoch| {
                let examples = self.examples(epoch).len();
                let steps = examples / batch_size;
                if steps == 0 {
                    return Err(Error::TooFewImages {
                        found: examples,
                        needed: batch_size,
                    });
                }
                let start = end;
                end += steps;
                Ok(start..end)
            })
            .collect()
    }

    /// The examples that an epoch sees, before they are shuffled.
    fn examples(&self, epoch: usize) -> Vec<usize> {
        match &self.curriculum {
            Some(curriculum) => curriculum.examples(epoch).to_vec(),
            None => (0..self.task.len()).collect(),
        }
    }

    /// Whether the score has not risen for too long; while a curriculum adds examples, it still may.
    fn is_over(&self, state: &RunState, epoch: usize) -> bool {
        // The last stage is the first epoch that sees all examples.
        let stages = self.curriculum.as_ref().map_or(1, |it| it.stages);
        let since = epoch.saturating_sub(state.best_epoch.max(stages.saturating_sub(1)) + 1);
        self.options
            .patience
            .is_some_and(|patience| since >= patience.max(1))
    }

    fn save(&self, path: &Path, state: &RunState) -> Result<()> {
        let mut tensors = self.optimiser.state();
        tensors.extend(self.average.iter().flat_map(Average::state));
        checkpoint::save(path, &tensors, state)
    }

    fn load(&mut self, path: &Path, start: RunState) -> Result<RunState> {
        let Some((state, tensors)) = checkpoint::load(path, &start, self.device)? else {
            return Ok(start);
        };
        let damaged = |source| Error::Weights {
            path: path.to_owned(),
            source,
        };
        self.optimiser
            .restore(&tensors, state.step)
            .map_err(damaged)?;
        if let Some(average) = &mut self.average {
            average.restore(&tensors).map_err(damaged)?;
        }
        Ok(state)
    }

    /// Runs `work` with the weights that are to be judged and kept.
    fn averaged<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.average {
            Some(average) => average.instead(work),
            None => work(),
        }
    }

    /// The score over all validation examples.
    fn validation_score(&self) -> Result<f64> {
        let all: Vec<usize> = (0..self.task.validation_len()).collect();
        self.averaged(|| {
            let mut sums = vec![];
            // As many at once in each worker as of a step.
            let part = self.options.batch_size.div_ceil(self.workers.len());
            let piece = part.div_ceil(self.options.accumulate);
            for batch in all.chunks(piece * self.workers.len()) {
                let (parts, _) = self
                    .workers
                    .share(batch, |part, _| Ok((self.task.validate(part)?.parts, ())))?;
                workers::add(&mut sums, &parts, batch.len() as f64 / all.len() as f64);
            }
            sums.resize(self.task.parts().len(), f64::NAN);
            Ok(self.task.score(&sums))
        })
    }

    /// What a resumed run must share. The number of threads is part of it, since sums depend on
    /// it in their last digits.
    fn fingerprint(&self) -> String {
        let options = FitOptions {
            checkpoint_every: 0,
            ..self.options.clone()
        };
        let (workers, identity) = (self.workers.len(), &self.identity);
        let (training, validation) = (self.task.len(), self.task.validation_len());
        let curriculum = self.curriculum.as_ref().map(|it| {
            let order = xxh3_64(format!("{:?}", it.order).as_bytes());
            (it.stages, order)
        });
        format!(
            "{identity}; {options:?}; curriculum {curriculum:?}; {workers} workers; {training} and {validation} examples"
        )
    }

    /// The order of the examples in an epoch: a function of seed and epoch alone.
    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order = self.examples(epoch);
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        rng.set_stream(epoch as u64 + 1);
        order.shuffle(&mut rng);
        order
    }

    /// A step, and meanwhile, where a device leaves the CPU time for it, what the following one will read.
    fn step_and_prepare(
        &mut self,
        batch: &[usize],
        following: Option<&[usize]>,
        epoch: usize,
        step: usize,
        learning_rate: f64,
    ) -> Result<Option<Vec<f64>>> {
        let Some(following) = following.filter(|_| !self.device.is_cpu()) else {
            return self.step(batch, epoch, step, learning_rate);
        };
        let task = self.task;
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| task.prepare(following, epoch));
            let done = self.step(batch, epoch, step, learning_rate);
            let read = reading.join();
            read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            done
        })
    }

    /// One step; `None` if the gradient is not finite, and nothing is changed then.
    fn step(
        &mut self,
        batch: &[usize],
        epoch: usize,
        step: usize,
        learning_rate: f64,
    ) -> Result<Option<Vec<f64>>> {
        let (losses, parts) = self.workers.share(batch, |part, worker| {
            let mut draw = Draw {
                epoch,
                rng: self.chance(step, worker),
            };
            let (mut losses, mut sum) = (vec![], None);
            for piece in part.chunks(part.len().div_ceil(self.options.accumulate)) {
                let share = piece.len() as f64 / part.len() as f64;
                let (parts, gradients) = self.gradients(piece, &mut draw)?;
                workers::add(&mut losses, &parts, share);
                sum = Some(match sum {
                    None => (share, gradients),
                    Some(sum) => (1.0, gradients::combine(&[sum, (share, gradients)])?),
                });
            }
            let (_, gradients) = sum.unwrap_or_default();
            Ok((losses, gradients))
        })?;
        let gradients = gradients::combine(&parts)?;
        let norm = gradients::norm(&gradients)?;
        if !norm.is_finite() {
            return Ok(None);
        }
        let scale = (self.options.max_gradient_norm / norm).min(1.0);
        self.optimiser.step(&gradients, scale, learning_rate)?;
        if let Some(average) = &mut self.average {
            average.update(step)?;
        }
        Ok(Some(losses))
    }

    /// The parts of the loss on some examples, and its gradient for each variable.
    fn gradients(&self, examples: &[usize], draw: &mut Draw) -> Result<(Vec<f64>, Vec<Tensor>)> {
        let (parts, gradients) = self.options.precision.within(|| {
            let Loss { total, parts } = self.task.loss(examples, draw)?;
            Ok::<_, Error>((parts, total.backward()?))
        })?;
        let of = |(var, name): (&Var, &String)| match gradients.get(var) {
            Some(gradient) => Ok(gradient.clone()),
            None => Err(Error::NoGradient { name: name.clone() }),
        };
        let vars = self.optimiser.vars().zip(&self.names);
        Ok((parts, vars.map(of).collect::<Result<_>>()?))
    }

    /// The generator of a worker at a step: a function of these and the seed alone.
    fn chance(&self, step: usize, worker: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        // The lower half of the streams orders the epochs.
        rng.set_stream((1 << 63) | (step * self.workers.len() + worker) as u64);
        rng
    }
}
