//! A small HTTP server on this machine that answers well or badly, as a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The first byte of `Range: bytes=N-`.
    pub(super) fn range_start(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// How to answer.
#[derive(Clone)]
pub(super) enum Reply {
    /// The file, or the piece of it that was asked for.
    File(Vec<u8>),
    /// The whole file, whatever was asked for.
    NoRanges(Vec<u8>),
    /// The file, but the connection ends after so many bytes.
    Cut(Vec<u8>, usize),
    /// The file, but nothing comes after so many bytes.
    Stall(Vec<u8>, usize),
    /// The bytes without a length, until the connection ends.
    Endless(Vec<u8>),
    /// A redirect.
    To(String),
    /// A status without a body.
    Status(u16),
    /// Nothing at all.
    Silence,
}

/// A server that lives until the test's process ends.
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || {
                    let Some(request) = read_request(&stream) else {
                        return;
                    };
                    seen.lock().unwrap().push(request.clone());
                    // A client that has had enough hangs up, and that is its right.
                    let _ = write_reply(stream, &request, answer(&request));
                });
            }
        });
        Self { url, requests }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .filter_map(|line| {
            line.split_once(": ")
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect();
    Some(Request { path, headers })
}

fn write_reply(mut stream: TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    let close = "Connection: close\r\n\r\n";
    match reply {
        Reply::File(bytes) => match request.range_start() {
            Some(start) if start < bytes.len() => {
                let (end, total) = (bytes.len() - 1, bytes.len());
                write!(stream, "HTTP/1.1 206 Partial Content\r\n")?;
                write!(stream, "Content-Range: bytes {start}-{end}/{total}\r\n")?;
                write!(stream, "Content-Length: {}\r\n{close}", total - start)?;
                stream.write_all(&bytes[start..])?;
            }
            Some(_) => write!(stream, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\n{close}")?,
            None => whole(&mut stream, &bytes, bytes.len())?,
        },
        Reply::NoRanges(bytes) => whole(&mut stream, &bytes, bytes.len())?,
        Reply::Cut(bytes, sent) => whole(&mut stream, &bytes, sent)?,
        Reply::Stall(bytes, sent) => {
            whole(&mut stream, &bytes, sent)?;
            thread::sleep(Duration::from_secs(20));
        }
        Reply::Endless(bytes) => {
            write!(stream, "HTTP/1.1 200 OK\r\n{close}")?;
            stream.write_all(&bytes)?;
        }
        Reply::To(url) => {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n{close}"
            )?;
        }
        Reply::Status(status) => {
            write!(
                stream,
                "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n{close}"
            )?;
        }
        Reply::Silence => thread::sleep(Duration::from_secs(20)),
    }
    // Closing with unread bytes resets the connection; let the client close first.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let _ = stream.read(&mut [0; 64]);
    Ok(())
}

fn whole(stream: &mut TcpStream, bytes: &[u8], sent: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    )?;
    stream.write_all(&bytes[..sent])
}
