//! New generations of the index, more requests than there is room for, and stopping.

use std::fs;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use crate::support::{PROMPTS, add, png, prompts, server, until};

#[test]
fn a_new_generation_is_taken_up_while_requests_go_on() {
    let server = server(|_| {});
    let new = "a robot drinking tea";
    let found = || {
        let answer = server.get("/v1/search?q=robot&mode=keyword").json();
        prompts(&answer).contains(&new)
    };
    assert!(!found());
    add(&server.index, &[new]);
    until("it is taken up", found);
    assert_eq!(server.get("/v1/info").json()["index"]["generation"], 2);
    assert_eq!(server.metric("unprompt_index_generation"), 2.0);
}

#[test]
fn a_generation_that_cannot_be_read_leaves_the_one_before_until_it_can() {
    let server = server(|_| {});
    let finds = |prompt: &str| {
        let answer = server.get("/v1/search?q=a&mode=vector").json();
        prompts(&answer).contains(&prompt)
    };
    let manifest = server.index.join("MANIFEST");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, "broken").unwrap();
    // Long enough to be tried some times.
    thread::sleep(Duration::from_millis(200));
    assert!(finds(PROMPTS[0]));
    fs::write(&manifest, whole).unwrap();
    assert!(finds(PROMPTS[0]));
    // An index built anew has the same generation, and other prompts.
    let other = server.index.with_file_name("other");
    let new = "a robot drinking tea";
    add(&other, &[new]);
    fs::rename(&server.index, server.index.with_file_name("old")).unwrap();
    fs::rename(other, &server.index).unwrap();
    until("it is taken up", || finds(new));
    assert!(!finds(PROMPTS[0]));
    assert_eq!(server.get("/v1/info").json()["index"]["generation"], 1);
}

#[test]
fn what_there_is_no_room_for_is_refused_at_once() {
    let server = server(|config| {
        config.batching.queue = NonZeroUsize::MIN;
        config.batching.size = NonZeroUsize::MIN;
    });
    let image = png(64, 64);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let answer = server.post("/v1/reverse", "image/png", &image);
                    if answer.status == 429 {
                        answer.problem(429);
                        assert_eq!(answer.header("retry-after"), "1");
                    }
                    answer.status
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(count(200) + count(429), 24, "{statuses:?}");
    assert!(count(200) > 0 && count(429) > 0, "{statuses:?}");
    assert_eq!(server.post("/v1/reverse", "image/png", &image).status, 200);
}

#[test]
fn what_was_begun_is_answered_before_the_end() {
    let mut server = server(|config| config.batching.wait = Duration::from_secs(1));
    let url = server.url("/v1/embed");
    let client = thread::spawn(move || {
        let request = ureq::post(&url).header("content-type", "application/json");
        request.send(r#"{"texts": ["a fox"]}"#).unwrap().status()
    });
    until("it waits for its batch", || {
        server.metric("unprompt_queue_waiting{queue=\"texts\"}") == 1.0
    });
    server.stop();
    assert_eq!(client.join().unwrap(), 200);
    assert!(
        ureq::get(server.url("/health")).call().is_err(),
        "it has stopped"
    );
}
