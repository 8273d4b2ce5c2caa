//! A TCP proxy that is a bad network: it cuts, refuses, swallows, delays, throttles and damages what
//! goes through it. Between two real processes, on loopback, with threads of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Bytes passed on at a time.
const PIECE: usize = 16 << 10;

/// What the network does to everything that goes through it.
#[derive(Debug, Default)]
struct Weather {
    /// Connections are refused.
    closed: AtomicBool,
    /// What goes up (to the server), or down, is swallowed.
    swallow_up: AtomicBool,
    swallow_down: AtomicBool,
    /// Milliseconds before each piece.
    delay_ms: AtomicU64,
    /// One piece in so many has a bit flipped; 0 for none.
    corrupt_one_in: AtomicU64,
    /// Bytes that may still go up before all connections are cut; negative for no limit.
    up_left: AtomicI64,
    /// Pieces so far.
    pieces: AtomicU64,
}

/// A proxy. Everything ends when it is dropped.
pub struct Proxy {
    address: String,
    weather: Arc<Weather>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free loopback port and passes on to `server` (`ADDRESS:PORT`, or a URL of it).
    ///
    /// # Panics
    /// Where no port is free.
    pub fn start(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let weather = Arc::new(Weather { up_left: AtomicI64::new(-1), ..Weather::default() });
        let (open, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let proxy = Self { address, weather, open, over };
        let (weather, open, over) =
            (Arc::clone(&proxy.weather), Arc::clone(&proxy.open), Arc::clone(&proxy.over));
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                if weather.closed.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server) else { continue };
                pass_on(&client, &server, &weather, &open);
            }
        });
        proxy
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections; new ones may be made.
    ///
    /// # Panics
    /// Where one of its threads has.
    pub fn cut(&self) {
        for stream in self.open.lock().expect("no thread panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all connections and refuses new ones, until [`Self::heal`].
    pub fn close(&self) {
        self.weather.closed.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Swallows what goes to the server, until [`Self::heal`].
    pub fn swallow_up(&self) {
        self.weather.swallow_up.store(true, Ordering::Relaxed);
    }

    /// Swallows what comes from the server, until [`Self::heal`].
    pub fn swallow_down(&self) {
        self.weather.swallow_down.store(true, Ordering::Relaxed);
    }

    /// Holds each piece back for some time, until [`Self::heal`].
    pub fn delay(&self, by: Duration) {
        self.weather.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Flips a bit in one of so many pieces, until [`Self::heal`].
    pub fn corrupt(&self, one_in: u64) {
        self.weather.corrupt_one_in.store(one_in, Ordering::Relaxed);
    }

    /// Cuts all connections once so many more bytes have gone to the server.
    pub fn cut_after(&self, bytes: u64) {
        self.weather.up_left.store(bytes as i64, Ordering::Relaxed);
    }

    /// The sun shines. Connections through which something was swallowed or damaged are cut: no TCP
    /// stream has a hole in it.
    pub fn heal(&self) {
        let weather = &self.weather;
        let damaged = weather.swallow_up.swap(false, Ordering::Relaxed)
            | weather.swallow_down.swap(false, Ordering::Relaxed)
            | (weather.corrupt_one_in.swap(0, Ordering::Relaxed) > 0);
        weather.closed.store(false, Ordering::Relaxed);
        weather.delay_ms.store(0, Ordering::Relaxed);
        weather.up_left.store(-1, Ordering::Relaxed);
        if damaged {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(&self.address);
    }
}

fn pass_on(
    client: &TcpStream,
    server: &TcpStream,
    weather: &Arc<Weather>,
    open: &Arc<Mutex<Vec<TcpStream>>>,
) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    for (up, from, to) in [(true, client, server), (false, server, client)] {
        let (Ok(mut from), Ok(mut to), Ok(held)) =
            (from.try_clone(), to.try_clone(), from.try_clone())
        else {
            return;
        };
        open.lock().expect("no thread panics").push(held);
        let weather = Arc::clone(weather);
        spawn(move || {
            let mut piece = vec![0; PIECE];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                if !weather.let_through(up, &mut piece[..n]) {
                    continue;
                }
                if weather.runs_out(up, n) || to.write_all(&piece[..n]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

impl Weather {
    fn let_through(&self, up: bool, piece: &mut [u8]) -> bool {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            sleep(Duration::from_millis(delay));
        }
        let swallow = if up { &self.swallow_up } else { &self.swallow_down };
        let one_in = self.corrupt_one_in.load(Ordering::Relaxed);
        if one_in > 0 && self.pieces.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in) {
            let middle = piece.len() / 2;
            piece[middle] ^= 0x10;
        }
        !swallow.load(Ordering::Relaxed)
    }

    fn runs_out(&self, up: bool, bytes: usize) -> bool {
        if !up || self.up_left.load(Ordering::Relaxed) < 0 {
            return false;
        }
        let left = self.up_left.fetch_sub(bytes as i64, Ordering::Relaxed) - bytes as i64;
        if left < 0 {
            self.up_left.store(-1, Ordering::Relaxed);
        }
        left < 0
    }
}
