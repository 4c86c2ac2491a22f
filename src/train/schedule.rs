//! The learning rate over a run: linear warm-up, then cosine annealing (Loshchilov & Hutter, 2017).

/// Learning rates by step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineSchedule {
    /// The rate after warm-up.
    pub peak: f64,
    /// The rate at the last step, or the peak where that is lower.
    pub floor: f64,
    /// Steps of warm-up; the paper has none, a transformer started from nothing needs some.
    pub warmup_steps: usize,
    /// Steps in all.
    pub total_steps: usize,
}

impl CosineSchedule {
    /// The learning rate of `step`, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let last = self.total_steps.saturating_sub(self.warmup_steps + 1);
        let done = ((step - self.warmup_steps) as f64 / last.max(1) as f64).min(1.0);
        let half_cosine = (1.0 + (done * std::f64::consts::PI).cos()) / 2.0;
        let floor = self.floor.min(self.peak);
        floor + (self.peak - floor) * half_cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_the_floor() {
        let schedule = CosineSchedule {
            peak: 1.0,
            floor: 0.1,
            warmup_steps: 10,
            total_steps: 111,
        };
        assert_eq!(schedule.rate(0), 0.1);
        assert_eq!(schedule.rate(9), 1.0);
        assert_eq!(schedule.rate(10), 1.0);
        assert!((schedule.rate(60) - 0.55).abs() < 1e-12);
        assert!((schedule.rate(110) - 0.1).abs() < 1e-12);
        let low = CosineSchedule {
            peak: 0.01,
            ..schedule
        };
        assert!((10..111).all(|step| low.rate(step) == 0.01));
    }
}
