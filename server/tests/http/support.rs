//! A server with a small index.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use image::{ImageFormat, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use unprompt::data::row::Row;
use unprompt::device::Device;
use unprompt::indexing::Ingest;
use unprompt::matmul::Precision;
use unprompt::models::ModelStore;
use unprompt::predictor::Predictor;
use unprompt::text::SentenceEncoder;
use unprompt_index::{BuildOptions, ImageRecord};
use unprompt_server::{Config, Handle, Server};
use ureq::Agent;
use ureq::http::{Request, Response, request};

pub(crate) const PROMPTS: [&str; 4] = [
    "a red fox in the snow",
    "an owl at dusk, oil painting",
    "a lighthouse in a storm",
    "portrait of an old wizard",
];

pub(crate) fn sentences() -> SentenceEncoder {
    let store = ModelStore::from_env().unwrap();
    let files = store.pull("all-MiniLM-L6-v2", &mut ()).unwrap();
    SentenceEncoder::load(&files, &Device::Cpu, Precision::Full).unwrap()
}

/// Adds a prompt with an image to the index at `dir`, which may have to be made.
pub(crate) fn add(dir: &Path, prompts: &[&str]) {
    let sentences = sentences();
    let options = BuildOptions::default();
    let mut ingest = match dir.exists() {
        true => Ingest::open(dir, &sentences, options).unwrap(),
        false => Ingest::create(dir, &sentences, options).unwrap(),
    };
    for (prompt, number) in prompts.iter().zip(1..) {
        let image = ImageRecord {
            image_name: format!("{number}.png"),
            part_id: Some(7),
            seed: Some(number),
            step: Some(20),
            ..ImageRecord::default()
        };
        let row = Row {
            prompt: (*prompt).to_owned(),
            image: Some(image),
            vector: None,
        };
        ingest.take(row).unwrap();
    }
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    ingest.finish(go_on).unwrap();
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) index: PathBuf,
    /// Where its images are, if it has some.
    pub(crate) pictures: PathBuf,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    agent: Agent,
    _folder: TempDir,
}

/// A server of [`PROMPTS`], with settings changed by `change`.
pub(crate) fn server(change: impl FnOnce(&mut Config)) -> Running {
    start(Some("vit"), change)
}

/// The same, with this model or with none.
pub(crate) fn start(model: Option<&'static str>, change: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    add(&index, &PROMPTS);
    let mut config = Config::new(index.clone(), "127.0.0.1:0".parse().unwrap());
    config.images = Some(pictures.clone());
    config.reload_every = Duration::from_millis(20);
    change(&mut config);
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let predictor = model.map(|name| Predictor::open(name, &Device::Cpu).unwrap());
        let server = Server::bind(config, predictor, sentences()).unwrap();
        tell.send((server.address(), server.handle())).unwrap();
        server.run().unwrap();
    });
    let (address, handle) = told.recv().unwrap();
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    Running {
        address,
        index,
        pictures,
        handle,
        thread: Some(thread),
        agent: agent.into(),
        _folder: folder,
    }
}

/// Status, headers and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(response: Response<ureq::Body>) -> Self {
        let (parts, mut body) = response.into_parts();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.read_to_vec().unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What a problem of this status says.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers)
    }

    /// A request without a body.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::builder().method(method).uri(self.url(path));
        let request = with(request, headers).body(()).unwrap();
        Answer::of(self.agent.run(request).unwrap())
    }

    pub(crate) fn post(&self, path: &str, media_type: &str, body: &[u8]) -> Answer {
        self.post_with(path, &[("content-type", media_type)], body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = Request::post(self.url(path));
        let request = with(request, headers).body(body).unwrap();
        Answer::of(self.agent.run(request).unwrap())
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// What `/metrics` says of a name with its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asks it to stop, which it does when all is answered.
    pub(crate) fn stop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server failed");
        }
    }
}

fn with(mut request: request::Builder, headers: &[(&str, &str)]) -> request::Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A grey picture.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    RgbImage::from_pixel(width, height, image::Rgb([90, 90, 90]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A PNG file with one more text behind its header.
pub(crate) fn with_text(png: &[u8], keyword: &str, text: &str) -> Vec<u8> {
    let content = [b"tEXt", keyword.as_bytes(), b"\0", text.as_bytes()].concat();
    // Polynomial division, as PNG has it.
    let checksum = content.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    });
    let length = (content.len() - 4) as u32;
    let (header, rest) = png.split_at(33);
    let chunk = [
        &length.to_be_bytes()[..],
        &content,
        &(!checksum).to_be_bytes(),
    ];
    [header, &chunk.concat(), rest].concat()
}

/// The prompts of an answer's hits.
pub(crate) fn prompts(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["prompt"].as_str().unwrap())
        .collect()
}
