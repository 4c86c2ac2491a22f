//! Clients that are slow, greedy, or gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Running, png, server, until};

/// A request to `/v1/reverse` that says it has a body of this length, and sends this much of it.
fn begin(server: &Running, length: usize, body: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /v1/reverse HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"
    );
    client.write_all(&[head.as_bytes(), body].concat()).unwrap();
    client
}

/// A request for an image of 16 MiB, more than the system keeps for who does not read it.
fn ask_for_image(server: &Running) -> TcpStream {
    let mut image = png(8, 8);
    image.resize(16 << 20, 0);
    std::fs::write(server.pictures.join("1.png"), image).unwrap();
    let mut client = TcpStream::connect(server.address).unwrap();
    client
        .write_all(b"GET /v1/images/1.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    client
}

/// The first bytes of its answer.
fn answered(mut client: TcpStream) -> String {
    let mut start = [0; 12];
    let patience = Some(Duration::from_secs(30));
    client.set_read_timeout(patience).unwrap();
    client.read_exact(&mut start).unwrap();
    String::from_utf8_lossy(&start).into_owned()
}

#[test]
fn a_body_that_stops_on_the_way_is_not_waited_for() {
    let server = server(|config| config.limits.client = Duration::from_millis(200));
    let client = begin(&server, 1000, &png(8, 8));
    assert_eq!(answered(client), "HTTP/1.1 408");
}

#[test]
fn a_body_that_says_it_is_too_long_is_refused_at_once() {
    let server = server(|_| {});
    let client = begin(&server, 1 << 30, b"");
    assert_eq!(answered(client), "HTTP/1.1 413");
}

#[test]
fn bodies_are_bounded_together() {
    let server = server(|config| {
        config.limits.image_bytes = 100_000;
        config.limits.json_bytes = 1000;
        config.limits.memory_bytes = 170_000;
    });
    // Its pixels, as the model takes them, are held as well.
    let image = png(8, 8);
    let ask = || server.post("/v1/reverse", "image/png", &image).status;
    assert_eq!(ask(), 200);
    let held = || server.metric("unprompt_memory_held_bytes");
    until("what was answered is free again", || held() == 0.0);
    let greedy = [90_000, 75_000].map(|length| begin(&server, 100_000, &vec![0; length]));
    until("what the others sent is held", || held() == 165_000.0);
    assert_eq!(ask(), 429);
    drop(greedy);
    until("what they held is free again", || held() == 0.0);
    assert_eq!(ask(), 200);
}

#[test]
fn long_answers_are_held_until_they_are_read() {
    let server = server(|config| config.limits.memory_bytes = 30 << 20);
    let held = || server.metric("unprompt_memory_held_bytes");
    let slow = ask_for_image(&server);
    until("the image is held", || held() > 16e6);
    assert_eq!(server.get("/v1/images/1.png").status, 429);
    drop(slow);
    until("it is free again", || held() == 0.0);
    let mut other = ask_for_image(&server);
    until("another one is held", || held() > 16e6);
    let mut left: usize = 16 << 20;
    while left > 0 {
        let mut piece = [0; 1 << 16];
        let read = other.read(&mut piece).unwrap();
        assert!(read > 0, "{left} bytes did not come");
        left = left.saturating_sub(read);
    }
    until("it is read", || held() == 0.0);
}

#[test]
#[cfg(target_os = "linux")]
fn who_reads_nothing_is_given_up() {
    let server = server(|config| config.limits.client = Duration::from_millis(300));
    let held = || server.metric("unprompt_memory_held_bytes");
    let _idle = ask_for_image(&server);
    until("the image is held", || held() > 16e6);
    until("it is held no longer", || held() == 0.0);
}

#[test]
fn who_has_gone_is_not_worked_for() {
    let server = server(|config| config.batching.wait = Duration::from_secs(2));
    let image = png(64, 64);
    let gone = begin(&server, image.len(), &image);
    until("it waits for its batch", || {
        server.metric("unprompt_queue_waiting{queue=\"images\"}") == 1.0
    });
    drop(gone);
    let stays = server.post("/v1/reverse", "image/png", &image);
    assert_eq!(stays.status, 200);
    assert_eq!(
        server.metric("unprompt_batch_size_sum{queue=\"images\"}"),
        1.0
    );
    assert_eq!(
        server.metric("unprompt_batch_size_count{queue=\"images\"}"),
        1.0
    );
}
