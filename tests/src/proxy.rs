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
    /// Bytes that may still go up before what comes down is swallowed; negative for no limit.
    answers_left: AtomicI64,
    /// Most bytes a second for each direction of each connection; 0 for no limit.
    rate: AtomicU64,
    /// Pieces so far.
    pieces: AtomicU64,
    /// Bytes that have been passed on so far, up and down.
    carried_up: AtomicU64,
    carried_down: AtomicU64,
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
        let weather = Arc::new(Weather {
            up_left: AtomicI64::new(-1),
            answers_left: AtomicI64::new(-1),
            ..Weather::default()
        });
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
                if weather.closed.load(Ordering::Relaxed) {
                    // It closed after this one had been let in, and perhaps after the others were cut.
                    let _ = client.shutdown(Shutdown::Both);
                }
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

    /// A network in two parts that do not hear of each other: everything is swallowed and nothing is
    /// refused, until [`Self::heal`].
    pub fn part(&self) {
        self.swallow_up();
        self.swallow_down();
    }

    /// Swallows what comes from the server once so many more bytes have gone to it, until
    /// [`Self::heal`]: what was sent arrives, and its acknowledgement does not.
    pub fn lose_answers_after(&self, bytes: u64) {
        self.weather.answers_left.store(bytes as i64, Ordering::Relaxed);
    }

    /// Whether what comes from the server is being swallowed.
    pub fn loses_answers(&self) -> bool {
        self.weather.swallow_down.load(Ordering::Relaxed)
    }

    /// Bytes that have gone to the server so far.
    pub fn carried_up(&self) -> u64 {
        self.weather.carried_up.load(Ordering::Relaxed)
    }

    /// Bytes that have come from the server so far.
    pub fn carried_down(&self) -> u64 {
        self.weather.carried_down.load(Ordering::Relaxed)
    }

    /// Passes on at most so many bytes a second in each direction of each connection, until
    /// [`Self::heal`].
    pub fn throttle(&self, bytes_a_second: u64) {
        self.weather.rate.store(bytes_a_second, Ordering::Relaxed);
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
        weather.rate.store(0, Ordering::Relaxed);
        weather.up_left.store(-1, Ordering::Relaxed);
        weather.answers_left.store(-1, Ordering::Relaxed);
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
        let mut held_open = open.lock().expect("no thread panics");
        // Those that have ended need no cutting.
        held_open.retain(|stream| stream.peer_addr().is_ok());
        held_open.push(held);
        drop(held_open);
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
                let carried = if up { &weather.carried_up } else { &weather.carried_down };
                carried.fetch_add(n as u64, Ordering::Relaxed);
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
        let micros = piece.len() as u64 * 1_000_000;
        if let Some(micros) = micros.checked_div(self.rate.load(Ordering::Relaxed)) {
            sleep(Duration::from_micros(micros));
        }
        let swallow = if up { &self.swallow_up } else { &self.swallow_down };
        let one_in = self.corrupt_one_in.load(Ordering::Relaxed);
        if one_in > 0 && self.pieces.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in) {
            let middle = piece.len() / 2;
            piece[middle] ^= 0x10;
        }
        !swallow.load(Ordering::Relaxed)
    }

    /// Whether the connections are to be cut, now that so many bytes more have come by.
    fn runs_out(&self, up: bool, bytes: usize) -> bool {
        if up && spent(&self.answers_left, bytes) {
            self.swallow_down.store(true, Ordering::Relaxed);
        }
        up && spent(&self.up_left, bytes)
    }
}

/// Takes `bytes` off what is left, if there is a limit; whether it has just been passed.
fn spent(left: &AtomicI64, bytes: usize) -> bool {
    if left.load(Ordering::Relaxed) < 0 {
        return false;
    }
    let over = left.fetch_sub(bytes as i64, Ordering::Relaxed) < bytes as i64;
    if over {
        left.store(-1, Ordering::Relaxed);
    }
    over
}
