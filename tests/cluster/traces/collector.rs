//! A collector: keeps the spans that it is sent.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span, and the service that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Found {
    /// An attribute, as text.
    pub(crate) fn attribute(&self, name: &str) -> String {
        text(&self.span.attributes, name)
    }
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.as_ref()?.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// The collector; stops when it is dropped.
pub(crate) struct Collector {
    url: String,
    spans: Spans,
    _runtime: Runtime,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Found>>>);

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Spans::default();
        let service = TraceServiceServer::new(spans.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, spans, _runtime: runtime }
    }

    /// The flags that send it spans.
    pub(crate) fn flags(&self) -> Vec<String> {
        vec!["--otlp".to_owned(), self.url.clone()]
    }

    /// All that it has been sent.
    pub(crate) fn spans(&self) -> Vec<Found> {
        self.spans.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_service in request.into_inner().resource_spans {
            let attributes = of_service.resource.unwrap_or_default().attributes;
            let service = text(&attributes, "service.name");
            let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let found = spans.map(|span| Found { service: service.clone(), span });
            self.0.lock().unwrap().extend(found);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
