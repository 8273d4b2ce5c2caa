//! `tally health`: whether a master serves, by gRPC's own protocol for that. For those who ask every few seconds:
//! it costs a master nothing to answer.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::args::{MasterAddress, OutputFormat};
use crate::exit::{Kind, refusal, undialled};
use crate::output::show;

/// What slaves need of a master.
const SERVICE: &str = "tally.v1.Cluster";

/// How long a master may take: one that is well answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Serialize)]
struct Health {
    serving: bool,
}

pub(crate) async fn run(args: &MasterAddress, format: OutputFormat) -> anyhow::Result<()> {
    let dial = args.dial()?;
    let asking = async {
        let line = dial.connect().await.map_err(|error| undialled(&error))?;
        let request = HealthCheckRequest { service: SERVICE.to_owned() };
        HealthClient::new(line).check(request).await.map_err(|status| refusal(&status))
    };
    let silent = || {
        let text = format!("{} does not answer within {} s", args.url(), PATIENCE.as_secs());
        Kind::Unreachable.error(text)
    };
    let answer = timeout(PATIENCE, asking).await.map_err(|_| silent())?;
    let answer = answer?.into_inner();
    if answer.status() != ServingStatus::Serving {
        return Err(Kind::Unreachable.error(format!("{} is stopping", args.url())));
    }
    show(format, &Health { serving: true }, |_| "serving".to_owned())
}
