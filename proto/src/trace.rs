//! Which trace something belongs to, as it goes from process to process: W3C's `traceparent`. Tracing
//! itself knows nothing of that; whoever exports spans installs a [`Propagator`], and in a process that
//! has none no context is ever made.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::{HeaderName, HeaderValue};
use tracing::Span;

/// The header, of HTTP and of gRPC alike.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A span of some process, as others name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; not 0.
    pub trace: u128,
    /// The span within it; not 0.
    pub span: u64,
    /// Bit 0: somebody keeps the trace.
    pub flags: u8,
}

/// It is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no traceparent: VERSION-TRACE-SPAN-FLAGS in lower-case hexadecimal is")]
pub struct NoTraceparent;

impl Display for Traceparent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = NoTraceparent;

    /// A later version may have more fields behind the four that are known.
    fn from_str(text: &str) -> Result<Self, NoTraceparent> {
        let mut fields = text.split('-');
        let mut next = |digits: usize| {
            let field = fields.next().filter(|field| field.len() == digits)?;
            let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            let field = Some(field).filter(|field| field.chars().all(hex))?;
            u128::from_str_radix(field, 16).ok()
        };
        let (version, trace, span, flags) = (next(2), next(32), next(16), next(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags)
        else {
            return Err(NoTraceparent);
        };
        let more = fields.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == 0 || span == 0 {
            return Err(NoTraceparent);
        }
        // They had that many digits.
        Ok(Self { trace, span: span as u64, flags: flags as u8 })
    }
}

/// What knows the trace that a span belongs to.
pub trait Propagator: Send + Sync {
    /// How others are to name a span; `None` where it is not kept.
    fn name(&self, span: &Span) -> Option<Traceparent>;

    /// Makes a new span the child of another process's.
    fn adopt(&self, span: &Span, parent: Traceparent);
}

static PROPAGATOR: OnceLock<Box<dyn Propagator>> = OnceLock::new();

/// Installs the process's propagator. A second one is ignored.
pub fn install(propagator: Box<dyn Propagator>) {
    let _ = PROPAGATOR.set(propagator);
}

/// How others are to name a span. `None` where nobody exports spans, or it is not one that is exported.
pub fn name(span: &Span) -> Option<Traceparent> {
    let propagator = PROPAGATOR.get()?;
    if span.is_none() { None } else { propagator.name(span) }
}

/// The same, of the span that is under way here.
pub fn current() -> Option<Traceparent> {
    PROPAGATOR.get().and_then(|propagator| propagator.name(&Span::current()))
}

/// Makes a new span, into which nobody has gone yet, the child of another process's, where it has one.
pub fn adopt(span: &Span, parent: Option<Traceparent>) {
    if let (Some(propagator), Some(parent)) = (PROPAGATOR.get(), parent) {
        propagator.adopt(span, parent);
    }
}

/// The span that a request says it was sent in. One that is malformed is none.
pub fn of_headers(headers: &HeaderMap) -> Option<Traceparent> {
    PROPAGATOR.get()?;
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// Says in a request's headers which span it is sent in.
pub fn to_headers(headers: &mut HeaderMap) {
    let value = current().and_then(|parent| HeaderValue::try_from(parent.to_string()).ok());
    headers.extend(value.map(|value| (TRACEPARENT, value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let parent = Traceparent { trace: 0x1234 << 64, span: 0xabcd, flags: 1 };
        assert_eq!(parent.to_string(), "00-00000000000012340000000000000000-000000000000abcd-01");
        assert_eq!(parent.to_string().parse(), Ok(parent));
        let later = "cc-00000000000012340000000000000000-000000000000abcd-01-more";
        assert_eq!(later.parse(), Ok(parent));
    }

    #[test]
    fn what_is_none_is_refused() {
        let trace = "00000000000012340000000000000000";
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-000000000000abcd"),
            format!("00-{trace}-000000000000abcd-01-more"),
            format!("ff-{trace}-000000000000abcd-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-000000000000abcd-01", "0".repeat(32)),
            format!("00-{}-000000000000ABCD-01", trace.to_uppercase()),
            format!("00-+{}-000000000000abcd-01", &trace[1..]),
            format!("00-{}é-000000000000abcd-01", &trace[2..]),
        ] {
            assert_eq!(text.parse::<Traceparent>(), Err(NoTraceparent), "{text}");
        }
    }

    #[test]
    fn without_a_propagator_there_is_no_context() {
        let mut headers = HeaderMap::new();
        to_headers(&mut headers);
        assert!(headers.is_empty() && current().is_none());
        let parent = Traceparent { trace: 1, span: 1, flags: 1 }.to_string();
        headers.insert(TRACEPARENT, HeaderValue::try_from(parent).unwrap());
        assert_eq!(of_headers(&headers), None);
    }
}
