//! The server as a process: settings that it refuses, and Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;

use crate::{unprompt, with_index};

#[test]
fn settings_that_cannot_be_are_refused_in_one_line() {
    let (folder, _) = with_index();
    for (arguments, why) in [
        (&["--images", "prompts.txt"][..], "prompts.txt"),
        (&["--images", "nowhere"], "nowhere"),
        (&["--max-image-bytes", "999999999999"], "--max-memory-bytes"),
        (&["--bind", "203.0.113.1:1", "--api-key", "k"], "--bind"),
    ] {
        let all = [&["serve", "x.idx"], arguments].concat();
        let said = unprompt(folder.path(), all).failed(1);
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
    let said = unprompt(folder.path(), ["serve", "x.idx", "--api-key", "ключ"]).failed(1);
    assert!(said.contains("API key"), "{said}");
    let said = unprompt(folder.path(), ["serve", "x.idx", "--api-key", ""]).failed(2);
    assert!(said.contains("--api-key"), "{said}");
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_lets_what_was_begun_be_answered() {
    let (folder, _) = with_index();
    let server = Command::new(cargo_bin("unprompt"))
        .current_dir(folder.path())
        .args(["serve", "x.idx", "--bind", "127.0.0.1:0", "-q"])
        .args(["--batch-wait-ms", "3000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Running(server);
    let mut line = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let ask = |target: &str| {
        let mut client = TcpStream::connect(address).unwrap();
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        client
    };
    let read = |mut client: TcpStream| {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    let waiting = ask("/v1/search?q=wizard");
    let start = Instant::now();
    while !read(ask("/metrics")).contains("unprompt_queue_waiting{queue=\"texts\"} 1") {
        assert!(start.elapsed() < Duration::from_secs(3), "it never waits");
        thread::sleep(Duration::from_millis(20));
    }
    let pid = server.0.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let answer = read(waiting);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("portrait of an old wizard"), "{answer}");
    assert!(server.0.wait().unwrap().success());
}
