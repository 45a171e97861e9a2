//! Dialling within the limits of a fetch.

use std::io;
use std::time::Duration;

use super::attempt::{Deadline, Failed};
use super::dial::DialStream;
use crate::core::well_known::fetch::{Fetch, FetchFailureKind};
use crate::runtime::BoxFuture;

/// The stream, if it opens in time.
pub(super) async fn within(
    dialled: BoxFuture<'_, io::Result<Box<dyn DialStream>>>,
    fetch: &Fetch,
    end: Deadline,
) -> Result<Box<dyn DialStream>, Failed> {
    let dialled = async { dialled.await.map_err(|error| not_connected(&error)) };
    let limit: Duration = fetch.limits.connect;
    end.of_phase(limit).bound(FetchFailureKind::ConnectTimeout, dialled).await
}

fn not_connected(error: &io::Error) -> Failed {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FetchFailureKind::Refused,
        io::ErrorKind::TimedOut => FetchFailureKind::ConnectTimeout,
        io::ErrorKind::Unsupported => FetchFailureKind::Adapter,
        _ => FetchFailureKind::Connect,
    };
    Failed::because(kind, error)
}
