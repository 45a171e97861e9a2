//! Every row of the tour, the golden table among them, with the real adapters over real sockets.

use std::net::IpAddr;

use crate::internet::check::{Client, config, differences};
use crate::internet::scenarios::{self, ALLOWED, STEPS};
use matrix_delegation::config::Speculation;
use matrix_delegation::resolver::Provenance;
use matrix_delegation::{Config, Step};

async fn check_all_rows(config: Config) {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config);
    let mut wrong = Vec::new();
    for row in scenarios::rows() {
        let result = client.resolve(row.server_name).await;
        let mut found = differences(row, &result);
        if let Ok(resolution) = &result {
            found.extend(client.reach(resolution).await);
        }
        wrong.extend(found.into_iter().map(|it| format!("{}: {it}", row.server_name)));
    }
    assert_eq!(wrong, [""; 0]);
    let allowed: Vec<ipnet::IpNet> = ALLOWED.iter().map(|it| it.parse().unwrap()).collect();
    let outside: Vec<IpAddr> = internet
        .dials()
        .iter()
        .map(std::net::SocketAddr::ip)
        .filter(|address| !allowed.iter().any(|range| range.contains(address)))
        .collect();
    assert_eq!(outside, [] as [IpAddr; 0], "connections to blocked addresses");
}

#[tokio::test]
async fn every_row_is_as_it_says() {
    check_all_rows(config()).await;
}

#[tokio::test]
async fn every_row_is_the_same_without_speculation() {
    check_all_rows(config().with_speculation(Speculation::Off)).await;
}

#[tokio::test]
async fn all_rows_at_once_are_the_same() {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config());
    let client = &client;
    let results = futures_util::future::join_all(
        scenarios::rows().map(async |row| (row, client.resolve(row.server_name).await)),
    )
    .await;
    for (row, result) in results {
        assert_eq!(differences(row, &result), [""; 0], "{}", row.server_name);
    }
}

#[test]
fn every_step_has_a_row() {
    let steps: Vec<String> = Step::ALL.iter().map(ToString::to_string).collect();
    let rows: Vec<String> = STEPS
        .iter()
        .filter_map(|row| match &row.expect {
            scenarios::Expect::Target(target) => Some(target.step.to_owned()),
            scenarios::Expect::Error { .. } => None,
        })
        .collect();
    assert_eq!(rows, steps);
}

#[tokio::test]
async fn a_second_time_nothing_is_asked() {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config());
    for row in STEPS {
        client.resolve(row.server_name).await.unwrap();
    }
    internet.clear_logs();
    for row in STEPS {
        let found = client.resolve(row.server_name).await.unwrap();
        assert_eq!(found.provenance(), Provenance::Cached, "{}", row.server_name);
    }
    assert_eq!(internet.questions().len(), 0);
    assert_eq!(internet.requests().len(), 0);
    assert_eq!(internet.dials(), []);
}

#[tokio::test]
async fn the_fetch_says_what_it_should() {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config());
    client.resolve("step-3-3.example").await.unwrap();
    let request = internet.requests().pop().unwrap();
    let shown = format!("{request:?}");
    assert!(shown.contains("step-3-3.example"), "{shown}");
    assert!(shown.contains("matrix-delegation/"), "{shown}");
    assert!(shown.contains("http/1.1"), "{shown}");
}
