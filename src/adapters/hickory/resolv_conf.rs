//! `resolv.conf`, as the C library reads it (resolv.conf(5)).
//!
//! A line counts if it begins with `nameserver` or `options` and a blank. Every other line is passed
//! over, whatever bytes it consists of: names are absolute here, so `domain` and `search` say nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::config::{DnsConfig, DnsTransport, LEAST_RETRY, ServerOrder};
use super::server_address;
use super::system_files::{c_string, is_blank};

/// The servers that count, as for the C library (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// The local machine, which is asked where the file names no server.
const LOCAL: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 53),
];
/// The most that `timeout:` and `attempts:` say, as for the C library.
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u64 = 5;

/// What the file says of the servers.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub(super) struct ResolvConf {
    /// Those that it names, at most the first three.
    named: Vec<SocketAddr>,
    /// Whether the zone of a server is the name of an interface, whose number may change although
    /// the file does not.
    pub(super) has_named_zone: bool,
    use_vc: bool,
    rotate: bool,
    edns0: bool,
    timeout: Option<Duration>,
    attempts: Option<u8>,
}

impl ResolvConf {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let mut words = c_string(line).split(|byte| is_blank(*byte));
            match words.next() {
                Some(b"nameserver") => found.name_server(words.find(|word| !word.is_empty())),
                Some(b"options") => words.for_each(|option| found.option(option)),
                _ => {}
            }
        }
        found
    }

    fn name_server(&mut self, word: Option<&[u8]>) {
        let text = word.and_then(|word| std::str::from_utf8(word).ok());
        if self.named.len() < MAX_SERVERS
            && let Some((server, named_zone)) = text.and_then(server_address::name_server)
        {
            self.named.push(server);
            self.has_named_zone |= named_zone;
        }
    }

    fn option(&mut self, option: &[u8]) {
        match option {
            b"use-vc" => self.use_vc = true,
            b"rotate" => self.rotate = true,
            b"edns0" => self.edns0 = true,
            _ => {
                if let Some(seconds) = option.strip_prefix(b"timeout:").and_then(number) {
                    self.timeout = Some(Duration::from_secs(seconds.clamp(1, MAX_TIMEOUT)));
                } else if let Some(times) = option.strip_prefix(b"attempts:").and_then(number) {
                    self.attempts = u8::try_from(times.clamp(1, MAX_ATTEMPTS)).ok();
                }
            }
        }
    }

    /// Whether it names no server.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Returns the servers to ask: those that it names, else the local machine's.
    pub(super) fn servers(&self) -> &[SocketAddr] {
        if self.named.is_empty() { &LOCAL } else { &self.named }
    }

    /// Adds its options to a configuration. A time or a number that the configuration states itself
    /// remains. Whatever `timeout:` says, every server has its turn within the limit, and the first
    /// one a second.
    pub(super) fn configure(&self, mut config: DnsConfig) -> DnsConfig {
        let default = DnsConfig::default();
        if self.use_vc {
            config.transport = DnsTransport::TcpOnly;
        }
        if self.rotate && config.server_order == default.server_order {
            config.server_order = ServerOrder::Rotate;
        }
        config.edns |= self.edns0;
        if let Some(timeout) = self.timeout
            && config.first_retry == default.first_retry
        {
            let turns = u32::try_from(self.servers().len()).unwrap_or(u32::MAX).saturating_add(1);
            config.first_retry = timeout.min(config.question_limit / turns).max(LEAST_RETRY);
        }
        if let Some(attempts) = self.attempts
            && config.attempts == default.attempts
        {
            config.attempts = attempts;
        }
        config
    }
}

/// Reads digits, however many, and passes over what follows them.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(None, |number: Option<u64>, digit| {
        Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    });
    number.filter(|_| text.first().is_some_and(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: impl AsRef<[u8]>) -> Vec<String> {
        ResolvConf::parse(text.as_ref()).servers().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_order_of_the_configuration_remains() {
        let all = DnsConfig { server_order: ServerOrder::AllAtOnce, ..DnsConfig::default() };
        let read = ResolvConf::parse(b"options rotate\n");
        assert_eq!(read.configure(all).server_order, ServerOrder::AllAtOnce);
    }

    #[test]
    fn the_first_three_servers_count() {
        let text = "nameserver 192.0.2.1\nnameserver\t2001:db8::2\nnameserver  192.0.2.3 \n\
                    nameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::2]:53", "192.0.2.3:53"]);
    }

    #[test]
    fn lines_that_say_nothing_here_are_passed_over() {
        for odd in [
            "domain a..b",
            "domain (none)",
            "search corp..example.com example.com",
            "search .example.com -a.example ~. lan/24 ${DOMAIN} \"example.com\"",
            "search ",
            "sortlist 130.155.160.0/255.255.240.0 256.1",
            "lookup file bind",
            "# nameserver 192.0.2.9",
            "; nameserver 192.0.2.9",
            " nameserver 192.0.2.9",
            "nameserver192.0.2.9",
            "NAMESERVER 192.0.2.9",
            "nameserver",
            "nameserver ",
            "nameserver dns.example",
            "nameserver 192.0.2.256",
            "nameserver 192.0.2.9#5353",
            "nameserver [2001:db8::9]:53",
            "options ndots:5 timeout: attempts:x no-such-option:1 inet6 single-request trust-ad",
            "<<<<<<< HEAD",
            "{\"nameserver\": \"192.0.2.9\"}",
        ] {
            for text in [
                format!("{odd}\nnameserver 127.0.0.53\n"),
                format!("nameserver 127.0.0.53\n{odd}"),
                format!("{odd}\r\nnameserver 127.0.0.53\r\n{odd}\r\n"),
            ] {
                let read = ResolvConf::parse(text.as_bytes());
                assert_eq!(servers(&text), ["127.0.0.53:53"], "{text:?}");
                let unchanged = DnsConfig::default();
                assert_eq!(read.configure(unchanged), unchanged, "{text:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        for odd in [&b"\xff\xfe\x00"[..], b"# serveur priv\xe9", b"nameserver \xc0\x80", b"\0\0\0"]
        {
            let text = [odd, b"\nnameserver 192.0.2.1\n", odd].concat();
            assert_eq!(servers(text), ["192.0.2.1:53"], "{odd:?}");
        }
        let long = [vec![b'x'; 100_000], b"\nnameserver 192.0.2.1".to_vec()].concat();
        assert_eq!(servers(long), ["192.0.2.1:53"]);
    }

    #[test]
    fn without_a_server_it_is_the_local_machine() {
        for text in ["", "\n", "# nothing here\n", "search example.com\n", "nameserver x\n"] {
            assert_eq!(servers(text), ["127.0.0.1:53", "[::1]:53"], "{text:?}");
            assert!(ResolvConf::parse(text.as_bytes()).is_empty());
        }
    }

    #[test]
    fn zones_are_numbers_and_names() {
        let text = "nameserver fe80::1%4\n";
        assert_eq!(servers(text), ["[fe80::1%4]:53"]);
        assert!(!ResolvConf::parse(text.as_bytes()).has_named_zone);
        for name in ["no-such.if", "br-no-such", "nosuch0.100"] {
            let text = format!("nameserver fe80::1%{name}\nnameserver 192.0.2.1\n");
            assert_eq!(servers(&text), ["[fe80::1]:53", "192.0.2.1:53"]);
            assert!(ResolvConf::parse(text.as_bytes()).has_named_zone);
        }
    }

    #[test]
    fn options_change_the_configuration() {
        let seconds = Duration::from_secs;
        let millis = Duration::from_millis;
        for (options, change) in [
            ("use-vc", (|it| it.transport = DnsTransport::TcpOnly) as fn(&mut DnsConfig)),
            ("rotate", |it| it.server_order = ServerOrder::Rotate),
            ("edns0", |it| it.edns = true),
            ("ndots:3\tedns0  rotate", |it| {
                (it.edns, it.server_order) = (true, ServerOrder::Rotate);
            }),
            ("timeout:2", |it| it.first_retry = Duration::from_secs(2)),
            ("timeout:0", |it| it.first_retry = Duration::from_secs(1)),
            // Half of the limit for the only server.
            ("timeout:30", |it| it.first_retry = Duration::from_millis(2500)),
            ("timeout:99999999999999999999999", |it| it.first_retry = Duration::from_millis(2500)),
            ("attempts:1", |it| it.attempts = 1),
            ("attempts:0", |it| it.attempts = 1),
            ("attempts:100", |it| it.attempts = 5),
            ("attempts:2\noptions attempts:4", |it| it.attempts = 4),
        ] {
            let text = format!("options {options}\nnameserver 192.0.2.1\n");
            let mut expected = DnsConfig::default();
            change(&mut expected);
            let read = ResolvConf::parse(text.as_bytes());
            assert_eq!(read.configure(DnsConfig::default()), expected, "{options}");
            assert_eq!(expected.check(), Ok(()));
        }
        let three = "nameserver 192.0.2.1\n".repeat(3) + "options timeout:30 attempts:5\n";
        let three = ResolvConf::parse(three.as_bytes());
        assert_eq!(three.configure(DnsConfig::default()).first_retry, millis(1250));
        // What was set counts.
        let set = DnsConfig { first_retry: seconds(3), attempts: 2, ..DnsConfig::default() };
        assert_eq!(three.configure(set), set);
    }

    #[test]
    fn whatever_it_says_the_configuration_works() {
        let text = b"nameserver 0x7f.1\nnameserver fe80::1%eth0\noptions timeout:9 attempts:9\n";
        let altered = (0..text.len()).flat_map(|at| {
            let with = |byte: u8| {
                let mut text = text.to_vec();
                text[at] = byte;
                text
            };
            [text[..at].to_vec(), with(0), with(0xff), with(b'9'), with(b' '), with(b'\n')]
        });
        for bytes in altered {
            let read = ResolvConf::parse(&bytes);
            assert!((1..=3).contains(&read.servers().len()));
            assert_eq!(read.configure(DnsConfig::default()).check(), Ok(()), "{bytes:?}");
        }
    }
}
