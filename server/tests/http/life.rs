//! New generations of the index, more requests than there is room for, and stopping.

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{add, png, prompts, server};

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
    let start = Instant::now();
    while !found() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it is not taken up"
        );
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get("/v1/info").json()["index"]["generation"], 2);
    assert!(
        server
            .get("/metrics")
            .text()
            .contains("unprompt_index_generation 2")
    );
    // A generation that cannot be read leaves the one before.
    std::fs::write(server.index.join("MANIFEST"), "broken").unwrap();
    thread::sleep(Duration::from_millis(200));
    assert!(found());
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
    let mut server = server(|_| {});
    let url = server.url("/v1/embed");
    let texts: Vec<String> = (0..200)
        .map(|number| format!("text number {number}"))
        .collect();
    let body = serde_json::json!({ "texts": texts }).to_string();
    let client = thread::spawn(move || {
        let request = ureq::post(&url).header("content-type", "application/json");
        request.send(&body).unwrap().status().as_u16()
    });
    thread::sleep(Duration::from_millis(50));
    server.stop();
    assert_eq!(client.join().unwrap(), 200);
    assert!(
        ureq::get(server.url("/health")).call().is_err(),
        "it has stopped"
    );
}
