//! The ports: free, or held by a master.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use tally_proto::dial::Dial;

use super::Check;
use crate::client::Client;

/// How long somebody on this machine may take to say who they are.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an HTTP answer that are looked at: a master's has a few hundred.
const MAX_ANSWER: u64 = 64 << 10;

/// The port for gRPC.
pub(super) async fn grpc_port(address: SocketAddr) -> Check {
    judge("gRPC port", "--grpc", address, is_master(&format!("http://{address}"))).await
}

/// The port for HTTP.
pub(super) async fn http_port(address: SocketAddr) -> Check {
    judge("HTTP port", "--http", address, version(address)).await
}

async fn judge(
    name: &'static str,
    flag: &str,
    address: SocketAddr,
    holder: impl Future<Output = Option<String>>,
) -> Check {
    let free = match TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            return match timeout(PATIENCE, holder).await.ok().flatten() {
                Some(version) => {
                    Check::ok(name, format!("{address} is held by a tally master, {version}"))
                }
                None => Check::fail(
                    name,
                    format!("{address} is held by another program"),
                    format!("stop that, or give the master another: {flag} ADDR:PORT"),
                ),
            };
        }
        Err(error) => return can_not_listen((name, flag), address, &error),
    };
    if address.ip().is_loopback() {
        return free;
    }
    let advice = "others could read and delete jobs: the master wants --insecure, and a network where \
                  that is no harm";
    Check::warn(name, format!("{}, and is not of this machine alone", free.found), advice)
}

fn can_not_listen(
    (name, flag): (&'static str, &str),
    address: SocketAddr,
    error: &io::Error,
) -> Check {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => "ports below 1024 are for root",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => "give the master another",
    };
    let found = format!("{address} can not be listened on: {error}");
    Check::fail(name, found, format!("{advice}: {flag} ADDR:PORT"))
}

/// The version of the master that answers gRPC there.
async fn is_master(url: &str) -> Option<String> {
    let mut client = Client::connect(&Dial::plain(url)).await.ok()?;
    match client.cluster().await {
        Ok(view) => Some(format!("version {}", view.version)),
        // One that is older does not say.
        Err(_) => client.slaves().await.ok().map(|_| "of an older version".to_owned()),
    }
}

/// The version of the master that answers HTTP there.
async fn version(address: SocketAddr) -> Option<String> {
    #[derive(Deserialize)]
    struct Health {
        version: String,
        workers: u32,
    }
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let health: Health = serde_json::from_str(body).ok()?;
    Some(format!("version {} with {} workers", health.version, health.workers))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[tokio::test]
    async fn a_port_is_free_or_whose_it_is() {
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = holder.local_addr().unwrap();
        let nobody = judge("port", "--x", address, async { None }).await;
        assert!(nobody.verdict == Verdict::Fail && nobody.advice.unwrap().contains("--x"));
        let master = judge("port", "--x", address, async { Some("version 9".to_owned()) }).await;
        assert!(master.verdict == Verdict::Ok && master.found.contains("version 9"));
        drop(holder);
        assert_eq!(judge("port", "--x", address, async { None }).await.verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn addresses_that_others_reach_or_that_are_not_ours() {
        let world = judge("port", "--x", "0.0.0.0:0".parse().unwrap(), async { None }).await;
        assert_eq!(world.verdict, Verdict::Warn);
        let elsewhere = judge("port", "--x", "192.0.2.1:0".parse().unwrap(), async { None }).await;
        assert_eq!(elsewhere.verdict, Verdict::Fail, "{elsewhere:?}");
    }
}
