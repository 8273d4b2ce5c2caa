//! Spans, sent to a collector by OTLP over gRPC, on a runtime of its own: it outlives the one that
//! everything else runs on, so that the last spans are sent, too. A collector that does not answer costs
//! spans and nothing else.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use tally_proto::trace::{self, Propagator, Traceparent};

use crate::exit::Kind;

/// How long a batch of spans may take to the collector, and the last ones at the end of the process.
const PATIENCE: Duration = Duration::from_secs(3);

/// Spans on their way to a collector.
pub(crate) struct Otlp {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    runtime: Runtime,
}

impl Otlp {
    /// Exports the spans of a service to the collector at `url`, which need not be there yet.
    ///
    /// # Errors
    /// Where it is no URL.
    pub(crate) fn start(url: &str, service: &'static str) -> anyhow::Result<Self> {
        if !url.starts_with("http://") {
            let wanted =
                "http://HOST:PORT is wanted; a collector beyond this network needs a tunnel";
            return Err(Kind::Usage.error(format!("--otlp {url}: {wanted}")));
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .context("no thread to export spans on")?;
        // The connection is made on the runtime that it finds here.
        let entered = runtime.enter();
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(url).with_timeout(PATIENCE);
        let exporter = exporter
            .build()
            .map_err(|error| Kind::Usage.error(format!("--otlp {url}: {error}")))?;
        drop(entered);
        let version = KeyValue::new("service.version", tally_proto::BUILD);
        let resource =
            Resource::builder().with_service_name(service).with_attribute(version).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("tally");
        trace::install(Box::new(OfSpans));
        Ok(Self { provider, tracer, runtime })
    }

    /// What hands the spans over. Those of Tally alone: the exporter's own calls would make new ones for
    /// ever.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let targets = ["tally_master", "tally_slave", "tally_proto"];
        let of_tally = targets.map(|target| (target, LevelFilter::DEBUG));
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_threads(false)
            .with_location(false)
            .with_filter(Targets::new().with_targets(of_tally))
    }

    /// Sends what is left.
    pub(crate) fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last spans have not reached the collector");
        }
        self.runtime.shutdown_background();
    }
}

/// Names spans as OpenTelemetry does.
struct OfSpans;

impl Propagator for OfSpans {
    fn name(&self, span: &Span) -> Option<Traceparent> {
        let context = span.context();
        let context = context.span().span_context().clone();
        context.is_valid().then(|| Traceparent {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
        })
    }

    fn adopt(&self, span: &Span, parent: Traceparent) {
        let trace = TraceId::from_bytes(parent.trace.to_be_bytes());
        let of = SpanId::from_bytes(parent.span.to_be_bytes());
        let flags = TraceFlags::new(parent.flags);
        let parent = SpanContext::new(trace, of, flags, true, TraceState::default());
        // One that is not exported has no use for a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}
