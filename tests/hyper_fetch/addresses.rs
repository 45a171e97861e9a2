//! Which address.

use super::*;

#[test]
fn what_keeps_these_tests_on_this_machine_tells_it_from_others() {
    for here in ["127.0.0.1:443", "127.255.255.254:1", "[::1]:443"] {
        assert!(!loopback::leaves(here.parse().unwrap()), "{here}");
    }
    for elsewhere in
        ["192.0.2.1:443", "0.0.0.0:443", "[::]:443", "[::ffff:127.0.0.1]:443", "[2001:db8::1]:1"]
    {
        assert!(loopback::leaves(elsewhere.parse().unwrap()), "{elsewhere}");
    }
}

#[tokio::test]
async fn no_address_is_a_failure() {
    let failure = ask(&Authority::new().client(), question([])).await.unwrap_err();
    assert_eq!((failure.kind, &*failure.attempts), (Kind::NoAddress, &[][..]));
}

#[tokio::test]
async fn without_a_proxy_nothing_is_connected_to_by_name() {
    let request = Request::get("https://m.example/").body(()).unwrap();
    let fetch = Fetch::by_name(request, by_name()).with_limits(generous());
    let failure = ask(&Authority::new().client(), fetch).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Adapter);
    assert!(failure.detail.contains("m.example:443"), "{failure}");
}

#[tokio::test]
async fn a_proxy_is_handed_the_name_and_the_certificate_is_checked_all_the_same() {
    /// Looks names up itself.
    #[derive(Debug)]
    struct Proxy(SocketAddr);
    impl Dial for Proxy {
        fn dial(&self, address: SocketAddr) -> BoxFuture<'_, Dialled> {
            panic!("no address was handed over: {address}");
        }
        fn dial_name<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Dialled> {
            assert_eq!((host, port), ("m.example", 8443));
            LoopbackDial.dial(self.0)
        }
    }
    let authority = Authority::new();
    let server = answering(authority.server(), OK).await;
    let client = authority.client().with_dial(Arc::new(Proxy(server)));
    for (name, reached) in [(by_name(), true), (TlsName::try_from("x.example").unwrap(), false)] {
        let request = Request::get("https://m.example:8443/").body(()).unwrap();
        let fetch = Fetch::by_name(request, name).with_limits(generous());
        let outcome = ask(&client, fetch).await.map_err(|failure| failure.kind);
        assert_eq!(outcome.is_ok(), reached, "{outcome:?}");
    }
}

#[tokio::test]
async fn after_a_refusal_the_next_address_is_tried() {
    let authority = Authority::new();
    let (_held, refusing) = refusing();
    let good = answering(authority.server(), OK).await;
    ask(&authority.client(), question([refusing, good])).await.unwrap();
}

/// Some addresses never connect, as behind a firewall that drops packets.
#[derive(Debug)]
struct BlackHoles(Vec<SocketAddr>);

impl Dial for BlackHoles {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, Dialled> {
        if self.0.contains(&address) {
            return Box::pin(std::future::pending());
        }
        LoopbackDial.dial(address)
    }
}

#[tokio::test]
async fn beside_a_silent_address_the_next_is_tried() {
    let authority = Authority::new();
    let good = answering(authority.server(), OK).await;
    let holes: Vec<SocketAddr> = (1..5).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let client = authority.client().with_dial(Arc::new(BlackHoles(holes.clone())));
    // The limit on connecting is the watchdog's, so only trying side by side gets there.
    let mut fetch = question(holes.into_iter().chain([good]));
    fetch.limits.phases.attempt_delay = Duration::from_millis(20);
    ask(&client, fetch).await.unwrap();
}

#[tokio::test]
async fn after_a_bad_certificate_a_slower_address_is_still_tried() {
    let authority = Authority::new();
    let hole: SocketAddr = ([127, 0, 0, 1], 1).into();
    let bad = answering(authority.expired(), OK).await;
    let good = answering(authority.server(), OK).await;
    let client = authority.client().with_dial(Arc::new(BlackHoles(vec![hole])));
    let mut fetch = question([hole, bad, good]);
    fetch.limits.phases.attempt_delay = Duration::from_millis(20);
    ask(&client, fetch).await.unwrap();
}

#[tokio::test]
async fn all_silent_addresses_are_named() {
    let holes: Vec<SocketAddr> = (1..4).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let client = Authority::new().client().with_dial(Arc::new(BlackHoles(holes.clone())));
    let mut fetch = question(holes.clone());
    fetch.limits.phases.connect = SHORT;
    fetch.limits.phases.attempt_delay = Duration::from_millis(20);
    let failure = ask(&client, fetch).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::ConnectTimeout; 3]);
    // On a loaded machine their limits may run out together, in any order.
    let mut tried: Vec<_> = failure.attempts.iter().map(|attempt| attempt.address).collect();
    tried.sort_unstable();
    assert_eq!(tried, holes);
}

#[tokio::test]
async fn after_silence_in_tls_the_next_address_is_tried() {
    let authority = Authority::new();
    let good = answering(authority.server(), OK).await;
    let mut question = question([silent().await, good]);
    question.limits.phases.tls = SHORT;
    // The good one has the short limit too, so it may miss it on a loaded machine.
    match ask(&authority.client(), question).await {
        Ok(response) => assert_eq!(response.status(), 200),
        Err(failure) => assert_eq!(kinds(&failure), [Kind::TlsTimeout, Kind::TlsTimeout]),
    }
}

#[tokio::test]
async fn after_a_bad_certificate_the_next_address_is_tried() {
    let authority = Authority::new();
    let bad = answering(authority.expired(), OK).await;
    let good = answering(authority.server(), OK).await;
    ask(&authority.client(), question([bad, good])).await.unwrap();
}

#[tokio::test]
async fn after_a_cut_off_a_safe_request_goes_to_the_next_address() {
    let authority = Authority::new();
    let bad = answering(authority.server(), "HTTP/1.1 200 OK\r\nConte").await;
    let good = answering(authority.server(), OK).await;
    ask(&authority.client(), question([bad, good])).await.unwrap();
}

#[tokio::test]
async fn after_a_cut_off_any_other_request_is_not_sent_twice() {
    let authority = Authority::new();
    let bad = answering(authority.server(), "HTTP/1.1 200 OK\r\nConte").await;
    let good = answering(authority.server(), OK).await;
    let mut question = question([bad, good]);
    *question.request.method_mut() = http::Method::POST;
    let failure = ask(&authority.client(), question).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::CutOff]);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_the_answer() {
    let authority = Authority::new();
    let bad = answering(authority.server(), "what?\r\n\r\n").await;
    let good = answering(authority.server(), OK).await;
    let failure = ask(&authority.client(), question([bad, good])).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::Protocol]);
}

#[tokio::test]
async fn the_attempt_that_got_furthest_names_the_failure() {
    let authority = Authority::new();
    let (_held, first) = refusing();
    let expired = answering(authority.expired(), OK).await;
    let (_held, last) = refusing();
    let failure = ask(&authority.client(), question([first, expired, last])).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::Refused, Kind::Tls, Kind::Refused]);
    assert_eq!(failure.kind, Kind::Tls);
    assert_eq!(failure.detail, failure.attempts[1].detail);
    let tried: Vec<_> = failure.attempts.iter().map(|attempt| attempt.address).collect();
    assert_eq!(tried, [first, expired, last]);
}

#[tokio::test]
async fn ipv6_is_dialled_like_ipv4() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let authority = Authority::new();
    let (address, mut requests) = serve_on(listener, authority.server(), |mut stream| async move {
        stream.write_all(OK).await.unwrap();
    });
    let mut question = question([address]);
    question.tls_name = TlsName::try_from("::1").unwrap();
    question.request = Request::get("https://[::1]:8448/").body(()).unwrap();
    ask(&authority.client(), question).await.unwrap();
    let seen = requests.recv().await.unwrap();
    assert_eq!(seen.sni, None);
    assert!(seen.head.contains("\r\nhost: [::1]:8448\r\n"), "{}", seen.head);
}

#[tokio::test]
async fn connecting_has_its_limit() {
    let dial = DialBy(|_| Box::pin(std::future::pending()) as BoxFuture<'static, Dialled>);
    let client = Authority::new().client().with_dial(Arc::new(dial));
    let mut question =
        question(["192.0.2.1:443".parse().unwrap(), "192.0.2.2:443".parse().unwrap()]);
    question.limits.phases.connect = SHORT;
    let failure = ask(&client, question).await.unwrap_err();
    assert_eq!(failure.kind, Kind::ConnectTimeout);
    assert_eq!(kinds(&failure), [Kind::ConnectTimeout, Kind::ConnectTimeout]);
}

#[tokio::test]
async fn the_dial_is_handed_the_addresses_in_order() {
    let (asked, mut order) = mpsc::unbounded_channel();
    let dial = DialBy(move |address: SocketAddr| {
        asked.send(address).unwrap();
        let kind = match address.port() {
            1 => io::ErrorKind::TimedOut,
            2 => io::ErrorKind::ConnectionRefused,
            _ => io::ErrorKind::NetworkUnreachable,
        };
        Box::pin(async move { Err(kind.into()) }) as BoxFuture<'static, Dialled>
    });
    let client = Authority::new().client().with_dial(Arc::new(dial));
    let addresses: [SocketAddr; 3] =
        ["192.0.2.1:2", "192.0.2.1:1", "[2001:db8::1]:3"].map(|address| address.parse().unwrap());
    let failure = ask(&client, question(addresses)).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::Refused, Kind::ConnectTimeout, Kind::NoRoute]);
    for address in addresses {
        assert_eq!(order.recv().await.unwrap(), address);
    }
}

/// Fails with this error of the system, where there is a route or not.
#[derive(Debug)]
struct Failing(i32, bool);

impl Dial for Failing {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, Dialled> {
        Box::pin(async { Err(io::Error::from_raw_os_error(self.0)) })
    }

    fn has_route(&self, _: SocketAddr) -> bool {
        self.1
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_hinders_this_machine_alone_is_told_apart() {
    let authority = Authority::new();
    let here: SocketAddr = ([127, 0, 0, 1], 443).into();
    for (code, without, with) in [
        (libc::EMFILE, Kind::Local, Kind::Local),
        (libc::ENFILE, Kind::Local, Kind::Local),
        (libc::ENOBUFS, Kind::Local, Kind::Local),
        (libc::ENOMEM, Kind::Local, Kind::Local),
        (libc::EADDRNOTAVAIL, Kind::Local, Kind::Local),
        // Where there is a route, it was a router or a firewall that said so.
        (libc::ENETUNREACH, Kind::NoRoute, Kind::Connect),
        (libc::EACCES, Kind::NoRoute, Kind::Connect),
        (libc::ECONNREFUSED, Kind::Refused, Kind::Refused),
    ] {
        for (has_route, kind) in [(false, without), (true, with)] {
            let client = authority.client().with_dial(Arc::new(Failing(code, has_route)));
            let failure = ask(&client, question([here])).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{code}, {has_route}: {failure}");
        }
    }
    // The system's own routes, which are not asked of the network.
    assert!(matrix_delegation::transport::TcpDial.has_route(here));
}
