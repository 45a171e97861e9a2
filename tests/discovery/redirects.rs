//! Redirects on the way to a well-known document.

use super::*;

fn to(location: &str) -> Internet {
    with_m().page(URL, 302, &[("location", location)], "")
}

#[test]
fn each_status_is_followed_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let world = with_m()
            .host("w.example", &["192.0.2.4"])
            .page(URL, status, &[("location", "https://w.example:8443/x?y")], "ignored")
            .page("https://w.example:8443/x?y", 200, &[], delegation());
        let run = world.resolve_every_way("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DelegatedPort, "{status}");
        assert!(run.connected().contains(&"192.0.2.4:8443".to_owned()));
        assert_eq!(run.report.well_known.unwrap().hops.len(), 2);
    }
}

#[test]
fn the_lifetime_is_the_final_response_s() {
    let world = with_m()
        .page(URL, 302, &[("location", "/x"), ("cache-control", "max-age=60")], "")
        .page("https://a.example/x", 200, &[("cache-control", "max-age=900")], delegation());
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(whole(run.target().lifetimes().well_known), Some(900));
}

#[test]
fn refused_ones_lead_to_step_four() {
    for location in [
        "http://a.example/x",
        "https://user@a.example/x",
        "https://a.example/.well-known/matrix/server",
        "https://a.example/.well-known/matrix/server#again",
        "ftp://a.example/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
    ] {
        let run = to(location).resolve_every_way("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DefaultPort, "{location}");
        assert_eq!(run.warnings(), ["well_known_unusable"], "{location}");
        assert!(!run.connected().iter().any(|it| it.contains("127.") || it.contains("10.")));
    }
}

fn chain(length: usize) -> Internet {
    let mut world = with_m().page(URL, 302, &[("location", "/1")], "");
    for step in 1..length {
        let next = format!("/{}", step + 1);
        world = world.page(&format!("https://a.example/{step}"), 302, &[("location", &next)], "");
    }
    world.page(&format!("https://a.example/{length}"), 200, &[], delegation())
}

#[test]
fn as_many_as_the_preset_allows() {
    for (config, limit) in [(lenient(), 10), (strict(), 10), (synapse(), 20)] {
        let run = chain(limit).resolve_once("a.example", &config);
        assert_eq!(run.target().step(), Step::DelegatedPort);
        let run = chain(limit + 1).resolve_once("a.example", &config);
        assert_eq!(run.target().step(), Step::DefaultPort);
    }
}

#[test]
fn a_loop_over_several_urls_ends() {
    let world = with_m()
        .page(URL, 302, &[("location", "/1")], "")
        .page("https://a.example/1", 302, &[("location", "/2")], "")
        .page("https://a.example/2", 302, &[("location", "/1")], "");
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(run.target().step(), Step::DefaultPort);
    assert_eq!(run.questions().iter().filter(|it| it.starts_with("GET")).count(), 3);
}

#[test]
fn a_body_that_is_too_large_does_not_matter_on_the_way() {
    let redirect =
        Response::builder().status(302).header("location", "/x").body(Body::TooLarge).unwrap();
    let world =
        with_m().fetched(URL, Ok(redirect)).page("https://a.example/x", 200, &[], delegation());
    assert_eq!(
        world.resolve_every_way("a.example", &lenient()).target().step(),
        Step::DelegatedPort
    );
}
