//! ComfyUI's graph of nodes, in the API's form, under `prompt`.
//!
//! The first sampler of the file says what the picture is; those after it mostly refine. Its positive and negative
//! input are followed, through whatever nodes lie between, to texts; of texts for several regions the first counts.
//! SwarmUI, TensorArt and Civitai write such graphs, too.

use std::cell::Cell;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::exif::USER_COMMENT;
use super::json::Object;
use super::{Embedded, Texts};

/// Nodes that are looked at of one graph.
const MAX_NODES: usize = 5000;

/// Links that are followed one behind the other, well within the stack of a thread.
const MAX_DEPTH: usize = 100;

/// Bytes of the longest name of a class of nodes.
const MAX_CLASS_BYTES: usize = 256;

/// What texts of one graph may cost: a step a node that is come to, however often, one for each of its inputs, and one for
/// each [`STEP_BYTES`] of a text that is copied. Without it a graph of links from all to all would take the square of its nodes.
const MAX_STEPS: usize = 50_000;
const STEP_BYTES: usize = 256;

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
    steps_left: Cell<usize>,
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
        (nodes.len() <= MAX_NODES && nodes.values().any(is_node)).then_some(Self {
            nodes,
            steps_left: Cell::new(MAX_STEPS),
        })
    }

    /// Takes steps, `depth` links behind the sampler; `None` if there are too few, or that is too far, which leaves none.
    fn step(&self, depth: usize, steps: usize) -> Option<()> {
        let left = self.steps_left.get().checked_sub(steps);
        let left = left.filter(|_| depth < MAX_DEPTH);
        self.steps_left.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    fn inputs(&self, node: &str) -> Option<&'a Map<String, Value>> {
        self.nodes.get(node)?.get("inputs")?.as_object()
    }

    fn class(&self, node: &str) -> &'a str {
        let class = self.nodes.get(node).and_then(|node| node.get("class_type"));
        let class = class.and_then(Value::as_str);
        class
            .filter(|it| it.len() <= MAX_CLASS_BYTES)
            .unwrap_or_default()
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
        // Half of a prompt is none.
        self.step(0, 1)?;
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
        self.texts(start?, side, &mut HashSet::new(), &mut found, 0);
        (!found.is_empty()).then(|| found.join("\n"))
    }

    fn texts(
        &self,
        node: &'a str,
        side: Side,
        seen: &mut HashSet<&'a str>,
        found: &mut Vec<String>,
        depth: usize,
    ) {
        let Some(inputs) = self.inputs(node) else {
            return;
        };
        if !seen.insert(node) || self.step(depth, 1 + inputs.len()).is_none() {
            return;
        }
        let own: Vec<String> = TEXT_INPUTS
            .iter()
            .filter_map(|name| self.string(inputs.get(*name)?, &mut HashSet::new(), depth))
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
                if !seen.contains(link) && !self.is_sampler(link) {
                    self.texts(link, side, seen, found, depth + 1);
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
    fn string(
        &self,
        value: &'a Value,
        seen: &mut HashSet<&'a str>,
        depth: usize,
    ) -> Option<String> {
        if let Some(text) = value.as_str() {
            self.step(depth, 1 + text.len() / STEP_BYTES)?;
            return Some(text.to_owned());
        }
        let node = self.link(value)?;
        let inputs = self.inputs(node)?;
        self.step(depth, 1 + inputs.len())?;
        if !seen.insert(node) {
            return None;
        }
        let parts = |mut names: Vec<&'a str>, seen: &mut HashSet<&'a str>| {
            names.sort_unstable();
            let parts = names
                .iter()
                .filter_map(|name| self.string(inputs.get(*name)?, seen, depth + 1));
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
            .find_map(|name| self.string(inputs.get(*name)?, seen, depth + 1));
        // A reroute has one input of any name.
        named.or_else(|| {
            let mut links = inputs.values().filter(|value| self.link(value).is_some());
            let only = links.next().filter(|_| links.next().is_none())?;
            self.string(only, seen, depth + 1)
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
    use std::time::{Duration, Instant};

    use serde_json::json;

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

    /// A sampler, and behind it `count` nodes, each of these inputs by its number.
    fn chain(count: usize, inputs: impl Fn(usize) -> Value) -> String {
        let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
        let sampler = node("KSampler", json!({"steps": 5, "positive": ["n0", 0]}));
        let nodes = (0..count).map(|at| (format!("n{at}"), node("Reroute", inputs(at))));
        let graph: Map<String, Value> = nodes.chain([("0".to_owned(), sampler)]).collect();
        Value::Object(graph).to_string()
    }

    #[test]
    fn no_graph_takes_long_or_deep() {
        let text = |at| json!({"text": format!("a cat {at}")});
        let reroutes = |count| {
            let last = count - 1;
            chain(count, move |at| match at == last {
                true => text(at),
                false => json!({"any": [format!("n{}", at + 1), 0]}),
            })
        };
        assert_eq!(found(&reroutes(50)).unwrap().prompt, "a cat 49");
        assert_eq!(found(&reroutes(4900)), None);
        // Half of a prompt is none: one part of it is too far.
        let parts = chain(400, |at| match at {
            0 => json!({"text": ["n1", 0]}),
            1 => json!({"text_a": ["n399", 0], "text_b": ["n2", 0]}),
            399 => text(399),
            398 => text(398),
            _ => json!({"any": [format!("n{}", at + 1), 0]}),
        });
        let parts = parts.replacen(
            r#""n1":{"class_type":"Reroute""#,
            r#""n1":{"class_type":"Concat""#,
            1,
        );
        assert!(parts.contains("Concat"));
        assert_eq!(found(&parts), None);
        // Conditioning that leads to all texts, each of which leads through all others to none.
        let start = Instant::now();
        let from_all = chain(4900, |at| {
            let links = TEXT_INPUTS
                .iter()
                .map(|name| ((*name).to_owned(), json!(["n2450", 0])));
            match at {
                0..2450 => links
                    .chain([("next".to_owned(), json!([format!("n{}", at + 1), 0]))])
                    .collect(),
                4899 => json!({}),
                _ => json!({"any": [format!("n{}", at + 1), 0]}),
            }
        });
        assert_eq!(found(&from_all), None);
        // A node of many inputs that many lead to, whose class has a long name.
        let wide = chain(4900, |at| match at {
            4899 => (0..100_000)
                .map(|to| (format!("i{to}"), json!(["n4898", 0])))
                .collect(),
            _ => {
                let links = TEXT_INPUTS
                    .iter()
                    .map(|name| ((*name).to_owned(), json!(["n4899", 0])));
                links
                    .chain([("next".to_owned(), json!([format!("n{}", at + 1), 0]))])
                    .collect()
            }
        });
        let long = format!(r#""n4899":{{"class_type":"{}""#, "Reroute".repeat(1 << 18));
        let wide = wide.replacen(r#""n4899":{"class_type":"Reroute""#, &long, 1);
        assert!(
            wide.len() > 3 << 20 && wide.len() < 8 << 20,
            "{}",
            wide.len()
        );
        assert_eq!(found(&wide), None);
        // One long text that many copy.
        let copied = chain(4900, |at| match at {
            0 => (1..4000)
                .map(|to| (format!("c{to}"), json!([format!("n{to}"), 0])))
                .collect(),
            4899 => json!({"text": "cat ".repeat(1 << 20)}),
            _ => json!({"text": ["n4899", 0]}),
        });
        assert_eq!(found(&copied), None);
        assert!(start.elapsed() < Duration::from_secs(10));
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
