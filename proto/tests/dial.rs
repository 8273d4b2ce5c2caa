//! What a dialled line says with each call, and what is wrong where there is none.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, as it should")]

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::Server;
use tonic::{Code, Request, Status};

use tally_proto::dial::{Credential, Dial, DialError, TlsFiles};
use tally_proto::frames::{Shape, download, path};
use tally_proto::v1::StreamTaskRequest;
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::{Secret, SecretError};

type Heard = Arc<Mutex<Vec<String>>>;

/// A master that refuses all calls, and notes who was calling.
async fn served() -> (String, Heard) {
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    let note = move |request: Request<()>| {
        let who = request.metadata().get("authorization");
        let who = who.map_or("nobody", |who| who.to_str().unwrap());
        noted.lock().unwrap().push(who.to_owned());
        Err::<Request<()>, _>(Status::unauthenticated("who are you?"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = Server::builder().layer(InterceptorLayer::new(note));
    let server = server.add_routes(Routes::default());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, heard)
}

async fn call_both_ways(dial: &Dial) {
    let line = dial.connect().await.unwrap();
    let request = StreamTaskRequest::default();
    let bulk = download(line.clone(), path::STREAM_TASK, &request, Shape::TASK).await;
    assert_eq!(bulk.err().unwrap().code(), Code::Unauthenticated);
    let generated = ClusterClient::new(line).stream_task(request).await;
    assert_eq!(generated.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn each_call_says_who_is_calling() {
    let (url, heard) = served().await;
    call_both_ways(&Dial::plain(&url)).await;
    let file = std::env::temp_dir().join(format!("tally-dial-{}", std::process::id()));
    let credential = Some(Credential::File(file.clone()));
    let dial = Dial { credential, ..Dial::plain(&url) };
    for token in ["first", "second"] {
        // Read again for each connection.
        std::fs::write(&file, format!("{token}\n")).unwrap();
        call_both_ways(&dial).await;
    }
    std::fs::remove_file(&file).unwrap();
    let error = dial.connect().await.unwrap_err();
    assert!(matches!(error, DialError::Secret(SecretError::Read { .. })) && error.is_ours());
    let known = Secret::new("third", "a test").unwrap();
    let dial = Dial { credential: Some(Credential::Known(known)), ..Dial::plain(&url) };
    call_both_ways(&dial).await;
    assert!(!format!("{dial:?}").contains("third"));
    let words = ["nobody", "Bearer first", "Bearer second", "Bearer third"];
    let twice: Vec<_> = words.iter().flat_map(|word| [*word; 2]).collect();
    assert_eq!(*heard.lock().unwrap(), twice);
}

#[tokio::test]
async fn what_is_wrong_here_is_told_from_what_is_wrong_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https"] {
        let error = Dial::plain(format!("{scheme}://{free}")).connect().await.unwrap_err();
        assert!(!error.is_ours() && error.to_string().contains("refused"), "{error}");
        assert_eq!(Status::from(error).code(), Code::Unavailable);
    }
    let tls = TlsFiles { ca: Some("/nowhere/ca.pem".into()), identity: None };
    let dial = Dial { tls, ..Dial::plain(format!("https://{free}")) };
    let error = dial.connect().await.unwrap_err();
    assert!(error.is_ours() && error.to_string().contains("/nowhere/ca.pem"), "{error}");
    for url in ["", "https://", "https://a b"] {
        let error = Dial::plain(url).connect().await.unwrap_err();
        assert!(error.is_ours(), "{url:?}: {error}");
        assert_eq!(Status::from(error).code(), Code::InvalidArgument);
    }
}
