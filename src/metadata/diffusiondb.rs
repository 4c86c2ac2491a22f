//! DiffusionDB's PNG files: the prompt as plain text under `prompt`, and a number under `seed`.
//!
//! Other tools keep JSON under `prompt`; that is not read here.

use super::{Embedded, Texts, is_json};

/// What DiffusionDB wrote.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    let prompt = texts.get("prompt")?.trim();
    let seed = texts.get("seed")?.trim().parse().ok()?;
    (!prompt.is_empty() && !is_json(prompt)).then(|| Embedded {
        generator: "diffusiondb".to_owned(),
        prompt: prompt.to_owned(),
        seed: Some(seed),
        ..Embedded::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[(&str, &str)]) -> Option<Embedded> {
        let owned = |&(key, text): &(&str, &str)| (key.to_owned(), text.to_owned());
        find(&Texts(texts.iter().map(owned).collect()))
    }

    #[test]
    fn a_plain_prompt_beside_a_seed_is_read() {
        let embedded = found(&[("prompt", " a cat, 4 k "), ("seed", "497865554")]).unwrap();
        assert_eq!(embedded.prompt, "a cat, 4 k");
        assert_eq!(embedded.seed, Some(497_865_554));
        assert_eq!(embedded.generator, "diffusiondb");
    }

    #[test]
    fn graphs_of_nodes_and_prompts_without_seed_are_left_to_others() {
        assert_eq!(found(&[("prompt", "{\"3\": {}}"), ("seed", "1")]), None);
        assert_eq!(found(&[("prompt", "a cat")]), None);
        assert_eq!(found(&[("prompt", "a cat"), ("seed", "x")]), None);
        assert_eq!(found(&[("prompt", " "), ("seed", "1")]), None);
    }
}
