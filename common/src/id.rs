//! Identities: of jobs, tasks, slaves and sessions.
//!
//! Newtypes over UUIDs, so that one can never stand where another belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(
            feature = "openapi",
            derive(utoipa::ToSchema),
            schema(value_type = String, format = "uuid")
        )]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID that somebody else made.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_newtype! {
    /// A job's id: a UUID v7, so that jobs sort by when they were opened.
    JobId
}
uuid_newtype! {
    /// A task's id, under which its partial is accepted once: see [`MessageId::of_task`].
    MessageId
}
uuid_newtype! {
    /// One connection of a slave to the master, from Join to its end.
    SessionId
}
uuid_newtype! {
    /// A slave process. It keeps its id when it reconnects, and has a new one when it restarts.
    SlaveId
}

/// Number of a task within its job, in input order, from 0.
pub type TaskNumber = u32;

/// Number of an attempt at a task, from 1.
pub type Attempt = u32;

impl MessageId {
    /// The message id of a job's task: the UUID v5 of the task's number in the job's namespace.
    /// A pure function, so a restarted master gives the same task the same id.
    pub fn of_task(job: JobId, number: TaskNumber) -> Self {
        Self(Uuid::new_v5(&job.0, &number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_depends_on_job_and_number() {
        let (a, b) = (JobId(Uuid::from_u128(1)), JobId(Uuid::from_u128(2)));
        assert_eq!(MessageId::of_task(a, 7), MessageId::of_task(a, 7));
        assert_ne!(MessageId::of_task(a, 7), MessageId::of_task(a, 8));
        assert_ne!(MessageId::of_task(a, 7), MessageId::of_task(b, 7));
    }
}
