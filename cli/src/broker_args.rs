//! The AMQP broker on the command line. A URL with a password in it is never shown again.

use std::fmt;
use std::str::FromStr;

use tally_master::broker::{Address, BadAddress, BrokerConfig, FilesQueue, OperationsQueue};

use crate::exit::Kind;

/// A broker's URL as it was given, password and all: the parser of the command line would repeat one
/// that makes no sense.
#[derive(Clone)]
pub(crate) struct BrokerUrl(String);

impl FromStr for BrokerUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerUrl")
    }
}

impl BrokerUrl {
    /// The address that it is.
    pub(crate) fn address(&self) -> anyhow::Result<Address> {
        self.0.parse().map_err(|error: BadAddress| Kind::Usage.error(format!("--amqp: {error}")))
    }
}

/// What a master takes from a broker.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BrokerArgs {
    /// Take operations and files from this AMQP broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://
    #[arg(
        long,
        value_name = "URL",
        env = "TALLY_AMQP",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) amqp: Option<BrokerUrl>,
    /// A queue of operations: NAME[?table=T&prefetch=N&dead_letter_refused=true]; may be repeated
    /// [default: tally.operations, where no queue of either kind is named]
    #[arg(long, value_name = "QUEUE", env = "TALLY_AMQP_OPERATIONS", value_delimiter = ',')]
    amqp_operations: Vec<OperationsQueue>,
    /// A queue of files: NAME[?prefetch=N&table=T&mode=M], or with other parameters of POST
    /// /api/v1/jobs; may be repeated [default: tally.files, where no queue of either kind is named]
    #[arg(long, value_name = "QUEUE", env = "TALLY_AMQP_FILES")]
    amqp_files: Vec<FilesQueue>,
    /// The exchange, and the queue behind it, for messages that can not be dealt with
    #[arg(long, value_name = "NAME", default_value = "tally.dead", env = "TALLY_AMQP_DEAD")]
    amqp_dead: String,
    /// How often a file is tried again that could not be fetched
    #[arg(long, value_name = "N", default_value = "5", env = "TALLY_AMQP_RETRIES")]
    amqp_retries: u32,
}

impl BrokerArgs {
    /// The configuration, if there is a broker.
    pub(crate) fn config(&self) -> anyhow::Result<Option<BrokerConfig>> {
        let Some(url) = &self.amqp else {
            let queues = self.amqp_operations.len() + self.amqp_files.len();
            return match queues {
                0 => Ok(None),
                _ => Err(Kind::Usage.error("queues are named, and no broker: give --amqp as well")),
            };
        };
        Ok(Some(BrokerConfig {
            operations: self.amqp_operations.clone(),
            files: self.amqp_files.clone(),
            dead_letter: self.amqp_dead.clone(),
            max_retries: self.amqp_retries,
            ..BrokerConfig::new(url.address()?)
        }))
    }
}
