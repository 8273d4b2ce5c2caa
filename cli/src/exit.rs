//! Exit codes, which scripts rely on, and how an error becomes one.

use std::fmt;
use std::process::ExitCode;

use tally_proto::channel::reason;
use tally_proto::dial::DialError;
use tonic::{Code, Status};

/// The exit codes, as `tally --help` lists them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  something failed that has no code of its own
  2  the command line or the config file makes no sense
  3  the input is bad, or the job failed
  4  the job was cancelled
  5  the master can not be reached
  6  there is no such job
  7  the master wants a credential, or another one";

/// Why a command failed, as far as its exit code can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Usage = 2,
    JobFailed = 3,
    Cancelled = 4,
    Unreachable = 5,
    NoSuchJob = 6,
    NotAllowed = 7,
}

/// An error with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Failed {
    kind: Kind,
    message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

impl Kind {
    /// An error of this kind.
    pub(crate) fn error(self, message: impl Into<String>) -> anyhow::Error {
        Failed { kind: self, message: message.into() }.into()
    }
}

/// What a master's refusal means to the user.
pub(crate) fn refusal(status: &Status) -> anyhow::Error {
    let message = status.message().to_owned();
    match status.code() {
        _ if is_broken(status) => Kind::Unreachable.error(reason(status)),
        Code::Unavailable => Kind::Unreachable.error(message),
        Code::Unauthenticated | Code::PermissionDenied => {
            Kind::NotAllowed.error(not_allowed(&message))
        }
        Code::NotFound => Kind::NoSuchJob.error(message),
        Code::InvalidArgument | Code::FailedPrecondition => Kind::JobFailed.error(message),
        code => anyhow::anyhow!("{message} ({code:?})"),
    }
}

/// Why a master was not reached, and what that means.
pub(crate) fn undialled(error: &DialError) -> anyhow::Error {
    let kind = if error.is_ours() { Kind::Usage } else { Kind::Unreachable };
    kind.error(error.to_string())
}

/// The master's words, and what to do.
fn not_allowed(message: &str) -> String {
    format!(
        "the master refuses this: {message}; a credential is given by TALLY_API_KEY, --api-key-file, or \
         --tls-cert and --tls-key"
    )
}

/// Whether an error is one of the connection, so that it may go away by itself.
pub(crate) fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|failed| failed.kind == Kind::Unreachable)
}

/// Whether a call failed for its connection, and not for what was asked.
pub(crate) fn is_broken(status: &Status) -> bool {
    let source = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unavailable | Code::Aborted => true,
        // What a connection that breaks under a call looks like; a master says nothing of the kind.
        Code::Unknown | Code::Cancelled | Code::Internal => source || status.details().is_empty(),
        _ => false,
    }
}

/// Says on stderr what went wrong, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    crate::log::complain(&format!("tally: {error:#}"));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failed>().map_or(1, |failed| failed.kind as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_codes_that_the_help_lists() {
        assert_eq!(code(&anyhow::anyhow!("x")), 1);
        assert_eq!(code(&Kind::Usage.error("x")), 2);
        assert_eq!(code(&refusal(&Status::unavailable("x"))), 5);
        assert_eq!(code(&refusal(&Status::not_found("x")).context("more")), 6);
        assert_eq!(code(&refusal(&Status::invalid_argument("x"))), 3);
        assert_eq!(code(&refusal(&Status::unauthenticated("x"))), 7);
        assert_eq!(code(&refusal(&Status::permission_denied("x"))), 7);
        assert_eq!(code(&refusal(&Status::resource_exhausted("x"))), 1);
    }
}
