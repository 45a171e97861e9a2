//! The hosts file (hosts(5)), read as bytes.
//!
//! Lists against advertisements have hundreds of thousands of lines. The names stay where they are,
//! in the bytes of the file, and a sorted table of 16 bytes a name says where.

use std::net::IpAddr;

use super::server_address::ip_and_zone;
use super::system_files::{c_string, is_blank};

/// The longest name in DNS.
const LONGEST_NAME: usize = 253;

/// The names of a hosts file and their addresses.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// The file, its letters in lower case.
    text: Box<[u8]>,
    /// By the name's hash, then in the order of the file.
    entries: Box<[Entry]>,
    /// An address once for all lines in a row that have it.
    addresses: Box<[IpAddr]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    start: u32,
    address: u32,
    length: u8,
}

impl Hosts {
    /// Reads a file of at most 4 GiB. Lines that say nothing are passed over.
    pub(super) fn parse(mut text: Vec<u8>) -> Self {
        text.make_ascii_lowercase();
        let (mut entries, mut addresses) = (Vec::new(), Vec::new());
        let mut next_line = 0;
        for line in text.split(|byte| *byte == b'\n') {
            let mut next_word = next_line;
            next_line += line.len() + 1;
            let line = c_string(line).split(|byte| *byte == b'#').next().unwrap_or_default();
            let mut of_line = None;
            for word in line.split(|byte| is_blank(*byte)) {
                let start = next_word;
                next_word += word.len() + 1;
                if word.is_empty() {
                    continue;
                }
                let Some(of_line) = of_line else {
                    let Some(address) = address(word) else { break };
                    if addresses.last() != Some(&address) {
                        addresses.push(address);
                    }
                    of_line = Some(addresses.len() - 1);
                    continue;
                };
                let name = word.strip_suffix(b".").unwrap_or(word);
                if (1..=LONGEST_NAME).contains(&name.len())
                    && let Ok(length) = u8::try_from(name.len())
                    && let (Ok(start), Ok(address)) = (u32::try_from(start), u32::try_from(of_line))
                {
                    entries.push(Entry { hash: hash(name), start, address, length });
                }
            }
        }
        entries.shrink_to_fit();
        entries.sort_unstable_by_key(|entry: &Entry| (entry.hash, entry.start));
        Self { entries: entries.into(), addresses: addresses.into(), text: text.into() }
    }

    /// Returns the addresses of a host, in lower case, in the order of the file; none: the file does
    /// not name it.
    pub(super) fn addresses<'a>(&'a self, host: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
        let hash = hash(host.as_bytes());
        let first = self.entries.partition_point(|entry| entry.hash < hash);
        self.entries
            .iter()
            .skip(first)
            .take_while(move |entry| entry.hash == hash)
            .filter(|entry| entry.name(&self.text) == host.as_bytes())
            .filter_map(|entry| self.addresses.get(entry.address as usize).copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    fn name(self, text: &[u8]) -> &[u8] {
        let start = self.start as usize;
        text.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// FNV-1a. Names are told apart by their bytes; equal hashes only cost time.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Reads an address. A zone cannot be part of an answer of DNS and is left out.
fn address(word: &[u8]) -> Option<IpAddr> {
    let (address, _zone) = ip_and_zone(std::str::from_utf8(word).ok()?)?;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: impl AsRef<[u8]>, host: &str) -> Vec<String> {
        let hosts = Hosts::parse(text.as_ref().to_vec());
        hosts.addresses(host).map(|address| address.to_string()).collect()
    }

    #[test]
    fn each_name_of_a_line_has_its_address() {
        let text = "# the file\n\
            127.0.0.1 localhost\n\
            \t192.0.2.1\tBoth.example b4.example. # a comment\n\
            2001:db8::1 both.example b6.example#another\n\
            192.0.2.2   both.example  192.0.2.9\r\n\
            192.0.2.3\n\
            0.0.0.0 ads.example\n\
            :: ads.example";
        for (host, expected) in [
            ("localhost", &["127.0.0.1"][..]),
            ("both.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"]),
            ("b4.example", &["192.0.2.1"]),
            ("b6.example", &["2001:db8::1"]),
            ("ads.example", &["0.0.0.0", "::"]),
            ("192.0.2.9", &["192.0.2.2"]),
            ("192.0.2.3", &[]),
            ("127.0.0.1", &[]),
            ("example", &[]),
            ("another", &[]),
            ("zzz", &[]),
            ("", &[]),
        ] {
            assert_eq!(addresses(text, host), expected, "{host}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_error() {
        for odd in [
            &b"# serveur priv\xe9"[..],
            b"# \x80\x81 caf\xe9 \xff",
            b"127.0.1.9 b\xfcro.test",
            b"127.0.1.9\xff s.test",
            b"\xef\xbb\xbf127.0.1.9 bom.test",
            b"\0\0\0",
        ] {
            let text = [b"127.0.0.1 localhost\n", odd, b"\n127.0.1.1 s.test\n"].concat();
            assert_eq!(addresses(&text, "s.test"), ["127.0.1.1"], "{odd:?}");
            assert_eq!(addresses(&text, "localhost"), ["127.0.0.1"], "{odd:?}");
        }
    }

    #[test]
    fn bad_lines_are_passed_over() {
        for odd in [
            "s.test",
            "s.test 127.0.0.1",
            "127.0.0.256 s.test",
            "127.0.0.1:80 s.test",
            "127.0.0.01 s.test",
            "[::1] s.test",
            "fe80::1% s.test",
            "127.0.0.1%lo s.test",
            "127.0.0.1",
            "- s.test",
            "127.0.0.9\0 s.test",
            "127.0.0.9 \0s.test",
            &format!("127.0.0.9 {}", "a".repeat(100_000)),
        ] {
            let text = format!("{odd}\n127.0.1.1 s.test\n{odd}");
            assert_eq!(addresses(&text, "s.test"), ["127.0.1.1"], "{odd:?}");
        }
        assert!(Hosts::parse(b"# nothing\n\n127.0.0.1\n".to_vec()).is_empty());
    }

    #[test]
    fn blanks_and_ends_are_those_of_c() {
        for line in ["127.0.1.1\x0bs.test", "127.0.1.1\x0cs.test\r", "127.0.1.1 s.test\0\0\0"] {
            assert_eq!(addresses(line, "s.test"), ["127.0.1.1"], "{line:?}");
        }
    }

    #[test]
    fn zones_are_left_out() {
        let text = "fe80::1%eth0 a.test b.test\nfe80::2%2 a.test\nfe80::3%br-lan.7 c.test";
        assert_eq!(addresses(text, "a.test"), ["fe80::1", "fe80::2"]);
        assert_eq!(addresses(text, "b.test"), ["fe80::1"]);
        assert_eq!(addresses(text, "c.test"), ["fe80::3"]);
    }

    #[test]
    fn a_long_list_is_read_whole() {
        use std::fmt::Write;

        let mut text = String::new();
        for at in 0..20_000 {
            writeln!(text, "0.0.0.0 ads-{}.example", at * 7919 % 20_000).unwrap();
        }
        let hosts = Hosts::parse(text.into_bytes());
        assert_eq!((hosts.entries.len(), hosts.addresses.len()), (20_000, 1));
        for at in [0, 1, 9_999, 19_999] {
            assert_eq!(hosts.addresses(&format!("ads-{at}.example")).count(), 1);
        }
        assert_eq!(hosts.addresses("ads-20000.example").count(), 0);
    }

    #[test]
    fn whatever_it_says_it_is_read() {
        let text = b"192.0.2.1 a.test b.test # c\n::1%2\td.test.\n";
        for at in 0..text.len() {
            for byte in [0, 0xff, b'#', b'.', b' ', b'\n', b'\r'] {
                let mut altered = text.to_vec();
                altered[at] = byte;
                let hosts = Hosts::parse(altered);
                assert!(hosts.addresses("a.test").count() <= 1);
            }
            assert!(Hosts::parse(text[..at].to_vec()).entries.len() <= 3);
        }
    }
}
