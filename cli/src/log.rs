//! What is logged, and where spans go: the log to stderr as text or JSON, spans to a collector if there is
//! one. Secrets are never among either: nothing that is logged holds headers, queries or bodies.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use tracing::Subscriber;

use crate::args::{Args, Command, LogFormat};
#[cfg(feature = "otlp")]
use crate::otlp::Otlp;

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// What the end of the process has to wait for.
#[derive(Default)]
#[must_use = "spans that have not been sent are lost"]
pub(crate) struct Log {
    #[cfg(feature = "otlp")]
    otlp: Option<Otlp>,
}

impl Log {
    /// Sends what there is still to send.
    pub(crate) fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = self.otlp {
            otlp.finish();
        }
    }
}

/// Sends the log to stderr, and spans where the command line says.
///
/// # Errors
/// Where that makes no sense.
pub(crate) fn start(args: &Args) -> anyhow::Result<Log> {
    let service = match &args.command {
        Command::Master(master) => Some(("tally-master", &master.spans)),
        Command::Slave(slave) => Some(("tally-slave", &slave.spans)),
        _ => None,
    };
    let level = args.log.as_deref().unwrap_or(if service.is_some() { "info" } else { "warn" });
    // What passes on an AMQP connection has its password in it.
    let level = &format!("{level},lapin=off");
    let _ = FORMAT.set(args.log_format);
    #[cfg(feature = "otlp")]
    if let Some((name, spans)) = service
        // A variable of the environment may be there and empty.
        && let Some(url) = spans.otlp.as_deref().filter(|url| !url.is_empty())
    {
        let otlp = Otlp::start(url, name)?;
        // Each has a filter of its own: what is exported is not what is logged.
        let lines = lines(args.log_format).with_filter(EnvFilter::new(level));
        tracing_subscriber::registry().with(lines).with(otlp.layer()).init();
        return Ok(Log { otlp: Some(otlp) });
    }
    let level = EnvFilter::new(level);
    tracing_subscriber::registry().with(level).with(lines(args.log_format)).init();
    Ok(Log::default())
}

/// The log's lines.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(
    format: LogFormat,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colours).boxed()
        }
        LogFormat::Json => lines.json().boxed(),
    }
}

/// Says something that is no log line, and that whoever has started the process waits for: whatever the
/// level is, and in the log's format.
pub(crate) fn say(message: &str) {
    say_at("INFO", message);
}

/// The same of what has gone wrong, so that the process ends.
pub(crate) fn complain(message: &str) {
    say_at("ERROR", message);
}

fn say_at(level: &str, message: &str) {
    match FORMAT.get() {
        Some(LogFormat::Json) => {
            let line = json!({"level": level, "fields": {"message": message}, "target": "tally"});
            eprintln!("{line}");
        }
        _ => eprintln!("{message}"),
    }
}
