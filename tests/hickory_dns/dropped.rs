//! Look-ups that are dropped at each of their awaits.

use tokio::runtime::Handle;

use super::polled::{polled, until_over};
use super::server::reply;
use super::*;

/// Over UDP, over TCP after that, and where the first server fails. The server serves one connection at a
/// time: one that stayed open would keep it from the next look-up.
#[tokio::test]
async fn a_lookup_that_is_dropped_at_any_await_leaves_nothing() {
    let good = |query: &Message| records(query, [address("a.example.", 300, "192.0.2.1")]);
    let plain = Server::replying(good).await;
    let truncates = truncating(move |query| vec![bytes(&good(query))]).await;
    let fails = Server::replying(|query| reply(query, ResponseCode::ServFail)).await;
    for servers in [vec![&plain], vec![&truncates], vec![&fails, &truncates]] {
        let dns = asking(servers);
        let found = addresses(300, false, &["192.0.2.1"]);
        assert_eq!(lookup(&dns, a("a.example")).await, found);
        let before = Handle::current().metrics().num_alive_tasks();
        let awaits = until_over(async |polls| {
            let over = polled(dns.lookup(a("a.example")), polls).await;
            assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
            assert_eq!(lookup(&dns, a("a.example")).await, found, "{polls}");
            over.is_some_and(|over| {
                assert_eq!(over, found);
                true
            })
        })
        .await;
        assert!(awaits > 1, "{awaits}");
    }
}
