//! The training loop: data-parallel on the CPU, resumable at any checkpoint.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::checkpoint::{self, RunState};
use super::log::{self, LogRow};
use super::loss::JointLoss;
use super::optim::{AdamW, AdamWOptions};
use super::parameters::Parameters;
use super::schedule::CosineSchedule;
use super::set::TrainingSet;
use crate::error::{Error, Result};
use crate::image::preprocess::Preprocess;
use crate::nn::ops;
use crate::predictor::network::Network;

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
    /// Seed of the order of the images.
    pub seed: u64,
    /// Worker threads on the CPU; each takes an equal part of every batch.
    pub threads: usize,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: usize,
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
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            checkpoint_every: 250,
        }
    }
}

/// Steps from one line of the log to the next.
const LOG_EVERY: usize = 25;

/// A network in training.
pub struct Fit<'a> {
    network: &'a Network,
    preprocess: &'a Preprocess,
    device: &'a Device,
    options: FitOptions,
    optimiser: AdamW,
    names: Vec<String>,
    pools: Vec<ThreadPool>,
    identity: String,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOutcome {
    /// Best mean cosine on the validation set.
    pub best_cosine: f64,
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

/// The name of the checkpoint in a run's folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Losses since the last line of the log.
struct Meter {
    sums: Losses,
    steps: usize,
    since: Instant,
}

impl Meter {
    fn new() -> Self {
        Self {
            sums: Losses::default(),
            steps: 0,
            since: Instant::now(),
        }
    }

    fn add(&mut self, losses: Losses) {
        self.sums.add(losses, 1.0);
        self.steps += 1;
    }

    /// The means as a line of the log; begins anew.
    fn row(
        &mut self,
        step: usize,
        epoch: usize,
        learning_rate: f64,
        validation_cosine: Option<f64>,
        batch_size: usize,
    ) -> LogRow {
        let Self { sums, steps, since } = std::mem::replace(self, Self::new());
        let mean = |sum: f64| sum / steps.max(1) as f64;
        LogRow {
            step,
            epoch,
            learning_rate,
            cosine_loss: mean(sums.cosine),
            huber_loss: mean(sums.huber),
            words_loss: sums.words.map(mean),
            validation_cosine,
            images_per_s: (steps * batch_size) as f64 / since.elapsed().as_secs_f64(),
        }
    }
}

/// A step's losses, weighted means over its batch.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    cosine: f64,
    huber: f64,
    /// `None` without a vocabulary.
    words: Option<f64>,
}

impl Losses {
    fn add(&mut self, other: Self, weight: f64) {
        self.cosine += other.cosine * weight;
        self.huber += other.huber * weight;
        if let Some(words) = other.words {
            *self.words.get_or_insert(0.0) += words * weight;
        }
    }
}

impl<'a> Fit<'a> {
    /// Prepares the training of `network`, whose variables are `parameters`. `identity` says what
    /// is trained, so that a checkpoint of something else is not resumed.
    ///
    /// # Errors
    /// [`Error::Setting`] for no epochs or empty batches, [`Error::Threads`] if the workers do not
    /// start.
    pub fn new(
        network: &'a Network,
        parameters: &Parameters,
        preprocess: &'a Preprocess,
        device: &'a Device,
        options: FitOptions,
        identity: String,
    ) -> Result<Self> {
        for (name, value) in [
            ("batch size", options.batch_size),
            ("epochs", options.epochs),
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
            options.threads.clamp(1, options.batch_size)
        } else {
            1
        };
        // Matrix products take the pool they are called in: one thread each, no waiting.
        let pools = (0..workers)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<std::result::Result<_, _>>()
            .map_err(|source| Error::Threads { source })?;
        let vars = parameters.all();
        let names = vars.iter().map(|(name, _)| name.clone()).collect();
        let optimiser = AdamW::new(vars, AdamWOptions::default())?;
        Ok(Self {
            network,
            preprocess,
            device,
            options,
            optimiser,
            names,
            pools,
            identity,
        })
    }

    /// Trains to the end or until `observe` breaks; checkpoints and log go to `folder`, and `keep`
    /// is called whenever validation has improved.
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
        training: &dyn TrainingSet,
        validation: &dyn TrainingSet,
        folder: &Path,
        resume: bool,
        observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
        keep: &mut dyn FnMut() -> Result<()>,
    ) -> Result<FitOutcome> {
        let checkpoint_path = folder.join(CHECKPOINT);
        let log_path = folder.join("training.csv");
        let steps_per_epoch = training.len() / self.options.batch_size;
        if steps_per_epoch == 0 {
            let (found, needed) = (training.len(), self.options.batch_size);
            return Err(Error::TooFewImages { found, needed });
        }
        let total_steps = steps_per_epoch * self.options.epochs;
        let schedule = CosineSchedule {
            peak: self.options.learning_rate,
            floor: self.options.min_learning_rate,
            warmup_steps: self.options.warmup_steps.min(total_steps / 2),
            total_steps,
        };
        let fingerprint = self.fingerprint(training.len(), validation.len());
        let mut state = RunState {
            step: 0,
            best_cosine: None,
            fingerprint,
        };
        if resume {
            state = checkpoint::load(&checkpoint_path, &mut self.optimiser, state, self.device)?;
        } else if checkpoint_path.exists() {
            return Err(Error::CheckpointExists {
                path: checkpoint_path,
            });
        }
        let mut rows = log::read(&log_path, state.step)?;
        log::write(&log_path, &rows)?;

        let mut meter = Meter::new();
        let mut order = self.order(training.len(), state.step / steps_per_epoch);
        while state.step < total_steps {
            let (epoch, place) = (state.step / steps_per_epoch, state.step % steps_per_epoch);
            if place == 0 {
                order = self.order(training.len(), epoch);
            }
            let batch = &order[place * self.options.batch_size..][..self.options.batch_size];
            let learning_rate = schedule.rate(state.step);
            let losses = self
                .step(training, batch, epoch, learning_rate)?
                .ok_or(Error::Diverged { step: state.step })?;
            meter.add(losses);
            state.step += 1;

            let epoch_ends = place + 1 == steps_per_epoch;
            let mut row = None;
            if state.step.is_multiple_of(LOG_EVERY) || epoch_ends {
                let validation_cosine = if epoch_ends {
                    Some(self.mean_cosine(validation)?)
                } else {
                    None
                };
                let new = meter.row(
                    state.step,
                    epoch,
                    learning_rate,
                    validation_cosine,
                    self.options.batch_size,
                );
                log::append(&log_path, &new)?;
                rows.push(new);
                row = rows.last();
                if let Some(cosine) = validation_cosine
                    && state.best_cosine.is_none_or(|best| cosine > best)
                {
                    state.best_cosine = Some(cosine);
                    keep()?;
                }
            }
            let stop = observe(FitProgress {
                step: state.step,
                total_steps,
                row,
            })
            .is_break();
            if epoch_ends || stop || state.step.is_multiple_of(self.options.checkpoint_every) {
                checkpoint::save(&checkpoint_path, &self.optimiser, &state)?;
                log::plot(&folder.join("training.svg"), &rows)?;
            }
            if stop {
                return Err(Error::Cancelled);
            }
        }
        let best_cosine = state.best_cosine.unwrap_or(f64::NAN);
        Ok(FitOutcome {
            best_cosine,
            steps: state.step,
        })
    }

    /// Mean cosine between predicted and true embeddings over a set.
    ///
    /// # Errors
    /// If an image cannot be read or a tensor operation fails.
    pub fn mean_cosine(&self, set: &dyn TrainingSet) -> Result<f64> {
        let all: Vec<usize> = (0..set.len()).collect();
        let mut sum = 0.0;
        for batch in all.chunks(self.options.batch_size) {
            let (losses, _) = self.share(batch, |part| {
                let loss = self.loss(set, part, 0)?;
                Ok((read_losses(&loss)?, ()))
            })?;
            sum += (1.0 - losses.cosine) * batch.len() as f64;
        }
        Ok(sum / set.len().max(1) as f64)
    }

    /// What a resumed run must share. The number of threads is part of it, since sums depend on
    /// it in their last digits.
    fn fingerprint(&self, training: usize, validation: usize) -> String {
        let options = FitOptions {
            checkpoint_every: 0,
            ..self.options.clone()
        };
        let (workers, identity) = (self.pools.len(), &self.identity);
        format!("{identity}; {options:?}; {workers} workers; {training} and {validation} pairs")
    }

    /// The order of the images in an epoch: a function of seed and epoch alone.
    fn order(&self, count: usize, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        rng.set_stream(epoch as u64 + 1);
        order.shuffle(&mut rng);
        order
    }

    /// One step; `None` if the gradient is not finite, and nothing is changed then.
    fn step(
        &mut self,
        set: &dyn TrainingSet,
        batch: &[usize],
        epoch: usize,
        learning_rate: f64,
    ) -> Result<Option<Losses>> {
        let (losses, parts) = self.share(batch, |part| {
            let loss = self.loss(set, part, epoch)?;
            let gradients = loss.total()?.backward()?;
            let gradients = self
                .optimiser
                .vars()
                .zip(&self.names)
                .map(|(var, name)| match gradients.get(var) {
                    Some(gradient) => Ok(gradient.clone()),
                    None => Err(Error::NoGradient { name: name.clone() }),
                })
                .collect::<Result<Vec<_>>>()?;
            Ok((read_losses(&loss)?, gradients))
        })?;
        let gradients = combine(&parts)?;
        let norm = norm(&gradients)?;
        if !norm.is_finite() {
            return Ok(None);
        }
        let scale = (self.options.max_gradient_norm / norm).min(1.0);
        self.optimiser.step(&gradients, scale, learning_rate)?;
        Ok(Some(losses))
    }

    /// Runs `work` on an equal part of the batch in each worker; mean losses and, with its share
    /// of the batch, what each worker made.
    fn share<T: Send>(
        &self,
        batch: &[usize],
        work: impl Fn(&[usize]) -> Result<(Losses, T)> + Sync,
    ) -> Result<(Losses, Vec<(f64, T)>)> {
        let part_length = batch.len().div_ceil(self.pools.len());
        let parts: Vec<&[usize]> = batch.chunks(part_length).collect();
        let work = &work;
        let results: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = parts
                .iter()
                .zip(&self.pools)
                .map(|(part, pool)| scope.spawn(move || pool.install(|| work(part))))
                .collect();
            handles.into_iter().map(|handle| handle.join()).collect()
        });
        let mut losses = Losses::default();
        let mut made = vec![];
        for (part, result) in parts.iter().zip(results) {
            let (part_losses, value) =
                result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let weight = part.len() as f64 / batch.len() as f64;
            losses.add(part_losses, weight);
            made.push((weight, value));
        }
        Ok((losses, made))
    }

    fn loss(&self, set: &dyn TrainingSet, batch: &[usize], epoch: usize) -> Result<JointLoss> {
        let images = batch
            .iter()
            .map(|&index| set.image(index, epoch))
            .collect::<Result<Vec<_>>>()?;
        let output = self
            .network
            .forward(&self.preprocess.batch(&images, self.device)?)?;
        let dim = output.embedding.dims2()?.1;
        let mut embeddings = Vec::with_capacity(batch.len() * dim);
        for &index in batch {
            embeddings.extend_from_slice(set.embedding(index));
        }
        let embeddings = Tensor::from_vec(embeddings, (batch.len(), dim), self.device)?;
        let words = match &output.word_logits {
            Some(logits) => Some(self.words(set, batch, logits.dims2()?.1)?),
            None => None,
        };
        Ok(JointLoss::new(&output, &embeddings, words.as_ref())?)
    }

    /// Which of `count` words occur in the prompts of a batch: (batch, count) of zeros and ones.
    fn words(&self, set: &dyn TrainingSet, batch: &[usize], count: usize) -> Result<Tensor> {
        let mut occurs = vec![0f32; batch.len() * count];
        for (row, &index) in occurs.chunks_exact_mut(count.max(1)).zip(batch) {
            for &word in set.words(index) {
                row[word as usize] = 1.0;
            }
        }
        Ok(Tensor::from_vec(occurs, (batch.len(), count), self.device)?)
    }
}

fn read_losses(loss: &JointLoss) -> Result<Losses> {
    let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
    Ok(Losses {
        cosine: value(&loss.cosine)?,
        huber: value(&loss.huber)?,
        words: loss.words.as_ref().map(value).transpose()?,
    })
}

/// The weighted sum of the workers' gradients, variable by variable.
fn combine(parts: &[(f64, Vec<Tensor>)]) -> Result<Vec<Tensor>> {
    let Some(((weight, first), rest)) = parts.split_first() else {
        return Ok(vec![]);
    };
    (0..first.len())
        .into_par_iter()
        .map(|at| {
            let Some(((second_weight, second), rest)) = rest.split_first() else {
                return Ok((&first[at] * *weight)?);
            };
            let mut sum = ops::weighted_sum(&first[at], *weight, &second[at], *second_weight)?;
            for (weight, part) in rest {
                sum = ops::weighted_sum(&sum, 1.0, &part[at], *weight)?;
            }
            Ok(sum)
        })
        .collect()
}

/// The joint length of all gradients.
fn norm(gradients: &[Tensor]) -> Result<f64> {
    let squares: Vec<f64> = gradients
        .par_iter()
        .map(|gradient| Ok(f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?)))
        .collect::<Result<_>>()?;
    // Summed in order, so that runs of equal seeds are equal.
    Ok(squares.iter().sum::<f64>().sqrt())
}
