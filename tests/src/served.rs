//! A small HTTP server whose answers a test makes up, good ones and bad ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as the server has seen it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its path, with its query.
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A header's value, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status line without its version, headers, and a body.
    Whole(String, Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// A head, a part of a body, and then nothing.
    Stall(Vec<u8>),
    /// A body that does not end.
    Endless,
}

impl Reply {
    /// `200`
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole("200 OK".to_owned(), body.into())
    }

    /// `200` with headers, each ending with CR LF.
    pub fn with(headers: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(format!("200 OK\r\n{}", headers.trim_end()), body.into())
    }

    /// A status without a body.
    pub fn status(status: &str) -> Self {
        Self::Whole(status.to_owned(), Vec::new())
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Self {
        Self::status(&format!("302 Found\r\nlocation: {to}"))
    }
}

type Handler = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The server. Its threads end with the process.
#[derive(Clone)]
pub struct Served {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub base: String,
    handler: Arc<Mutex<Arc<Handler>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Served {
    /// Starts one that answers as `handler` says.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let handler: Handler = Box::new(handler);
        let server = Self {
            base: format!("http://{address}"),
            handler: Arc::new(Mutex::new(Arc::new(handler))),
            requests: Arc::default(),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // A client that goes away is no failure of a test.
                std::thread::spawn(move || drop(server.serve(stream)));
            }
        });
        server
    }

    /// Answers otherwise from now on.
    ///
    /// # Panics
    /// Never: whoever holds the lock does not panic.
    pub fn answer(&self, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        let handler: Handler = Box::new(handler);
        *self.handler.lock().expect("nobody panics") = Arc::new(handler);
    }

    /// The requests so far.
    ///
    /// # Panics
    /// Never: whoever holds the lock does not panic.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics").clone()
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let Some(first) = lines.next().transpose()? else { return Ok(()) };
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let request = Request { path, headers };
        self.requests.lock().expect("nobody panics").push(request.clone());
        let handler = Arc::clone(&self.handler.lock().expect("nobody panics"));
        match handler(&request) {
            Reply::Whole(head, body) => {
                let length = body.len();
                write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n")?;
                stream.write_all(&body)
            }
            // Until the other side has had enough.
            Reply::Hang => stream.read(&mut [0; 16]).map(drop),
            Reply::Stall(part) => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n")?;
                stream.write_all(&part)?;
                stream.read(&mut [0; 16]).map(drop)
            }
            Reply::Endless => {
                write!(stream, "HTTP/1.1 200 OK\r\n\r\nSong,Date,Number of Plays\n")?;
                let line = b"a,2020-01-01,1\n".repeat(1000);
                loop {
                    stream.write_all(&line)?;
                }
            }
        }
    }
}
