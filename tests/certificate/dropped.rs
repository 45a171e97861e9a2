//! Checks of certificates over the network that are dropped at each of their awaits.

use std::net::SocketAddr;

use matrix_delegation::certificate::CheckStatus;
use tokio::runtime::Handle;

use super::network::{WATCHDOG, probe, serve, shows};
use super::polled::{polled, until_over};
use super::*;

#[tokio::test]
async fn a_check_that_is_dropped_at_any_await_leaves_nothing() {
    let authority = Authority::new("root");
    let (good, mut seen) = serve(shows(&authority, &params(&["m.example"]))).await;
    let (wrong, mut also_seen) = serve(shows(&authority, &params(&["a.example"]))).await;
    let probe = probe(&authority);
    let addresses: [SocketAddr; 2] = [good, wrong];
    let target = FixedTarget::new(addresses).unwrap();
    let target = target.target(&"m.example".parse().unwrap(), Now::EPOCH).unwrap();
    let settled = async || {
        let wait = async {
            // Those that accept.
            while Handle::current().metrics().num_alive_tasks() > 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(WATCHDOG, wait).await.expect("a task lives on");
    };
    let awaits = until_over(async |polls| {
        let checks = polled(probe.check_certificates(&target), polls).await;
        // A connection that stayed open would keep a task of the server.
        settled().await;
        let again =
            tokio::time::timeout(WATCHDOG, probe.check_certificates(&target)).await.unwrap();
        let statuses: Vec<_> = again.iter().map(|it| it.status).collect();
        assert_eq!(statuses, [CheckStatus::Valid, CheckStatus::WrongName], "{polls}");
        settled().await;
        checks.is_some()
    })
    .await;
    assert!(awaits > 2, "{awaits}");
    // Both were asked each time.
    assert!(seen.try_recv().is_ok() && also_seen.try_recv().is_ok());
}
