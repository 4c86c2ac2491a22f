//! The training loop: data-parallel on the CPU, resumable at any checkpoint.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, IndexOp, Tensor};
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
    /// Whether the vocabulary head is trained, too.
    pub with_words: bool,
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
            with_words: true,
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
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOutcome {
    /// Best mean cosine on the validation set.
    pub best_cosine: f64,
    /// Steps done.
    pub steps: usize,
}

/// A step's losses, weighted means over its batch.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    cosine: f64,
    huber: f64,
    words: f64,
}

impl Losses {
    fn add(&mut self, other: Self, weight: f64) {
        self.cosine += other.cosine * weight;
        self.huber += other.huber * weight;
        self.words += other.words * weight;
    }
}

impl<'a> Fit<'a> {
    /// Prepares the training of `network`, whose variables are `parameters`.
    ///
    /// # Errors
    /// [`Error::Threads`] if the workers do not start.
    pub fn new(
        network: &'a Network,
        parameters: &Parameters,
        preprocess: &'a Preprocess,
        device: &'a Device,
        options: FitOptions,
    ) -> Result<Self> {
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
    /// variable is not reached by the loss, [`Error::OtherRun`] on resuming another run.
    pub fn run(
        &mut self,
        training: &dyn TrainingSet,
        validation: &dyn TrainingSet,
        folder: &Path,
        resume: bool,
        observe: &mut dyn FnMut(&LogRow, usize) -> ControlFlow<()>,
        keep: &mut dyn FnMut() -> Result<()>,
    ) -> Result<FitOutcome> {
        let checkpoint_path = folder.join("checkpoint.safetensors");
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
        let fingerprint = format!("{:?} on {} pairs", self.run_options(), training.len());
        let mut state = RunState {
            step: 0,
            best_cosine: None,
            fingerprint: fingerprint.clone(),
        };
        if resume {
            let saved = checkpoint::load(
                &checkpoint_path,
                &mut self.optimiser,
                &fingerprint,
                self.device,
            )?;
            state = saved.unwrap_or(state);
        }
        let mut rows = log::read(&log_path, state.step)?;
        log::write(&log_path, &rows)?;

        let mut sums = Losses::default();
        let mut summed = 0usize;
        let mut since = Instant::now();
        let mut order = self.order(training.len(), state.step / steps_per_epoch);
        while state.step < total_steps {
            let (epoch, place) = (state.step / steps_per_epoch, state.step % steps_per_epoch);
            if place == 0 {
                order = self.order(training.len(), epoch);
            }
            let batch = &order[place * self.options.batch_size..][..self.options.batch_size];
            let learning_rate = schedule.rate(state.step);
            sums.add(self.step(training, batch, epoch, learning_rate)?, 1.0);
            summed += 1;
            state.step += 1;

            let epoch_ends = place + 1 == steps_per_epoch;
            let mut stop = false;
            if state.step.is_multiple_of(LOG_EVERY) || epoch_ends {
                let images = (summed * self.options.batch_size) as f64;
                let images_per_s = images / since.elapsed().as_secs_f64();
                let validation_cosine = if epoch_ends {
                    Some(self.mean_cosine(validation)?)
                } else {
                    None
                };
                let mean = |sum: f64| sum / summed as f64;
                let row = LogRow {
                    step: state.step,
                    epoch,
                    learning_rate,
                    cosine_loss: mean(sums.cosine),
                    huber_loss: mean(sums.huber),
                    words_loss: mean(sums.words),
                    validation_cosine,
                    images_per_s,
                };
                log::append(&log_path, &row)?;
                if let Some(cosine) = validation_cosine
                    && state.best_cosine.is_none_or(|best| cosine > best)
                {
                    state.best_cosine = Some(cosine);
                    keep()?;
                }
                stop = observe(&row, total_steps).is_break();
                rows.push(row);
                (sums, summed, since) = (Losses::default(), 0, Instant::now());
            }
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

    /// The settings that a resumed run must share.
    fn run_options(&self) -> impl std::fmt::Debug + use<> {
        let FitOptions {
            checkpoint_every: _,
            threads: _,
            ..
        } = &self.options;
        let o = &self.options;
        (
            o.epochs,
            o.batch_size,
            o.learning_rate,
            o.min_learning_rate,
            o.warmup_steps,
            o.with_words,
            o.seed,
        )
    }

    /// The order of the images in an epoch: a function of seed and epoch alone.
    fn order(&self, count: usize, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        rng.set_stream(epoch as u64 + 1);
        order.shuffle(&mut rng);
        order
    }

    fn step(
        &mut self,
        set: &dyn TrainingSet,
        batch: &[usize],
        epoch: usize,
        learning_rate: f64,
    ) -> Result<Losses> {
        let (losses, parts) = self.share(batch, |part| {
            let loss = self.loss(set, part, epoch)?;
            let gradients = loss.total(self.options.with_words)?.backward()?;
            let gradients = self
                .optimiser
                .vars()
                .zip(&self.names)
                .map(|(var, name)| match gradients.get(var) {
                    Some(gradient) => Ok(gradient.clone()),
                    None if !self.options.with_words && name.starts_with("heads.words.") => {
                        Ok(var.zeros_like()?)
                    }
                    None => Err(Error::NoGradient { name: name.clone() }),
                })
                .collect::<Result<Vec<_>>>()?;
            Ok((read_losses(&loss)?, gradients))
        })?;
        let gradients = combine(&parts)?;
        let norm = norm(&gradients)?;
        let scale = (self.options.max_gradient_norm / norm).min(1.0);
        self.optimiser.step(&gradients, scale, learning_rate)?;
        Ok(losses)
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
        let (dim, words) = (output.embedding.dims2()?.1, output.word_logits.dims2()?.1);
        let mut embeddings = Vec::with_capacity(batch.len() * dim);
        let mut occurs = vec![0f32; batch.len() * words];
        for (row, &index) in occurs.chunks_exact_mut(words.max(1)).zip(batch) {
            embeddings.extend_from_slice(set.embedding(index));
            for &word in set.words(index) {
                row[word as usize] = 1.0;
            }
        }
        let embeddings = Tensor::from_vec(embeddings, (batch.len(), dim), self.device)?;
        let occurs = Tensor::from_vec(occurs, (batch.len(), words), self.device)?;
        Ok(JointLoss::new(&output, &embeddings, &occurs)?)
    }
}

fn read_losses(loss: &JointLoss) -> Result<Losses> {
    let all = Tensor::stack(&[&loss.cosine, &loss.huber, &loss.words], 0)?;
    let value = |i: usize| -> Result<f64> { Ok(f64::from(all.i(i)?.to_scalar::<f32>()?)) };
    Ok(Losses {
        cosine: value(0)?,
        huber: value(1)?,
        words: value(2)?,
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
