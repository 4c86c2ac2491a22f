//! A network's trainable variables by name, started from a seed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::View;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64_with_seed};

use crate::random;

/// Variables, made on first use while a network is built.
///
/// A variable's first values depend on the seed and its name alone, so equal seeds give equal
/// networks; candle's own initialisers draw from an unseeded generator.
#[derive(Clone, Debug)]
pub struct Parameters {
    seed: u64,
    orthogonal: bool,
    /// What the names of variables begin with that start as zeros.
    zeros: &'static [&'static str],
    /// Those that still are.
    waiting: Arc<Mutex<BTreeSet<String>>>,
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
}

impl Parameters {
    /// No variables yet.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            orthogonal: false,
            zeros: &[],
            waiting: Arc::default(),
            vars: Arc::default(),
        }
    }

    /// No variables yet; kernels of convolutions that would start at random start orthogonal (Saxe et
    /// al., 2014): without them an autoencoder takes two to three times as long to pass anything on.
    pub fn orthogonal(seed: u64) -> Self {
        Self {
            orthogonal: true,
            ..Self::new(seed)
        }
    }

    /// The same, where variables whose names begin with one of `prefixes` start as zeros: [`fill`](Self::fill) is to give
    /// them their values, and hundreds of millions of numbers would be drawn for nothing.
    pub(super) fn zeros_below(self, prefixes: &'static [&'static str]) -> Self {
        Self {
            zeros: prefixes,
            ..self
        }
    }

    /// Checks that every variable that started as zeros has been given its values.
    ///
    /// # Errors
    /// [`Error::NothingToBegin`](crate::Error::NothingToBegin) for one that has not.
    pub(super) fn check_given(&self) -> crate::error::Result<()> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.first() {
            Some(name) => Err(crate::error::Error::NothingToBegin { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Builds networks from these variables, adding those that are missing.
    pub fn builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, device.clone())
    }

    /// All variables in the order of their names.
    pub fn all(&self) -> Vec<(String, Var)> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        vars.iter()
            .map(|(name, var)| (name.clone(), var.clone()))
            .collect()
    }

    /// The names of all variables below `prefix`, without it.
    pub fn below(&self, prefix: &str) -> Vec<String> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |name: &String| Some(name.strip_prefix(prefix)?.to_owned());
        vars.keys().filter_map(own).collect()
    }

    /// Sets all variables whose names begin with `prefix` to `tensors`, whose names lack it.
    ///
    /// # Errors
    /// [`Error::NoVariable`](crate::Error::NoVariable) for a tensor that no network has asked for,
    /// [`Error::NothingToBegin`](crate::Error::NothingToBegin) for a variable without a tensor, else if
    /// a shape differs.
    pub fn fill(
        &self,
        prefix: &str,
        tensors: &HashMap<String, Tensor>,
    ) -> crate::error::Result<()> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, tensor) in tensors {
            let name = format!("{prefix}{name}");
            let Some(var) = vars.get(&name) else {
                return Err(crate::error::Error::NoVariable { name });
            };
            var.set(tensor)?;
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.remove(&name);
        }
        let given = |name: &str| tensors.contains_key(&name[prefix.len()..]);
        match vars
            .keys()
            .find(|name| name.starts_with(prefix) && !given(name))
        {
            Some(name) => Err(crate::error::Error::NothingToBegin { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// All variables as they are now, in half precision.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn halves(&self) -> Result<HashMap<String, Tensor>> {
        let half =
            |(name, var): (String, Var)| Ok((name, var.as_detached_tensor().to_dtype(DType::F16)?));
        self.all().into_iter().map(half).collect()
    }

    /// A digest of the names, shapes and values of those variables that `wanted` picks by their names.
    ///
    /// # Errors
    /// If a device does not give its values.
    pub(super) fn digest(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut hash = Xxh3Default::new();
        for (name, var) in self.all().into_iter().filter(|(name, _)| wanted(name)) {
            hash.update(format!("{name} {:?}\n", var.dims()).as_bytes());
            let values = var.as_detached_tensor().to_device(&Device::Cpu)?;
            hash.update(&values.data());
        }
        Ok(format!("{:032x}", hash.digest128()))
    }

    fn start(&self, shape: &Shape, name: &str, init: Init, device: &Device) -> Result<Tensor> {
        if self.zeros.iter().any(|prefix| name.starts_with(prefix)) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.insert(name.to_owned());
            return Tensor::zeros(shape, DType::F32, device);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(xxh3_64_with_seed(name.as_bytes(), self.seed));
        let count = shape.elem_count();
        if let (true, [outputs, _, _, _]) = (self.orthogonal, shape.dims())
            && !matches!(init, Init::Const(_))
        {
            let values = orthogonal(*outputs, count / outputs, &mut rng);
            return Tensor::from_vec(values, shape, device);
        }
        let values: Vec<f32> = match init {
            Init::Const(value) => vec![value as f32; count],
            Init::Uniform { lo, up } => (0..count)
                .map(|_| rng.random_range(lo as f32..=up as f32))
                .collect(),
            Init::Randn { mean, stdev } => (0..count)
                .map(|_| (mean + stdev * random::normal(&mut rng)) as f32)
                .collect(),
            Init::Kaiming { .. } => candle_core::bail!("{name}: Kaiming's initialiser is not used"),
        };
        Tensor::from_vec(values, shape, device)
    }
}

/// A random matrix (rows, columns) whose rows, or columns where there are fewer, are orthonormal.
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = vec![];
    for _ in 0..count {
        let mut row: Vec<f64> = (0..length).map(|_| random::normal(rng)).collect();
        for other in &basis {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
        basis.push(row);
    }
    let at = |row: usize, column: usize| {
        if rows <= columns {
            basis[row][column]
        } else {
            basis[column][row]
        }
    };
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(row, column)| at(row, column) as f32)
        .collect()
}

impl SimpleBackend for Parameters {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                candle_core::bail!("{name} is {:?}, not {shape:?}", var.shape());
            }
            return Ok(var.as_tensor().clone());
        }
        let tensor = self.start(&shape, name, init, device)?.to_dtype(dtype)?;
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        match vars.get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => Err(candle_core::Error::CannotFindTensor {
                path: name.to_owned(),
            }
            .bt()),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vars
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn kernels_start_orthogonal() {
        for (outputs, inputs) in [(4, 2), (40, 2)] {
            let vb = Parameters::orthogonal(1).builder(&Device::Cpu);
            let bound = Init::Uniform { lo: -0.1, up: 0.1 };
            let kernel = vb
                .get_with_hints((outputs, inputs, 3, 3), "weight", bound)
                .unwrap();
            let matrix = kernel.flatten_from(1).unwrap();
            let turned = matrix.t().unwrap();
            let products = if outputs < inputs * 9 {
                matrix.matmul(&turned)
            } else {
                turned.matmul(&matrix)
            };
            let products = products.unwrap().to_vec2::<f32>().unwrap();
            for (row, values) in products.iter().enumerate() {
                for (column, value) in values.iter().enumerate() {
                    let expected = f32::from(row == column);
                    assert!((value - expected).abs() < 1e-5, "{row} {column}: {value}");
                }
            }
        }
    }

    #[test]
    fn what_is_to_be_given_starts_as_zeros_and_is_asked_for() {
        let parameters = Parameters::new(1).zeros_below(&["a."]);
        let vb = parameters.builder(&Device::Cpu);
        let normal = Init::Randn {
            mean: 0.0,
            stdev: 1.0,
        };
        let started = ["a.x", "b.x"].map(|name| vb.get_with_hints(2, name, normal).unwrap());
        let [given, drawn] = started.map(|it| it.to_vec1::<f32>().unwrap());
        assert_eq!(given, [0.0; 2]);
        assert!(drawn.iter().all(|value| *value != 0.0));
        let plain = Parameters::new(1).builder(&Device::Cpu);
        let same = plain.get_with_hints(2, "b.x", normal).unwrap();
        assert_eq!(same.to_vec1::<f32>().unwrap(), drawn);

        let error = parameters.check_given().unwrap_err();
        assert!(error.to_string().contains("a.x"), "{error}");
        let ones = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let ones = HashMap::from([("x".to_owned(), ones)]);
        parameters.fill("a.", &ones).unwrap();
        parameters.check_given().unwrap();
    }

    #[test]
    fn a_digest_is_of_the_variables_that_are_wanted() {
        let parameters = Parameters::new(1);
        let vb = parameters.builder(&Device::Cpu);
        for name in ["a.x", "b.x"] {
            vb.get_with_hints(2, name, Init::Const(0.0)).unwrap();
        }
        let digest = |prefix: &str| parameters.digest(|name| name.starts_with(prefix)).unwrap();
        let [a, b] = ["a.", "b."].map(digest);
        assert_ne!(a, b);
        let ones = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let ones = HashMap::from([("x".to_owned(), ones)]);
        parameters.fill("a.", &ones).unwrap();
        assert_ne!(digest("a."), a);
        assert_eq!(digest("b."), b);
    }

    #[test]
    fn weights_to_begin_with_are_all_there_and_all_wanted() {
        let parameters = Parameters::new(1);
        let vb = parameters.builder(&Device::Cpu);
        for name in ["a.x", "a.y", "b.x"] {
            vb.get_with_hints(2, name, Init::Const(0.0)).unwrap();
        }
        let ones = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let tensors = |names: &[&str]| -> HashMap<String, Tensor> {
            names
                .iter()
                .map(|name| ((*name).to_owned(), ones.clone()))
                .collect()
        };
        parameters.fill("a.", &tensors(&["x", "y"])).unwrap();
        for (name, var) in parameters.all() {
            let expected = if name.starts_with("a.") { 1.0 } else { 0.0 };
            assert_eq!(var.to_vec1::<f32>().unwrap(), [expected; 2], "{name}");
        }
        let error = parameters.fill("a.", &tensors(&["x"])).unwrap_err();
        assert!(matches!(error, Error::NothingToBegin { name } if name == "a.y"));
        let error = parameters.fill("b.", &tensors(&["x", "z"])).unwrap_err();
        assert!(matches!(error, Error::NoVariable { name } if name == "b.z"));
    }
}
