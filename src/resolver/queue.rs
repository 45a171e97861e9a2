//! Limits how many discoveries are under way at a time, first come, first served.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::QueueLimits;
use crate::runtime::Runtime;
use crate::runtime::single_flight::TooMany;

/// The permits for discoveries. Tokio's semaphore is fair and needs no runtime.
#[derive(Debug)]
pub(super) struct Queue {
    turns: Arc<Semaphore>,
    limit: usize,
    wait: Duration,
}

impl Queue {
    pub(super) fn new(limits: &QueueLimits) -> Self {
        let limit = limits.discoveries.min(Semaphore::MAX_PERMITS);
        Self { turns: Arc::new(Semaphore::new(limit)), limit, wait: limits.wait }
    }

    /// Waits for a permit, which is returned when it is dropped. Fails if that takes too long.
    pub(super) async fn turn(
        &self,
        runtime: &dyn Runtime,
    ) -> Result<OwnedSemaphorePermit, TooMany> {
        let turn = Box::pin(Arc::clone(&self.turns).acquire_owned());
        let overdue = runtime.sleep_until(runtime.now().monotonic + self.wait);
        match select(turn, overdue).await {
            Either::Left((Ok(turn), _)) => Ok(turn),
            _ => Err(TooMany { limit: self.limit }),
        }
    }

    /// Returns whether a permit is free now.
    pub(super) fn has_room(&self) -> bool {
        self.turns.available_permits() > 0
    }

    /// Takes a permit, if one is free now.
    pub(super) fn turn_at_once(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }
}
