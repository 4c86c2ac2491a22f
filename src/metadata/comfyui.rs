//! ComfyUI's graph of nodes, in the API's form, under `prompt`.
//!
//! The first sampler of the file says what the picture is; those after it mostly refine. Its positive and negative
//! input are followed, through whatever nodes lie between, to texts; of texts for several regions the first counts.
//! SwarmUI, TensorArt and Civitai write such graphs, too.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::exif::USER_COMMENT;
use super::json::Object;
use super::{Embedded, Texts};

/// Nodes that are looked at of one graph.
const MAX_NODES: usize = 5000;

/// Inputs that hold a text, or lead to one.
const TEXT_INPUTS: [&str; 12] = [
    "text",
    "text_g",
    "text_l",
    "clip_l",
    "t5xxl",
    "prompt",
    "positive",
    "string",
    "value",
    "Text",
    "wildcard_text",
    "populated_text",
];

/// What ComfyUI wrote, or somebody who has it work for them.
pub(super) fn find(texts: &Texts) -> Option<Embedded> {
    let text = texts.get("prompt").or_else(|| texts.get(USER_COMMENT))?;
    let object = Object::parse(text)?;
    // Civitai says beside the nodes what it was asked for.
    if let Some(asked) = object.object(&["extraMetadata"]) {
        let known = asked.embedded("civitai");
        if known.is_some() {
            return known;
        }
    }
    // Some tools put the graph and the editor's own notes into one object.
    let inner = object.object(&["prompt"]);
    Graph::new(inner.as_ref().unwrap_or(&object))?.embedded()
}

/// The nodes by number.
struct Graph<'a> {
    nodes: &'a Map<String, Value>,
}

/// What a text is looked for as.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Positive,
    Negative,
}

impl<'a> Graph<'a> {
    fn new(object: &'a Object) -> Option<Self> {
        let nodes = &object.0;
        let is_node = |node: &Value| node.get("class_type").is_some_and(Value::is_string);
        (nodes.len() <= MAX_NODES && nodes.values().any(is_node)).then_some(Self { nodes })
    }

    fn inputs(&self, node: &str) -> Option<&'a Map<String, Value>> {
        self.nodes.get(node)?.get("inputs")?.as_object()
    }

    fn class(&self, node: &str) -> &'a str {
        let class = self.nodes.get(node).and_then(|node| node.get("class_type"));
        class.and_then(Value::as_str).unwrap_or_default()
    }

    /// The node that an input is linked to.
    fn link(&self, value: &'a Value) -> Option<&'a str> {
        let node = value.as_array()?.first()?.as_str()?;
        self.nodes.get_key_value(node).map(|(key, _)| key.as_str())
    }

    fn embedded(&self) -> Option<Embedded> {
        let sampler = self.sampler()?;
        let positive = self.conditioning(sampler, Side::Positive);
        let negative = self.conditioning(sampler, Side::Negative);
        let prompt = positive.filter(|prompt| !prompt.trim().is_empty())?;
        let number = |names: &[&str]| self.setting(sampler, names, Value::as_f64);
        let text = |names: &[&str]| {
            self.setting(sampler, names, |value| value.as_str().map(str::to_owned))
        };
        Some(Embedded {
            generator: "comfyui".to_owned(),
            negative_prompt: negative.filter(|it| !it.trim().is_empty() && *it != prompt),
            prompt,
            seed: self.setting(sampler, &["seed", "noise_seed"], Value::as_u64),
            steps: number(&["steps"])
                .filter(|it| (0.0..1e6).contains(it))
                .map(|it| it as u32),
            cfg: number(&["cfg", "guidance"]),
            sampler: text(&["sampler_name"]),
            model: text(&["ckpt_name", "unet_name", "model_name"]),
        })
    }

    /// Whether a node makes a picture of positive and negative texts.
    fn is_sampler(&self, node: &str) -> bool {
        let Some(inputs) = self.inputs(node) else {
            return false;
        };
        let is_linked = |name: &str| inputs.get(name).is_some_and(|it| self.link(it).is_some());
        let class = self.class(node).to_lowercase();
        (is_linked("positive") && (inputs.contains_key("steps") || class.contains("sampler")))
            || (is_linked("guider") && class.contains("sampler"))
    }

    /// The first sampler by number.
    fn sampler(&self) -> Option<&'a str> {
        let samplers = self.nodes.keys().map(String::as_str);
        let samplers = samplers.filter(|node| self.is_sampler(node));
        samplers.min_by_key(|node| {
            let digits = node
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(node.len());
            (node[..digits].parse().unwrap_or(u64::MAX), *node)
        })
    }

    /// A setting of a node, or of the nearest that it builds on.
    fn setting<T>(
        &self,
        node: &'a str,
        names: &[&str],
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let mut seen = HashSet::from([node]);
        let mut level = vec![node];
        while !level.is_empty() {
            let mut next = vec![];
            for node in level {
                let Some(inputs) = self.inputs(node) else {
                    continue;
                };
                for name in names {
                    let Some(value) = inputs.get(*name) else {
                        continue;
                    };
                    let linked = || {
                        let inputs = self.inputs(self.link(value)?)?;
                        ["value", "seed", "noise_seed", "int", "float", *name]
                            .iter()
                            .find_map(|name| read(inputs.get(*name)?))
                    };
                    if let Some(found) = read(value).or_else(linked) {
                        return Some(found);
                    }
                }
                next.extend(
                    inputs
                        .values()
                        .filter_map(|it| self.link(it))
                        .filter(|it| seen.insert(*it)),
                );
            }
            level = next;
        }
        None
    }

    /// The texts that a sampler's conditioning is made of, each once, a line each.
    fn conditioning(&self, sampler: &'a str, side: Side) -> Option<String> {
        let inputs = self.inputs(sampler)?;
        let name = if side == Side::Positive {
            "positive"
        } else {
            "negative"
        };
        let start = match (inputs.get(name), side) {
            (Some(value), _) => self.link(value),
            // A guider has the conditioning of a sampler that has none.
            (None, Side::Positive) => {
                let guider = self.link(inputs.get("guider")?)?;
                let inputs = self.inputs(guider)?;
                let names = ["positive", "conditioning", "cond1"];
                names.iter().find_map(|name| self.link(inputs.get(*name)?))
            }
            (None, Side::Negative) => {
                let guider = self.link(inputs.get("guider")?)?;
                self.link(self.inputs(guider)?.get("negative")?)
            }
        };
        let mut found = vec![];
        self.texts(start?, side, &mut HashSet::new(), &mut found);
        (!found.is_empty()).then(|| found.join("\n"))
    }

    fn texts(
        &self,
        node: &'a str,
        side: Side,
        seen: &mut HashSet<&'a str>,
        found: &mut Vec<String>,
    ) {
        if !seen.insert(node) {
            return;
        }
        let Some(inputs) = self.inputs(node) else {
            return;
        };
        let own: Vec<String> = TEXT_INPUTS
            .iter()
            .filter_map(|name| self.string(inputs.get(*name)?, &mut HashSet::new()))
            .filter(|text| !text.trim().is_empty())
            .collect();
        // A node with two sides hands on the one that is asked for.
        let other = if side == Side::Positive {
            "negative"
        } else {
            "positive"
        };
        if own.is_empty() {
            let links = inputs
                .iter()
                .filter(|(name, _)| name.as_str() != other && !is_picture(name));
            for link in links.filter_map(|(_, value)| self.link(value)) {
                if !self.is_sampler(link) {
                    self.texts(link, side, seen, found);
                }
                if !found.is_empty() && self.class(node) == "ConditioningCombine" {
                    break;
                }
            }
        }
        for text in own {
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }

    /// A text: itself, or what the node that it is linked to makes of others.
    fn string(&self, value: &'a Value, seen: &mut HashSet<&'a str>) -> Option<String> {
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        let node = self.link(value)?;
        if !seen.insert(node) {
            return None;
        }
        let inputs = self.inputs(node)?;
        let parts = |mut names: Vec<&'a str>, seen: &mut HashSet<&'a str>| {
            names.sort_unstable();
            let parts = names
                .iter()
                .filter_map(|name| self.string(inputs.get(*name)?, seen));
            parts.filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        let class = self.class(node).to_lowercase();
        if class.contains("concat") || class.contains("join") || class.contains("combine") {
            let is_part = |name: &&str| {
                name.starts_with("text") || name.starts_with("string") || name.starts_with("prompt")
            };
            let names = inputs.keys().map(String::as_str).filter(is_part).collect();
            let by = ["delimiter", "separator"]
                .iter()
                .find_map(|name| inputs.get(*name)?.as_str());
            let parts = parts(names, seen);
            return (!parts.is_empty()).then(|| parts.join(by.unwrap_or(", ")));
        }
        let named = TEXT_INPUTS
            .iter()
            .find_map(|name| self.string(inputs.get(*name)?, seen));
        // A reroute has one input of any name.
        named.or_else(|| {
            let mut links = inputs.values().filter(|value| self.link(value).is_some());
            let only = links.next().filter(|_| links.next().is_none())?;
            self.string(only, seen)
        })
    }
}

/// Inputs that lead to a model or a picture, and not to a text.
fn is_picture(name: &str) -> bool {
    matches!(
        name,
        "clip"
            | "model"
            | "vae"
            | "image"
            | "pixels"
            | "mask"
            | "latent_image"
            | "samples"
            | "stage_c"
            | "control_net"
            | "clip_vision_output"
            | "clip_vision"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(graph: &str) -> Option<Embedded> {
        find(&Texts(vec![("prompt".to_owned(), graph.to_owned())]))
    }

    const PLAIN: &str = r#"{
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "cfg": 6.5, "sampler_name": "euler",
            "positive": ["6", 0], "negative": ["7", 0], "model": ["4", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["4", 1]}}}"#;

    #[test]
    fn a_plain_graph_is_read() {
        let expected = Embedded {
            generator: "comfyui".into(),
            prompt: "a cat".into(),
            negative_prompt: Some("a dog".into()),
            seed: Some(7),
            steps: Some(20),
            cfg: Some(6.5),
            sampler: Some("euler".into()),
            model: Some("v1-5.safetensors".into()),
        };
        assert_eq!(found(PLAIN), Some(expected));
    }

    #[test]
    fn texts_are_followed_through_other_nodes() {
        let embedded = found(
            r#"{
            "1": {"class_type": "SamplerCustomAdvanced", "inputs": {"guider": ["2", 0], "noise": ["8", 0], "sigmas": ["9", 0]}},
            "2": {"class_type": "BasicGuider", "inputs": {"conditioning": ["3", 0], "model": ["10", 0]}},
            "3": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["4", 0]}},
            "4": {"class_type": "CLIPTextEncode", "inputs": {"text": ["5", 0], "clip": ["11", 0]}},
            "5": {"class_type": "Text Concatenate", "inputs": {"text_a": ["6", 0], "text_b": ["7", 0], "delimiter": " | "}},
            "6": {"class_type": "PrimitiveString", "inputs": {"value": "a cat"}},
            "7": {"class_type": "Reroute", "inputs": {"": ["12", 0]}},
            "12": {"class_type": "Text Multiline", "inputs": {"text": "oil painting"}},
            "8": {"class_type": "RandomNoise", "inputs": {"noise_seed": 42}},
            "9": {"class_type": "BasicScheduler", "inputs": {"steps": 8}},
            "10": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux.safetensors"}}}"#,
        )
        .unwrap();
        assert_eq!(embedded.prompt, "a cat | oil painting");
        assert_eq!(
            (embedded.seed, embedded.steps, embedded.cfg),
            (Some(42), Some(8), Some(3.5))
        );
        assert_eq!(embedded.model.as_deref(), Some("flux.safetensors"));
        assert_eq!(embedded.negative_prompt, None);
    }

    #[test]
    fn of_several_samplers_and_regions_the_first_counts() {
        let second = PLAIN.replacen(
            '{',
            r#"{"10": {"class_type": "KSampler", "inputs": {"seed": 9, "steps": 5, "positive": ["11", 0],
                "negative": ["7", 0], "latent_image": ["3", 0]}},
               "11": {"class_type": "CLIPTextEncode", "inputs": {"text": "a large cat"}},
               "12": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0],
                "conditioning_2": ["11", 0]}},"#,
            1,
        );
        let embedded = found(&second).unwrap();
        assert_eq!(
            (embedded.prompt.as_str(), embedded.seed),
            ("a cat", Some(7))
        );
        let regions = second.replace(r#""positive": ["6", 0]"#, r#""positive": ["12", 0]"#);
        assert_eq!(found(&regions).unwrap().prompt, "a cat");
        let joined = regions.replace("ConditioningCombine", "ConditioningConcat");
        assert_eq!(found(&joined).unwrap().prompt, "a cat\na large cat");
        let whole = format!(r#"{{"prompt": {PLAIN}, "workflow": {{"nodes": []}}}}"#);
        let texts = Texts(vec![(USER_COMMENT.to_owned(), whole)]);
        assert_eq!(find(&texts).unwrap().prompt, "a cat");
    }

    #[test]
    fn circles_and_broken_graphs_end() {
        let circle = PLAIN.replace(r#""text": "a cat""#, r#""text": ["6", 0]"#);
        assert_eq!(found(&circle), None);
        let circle = PLAIN.replace(r#""latent_image": ["5", 0]"#, r#""latent_image": ["3", 0]"#);
        assert_eq!(found(&circle).unwrap().prompt, "a cat");
        for broken in [
            "{}",
            "{\"3\": 5}",
            "{\"3\": {\"class_type\": \"KSampler\"}}",
            "{\"3\": {\"class_type\": \"KSampler\", \"inputs\": {\"positive\": [\"9\", 0], \"steps\": 1}}}",
            "a cat",
        ] {
            assert_eq!(found(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_civitai_was_asked_for_stands_beside_the_nodes() {
        let asked = r#"{"1": {"class_type": "LoadImage", "inputs": {}},
            "extraMetadata": "{\"prompt\": \"a cat\", \"negativePrompt\": \"dog\", \"steps\": 25, \"cfgScale\": 4}"}"#;
        let embedded = find(&Texts(vec![(USER_COMMENT.to_owned(), asked.to_owned())])).unwrap();
        assert_eq!(
            (embedded.generator.as_str(), embedded.prompt.as_str()),
            ("civitai", "a cat")
        );
        assert_eq!((embedded.steps, embedded.cfg), (Some(25), Some(4.0)));
    }
}
