//! Limits how many discoveries are under way at a time, first come, first served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::QueueLimits;
use crate::runtime::single_flight::TooMany;
use crate::runtime::{Runtime, within};

/// The permits for discoveries. Tokio's semaphore is fair and needs no runtime.
pub(super) struct Queue {
    permits: Arc<Semaphore>,
    limit: usize,
    wait: Duration,
}

impl Queue {
    pub(super) fn new(limits: &QueueLimits) -> Self {
        let limit = limits.discoveries.min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(limit)), limit, wait: limits.wait }
    }

    /// Waits for a permit, which is returned when it is dropped. Fails if that takes too long.
    pub(super) async fn permit(
        &self,
        runtime: &dyn Runtime,
    ) -> Result<OwnedSemaphorePermit, TooMany> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = within(runtime, self.wait, permit).await;
        permit.and_then(Result::ok).ok_or(TooMany { limit: self.limit })
    }

    /// Returns whether a permit is free now.
    pub(super) fn has_room(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// Takes a permit, if one is free now.
    pub(super) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}
