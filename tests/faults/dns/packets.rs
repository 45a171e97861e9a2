//! Messages that are odd: each comes over UDP and TCP alike.

use hickory_resolver::proto::rr::rdata::CNAME;

use super::*;

const LOOSE: Limit = Limit::Question;

pub(super) fn rows() -> Vec<Row> {
    [strays(), sections(), names(), aliases(), values()].into_iter().flatten().collect()
}

/// What is not about the question.
fn strays() -> Vec<Row> {
    vec![
        stray("about another name", |it| {
            it.queries = vec![Query::query(name("b.example."), RecordType::A)];
        }),
        stray("about another type", |it| {
            it.queries = vec![Query::query(name(A_NAME), RecordType::AAAA)];
        }),
        stray("about another class", |it| {
            it.queries[0].set_query_class(DNSClass::CH);
        }),
        stray("about two questions", |it| it.queries.push(it.queries[0].clone())),
        stray("about no question", |it| it.queries.clear()),
        stray("with another id", |it| it.metadata.id ^= 1),
        stray("that is a query", |it| {
            it.metadata.message_type = hickory_resolver::proto::op::MessageType::Query;
        }),
        stray("with the opcode NOTIFY", |it| it.metadata.op_code = OpCode::Notify),
        stray("with the opcode UPDATE", |it| it.metadata.op_code = OpCode::Update),
        does("from another address", TIMEOUT, |query, _, _| Does {
            from_elsewhere: true,
            ..Does::udp([bytes(&good(query))])
        })
        .ended_by(LOOSE),
        packet("empty", TIMEOUT, |_| Vec::new()).ended_by(LOOSE),
        packet("of one byte", TIMEOUT, |_| vec![0]).ended_by(LOOSE),
        packet("shorter than a header", TIMEOUT, |query| bytes(&good(query))[..11].to_vec())
            .ended_by(LOOSE),
        packet("a header alone", TIMEOUT, |query| {
            let [id_0, id_1] = query.id.to_be_bytes();
            vec![id_0, id_1, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]
        })
        .ended_by(LOOSE),
        packet("that is the query itself", TIMEOUT, bytes).ended_by(LOOSE),
        does("forged with a thousand ids, then the right one", FOUND, |query, _, _| {
            let forged = (1..1000).map(|n| {
                let mut forged = good(query);
                forged.metadata.id = forged.id.wrapping_add(n);
                bytes(&forged)
            });
            Does {
                packets: forged.chain([bytes(&good(query))]).collect(),
                ..Does::both(bytes(&good(query)))
            }
        }),
        does("twice, each time another", FOUND, |query, _, _| {
            let other = bytes(&records(query, [address(A_NAME, 60, "127.0.0.2")]));
            Does { packets: vec![bytes(&good(query)), other], ..Does::both(bytes(&good(query))) }
        }),
        does("garbage with the right id, then the right one", FOUND, |query, _, _| {
            let garbage = raw(query, 0, [9, 9, 9], "ffff ffff");
            Does { packets: vec![garbage, bytes(&good(query))], ..Does::both(bytes(&good(query))) }
        }),
    ]
}

/// Counts and lengths that lie.
fn sections() -> Vec<Row> {
    const A: &str = "c00c 0001 0001 0000012c 0004 7f000001";
    const SOA: &str =
        "c00c 0006 0001 0000012c 0016 00 00 00000001 00000002 00000003 00000004 0000003c";
    vec![
        hex("more answers than there are", MALFORMED, [2, 0, 0], A),
        hex("65,535 answers, of which one is there", MALFORMED, [65_535, 0, 0], A),
        hex("fewer answers than there are", NO_DATA, [0, 0, 0], A),
        hex("an authority that is not there", FOUND, [1, 1, 0], A),
        hex("65,535 additional records that are not there", FOUND, [1, 0, 65_535], A),
        hex("all counts at their most, and nothing there", MALFORMED, [65_535; 3], ""),
        hex(
            "garbage after the records",
            FOUND,
            [1, 0, 0],
            "c00c 0001 0001 0000012c 0004 7f000001 ffffffff",
        ),
        hex("the answer in the wrong section", NO_DATA, [0, 1, 0], A),
        hex("the answer among the additional records", NO_DATA, [0, 0, 1], A),
        hex("a record cut after its name", MALFORMED, [1, 0, 0], "c00c"),
        hex("a record cut after its type", MALFORMED, [1, 0, 0], "c00c 0001"),
        hex("a record cut within its length", MALFORMED, [1, 0, 0], "c00c 0001 0001 0000012c 00"),
        hex(
            "data longer than the message",
            MALFORMED,
            [1, 0, 0],
            "c00c 0001 0001 0000012c 0005 7f000001",
        ),
        hex(
            "data of the most length",
            MALFORMED,
            [1, 0, 0],
            "c00c 0001 0001 0000012c ffff 7f000001",
        ),
        hex("an address of no bytes", MALFORMED, [1, 0, 0], "c00c 0001 0001 0000012c 0000"),
        hex(
            "an address of three bytes",
            MALFORMED,
            [1, 0, 0],
            "c00c 0001 0001 0000012c 0003 7f0000",
        ),
        hex(
            "an address of five bytes",
            MALFORMED,
            [1, 0, 0],
            "c00c 0001 0001 0000012c 0005 7f00000101",
        ),
        hex(
            "a bad address beside a good one",
            FOUND,
            [2, 0, 0],
            "c00c 0001 0001 0000012c 0000 c00c 0001 0001 0000012c 0004 7f000001",
        ),
        hex("a SOA record alone", NO_DATA, [0, 1, 0], SOA),
        hex("a SOA record cut short", NO_DATA, [0, 1, 0], "c00c 0006 0001 0000012c 0003 00 00 00"),
        packet("questions: none, but one is there", MALFORMED, |query| {
            let mut packet = bytes(&good(query));
            packet[5] = 0;
            packet
        }),
        packet("questions: 65,535", TIMEOUT, |query| {
            let mut packet = bytes(&good(query));
            (packet[4], packet[5]) = (0xff, 0xff);
            packet
        })
        .ended_by(LOOSE),
        with("a record of another class", NO_DATA, || {
            let mut record = address(A_NAME, 300, "127.0.0.1");
            record.dns_class = DNSClass::CH;
            vec![record]
        }),
        with("data of an unknown type beside", FOUND, || {
            vec![unknown(RecordType::Unknown(65_280), 100), address(A_NAME, 300, "127.0.0.1")]
        }),
        hex(
            "no data of an unknown type beside",
            FOUND,
            [2, 0, 0],
            "c00c ff00 0001 0000012c 0000 c00c 0001 0001 0000012c 0004 7f000001",
        ),
        does("60,000 bytes of data of an unknown type beside", FOUND, |query, _, _| {
            let beside = unknown(RecordType::Unknown(65_280), 60_000);
            over_tcp(query, &bytes(&records(query, [beside, address(A_NAME, 300, "127.0.0.1")])))
        }),
        with("an address of the other family alone", NO_DATA, || vec![address(A_NAME, 300, "::1")]),
        hex(
            "OPT twice",
            FOUND,
            [1, 0, 2],
            "c00c 0001 0001 0000012c 0004 7f000001 00 0029 04d0 00000000 0000 00 0029 0200 00000000 0000",
        ),
        altered("neither an authority nor a resolver", MALFORMED, |it| {
            it.answers.clear();
            it.metadata.recursion_available = false;
        })
        .says("neither an authority"),
    ]
}

/// Names and how they are compressed.
fn names() -> Vec<Row> {
    // The first record stands at byte 27 of the reply (0x1b), behind the header and the question.
    const REST: &str = "0001 0001 0000012c 0004 7f000001";
    let at = |name: &str, owner: &'static str, want| {
        packet(name, want, move |query| raw(query, 0, [1, 0, 0], &[owner, REST].concat()))
    };
    vec![
        at("a name that points to itself", "c01b", MALFORMED),
        at("a name that points forward", "c0ff", MALFORMED),
        at("a name that points beyond the message", "ffff", MALFORMED),
        // To its counts, which read as two labels of a byte.
        at("a name that points into the header", "c005", NO_DATA),
        at("two names that point to each other", "c01d c01b", MALFORMED),
        at("a label and a pointer back to it", "01 61 c01b", MALFORMED),
        at("a label of an unknown type", "40 61 00", MALFORMED),
        at("a label of a reserved type", "80 61 00", MALFORMED),
        at("a label that is longer than the message", "3f 61", MALFORMED),
        at("the name spelled out", "01 61 07 6578616d706c65 00", FOUND),
        at("the name in capitals", "01 41 07 4558414d504c45 00", FOUND),
        at("the root in place of the name", "00", NO_DATA),
        packet("a name of 300 bytes", MALFORMED, |query| {
            let owner = ["3f".to_owned(), "61".repeat(63)].concat().repeat(5) + "00";
            raw(query, 0, [1, 0, 0], &(owner + REST))
        }),
        packet("a name of 127 labels of one byte", NO_DATA, |query| {
            raw(query, 0, [1, 0, 0], &("0161".repeat(126) + "00" + REST))
        }),
        does("4,000 addresses of one name", Outcome::Records(256, 300, false), |query, _, _| {
            over_tcp(query, &raw(query, 0, [4000, 0, 0], &["c00c", REST].concat().repeat(4000)))
        })
        .within(2048),
        does("110 names, each a label before the one before it", FOUND, |query, _, _| {
            let mut sections = ["c00c", REST].concat();
            // The first record has 16 bytes, each other one 18.
            for before in [27].into_iter().chain((43..).step_by(18)).take(109) {
                sections += &["0178", &format!("{:04x}", 0xc000 | before), REST].concat();
            }
            over_tcp(query, &raw(query, 0, [110, 0, 0], &sections))
        }),
        srv_row("an SRV target that points to itself", MALFORMED, |query, _, _| {
            Does::both(raw(query, 0, [1, 0, 0], "c00c 0021 0001 0000012c 0008 0001 0001 20fc c03e"))
        }),
        srv_row("an SRV target that ends early", MALFORMED, |query, _, _| {
            Does::both(raw(query, 0, [1, 0, 0], "c00c 0021 0001 0000012c 0008 0001 0001 20fc 0961"))
        }),
        srv_row("an SRV record of six bytes", MALFORMED, |query, _, _| {
            Does::both(raw(query, 0, [1, 0, 0], "c00c 0021 0001 0000012c 0006 0001 0001 20fc"))
        }),
        srv_row("a bad SRV record beside a good one", FOUND, |query, _, _| {
            let records =
                "c00c 0021 0001 0000012c 0000 c00c 0021 0001 0000012c 0007 0001 0001 20fc 00";
            Does::both(raw(query, 0, [2, 0, 0], records))
        }),
        with_srv("NUL, a dot, a blank and 0xff in an SRV target", FOUND, || {
            vec![srv(SRV_NAME, 300, (1, 1, 8448), labels(&[b"a\0.b", b" \xff"]))]
        })
        .says(r"a\000\046b.\032\255"),
        with_srv("quotes and a line's end in an SRV target", FOUND, || {
            vec![srv(SRV_NAME, 300, (1, 1, 8448), labels(&[b"\"'\r\n\\"]))]
        })
        .says(r"\034\039\013\010\092"),
        with_srv("the root as an SRV target", FOUND, || {
            vec![srv(SRV_NAME, 300, (0, 0, 0), Name::root())]
        }),
        with_srv("an SRV target of 255 bytes", FOUND, || {
            let long = [b'x'; 61];
            vec![srv(SRV_NAME, 300, (1, 1, 1), labels(&[&long, &long, &long, &long]))]
        }),
        with("an alias to a name of odd bytes", ALIAS, || {
            let odd = labels(&[b"\0 .\xff"]);
            let to = Record::from_rdata(name(A_NAME), 300, RData::CNAME(CNAME(odd.clone())));
            let mut found = address("x.", 300, "127.0.0.1");
            found.name = odd;
            vec![to, found]
        }),
    ]
}

fn aliases() -> Vec<Row> {
    vec![
        with("an alias to itself", MALFORMED, || vec![cname(A_NAME, 300, A_NAME)])
            .ended_by(Limit::Aliases),
        with("two aliases that lead to each other", MALFORMED, || {
            vec![cname(A_NAME, 300, "b.example."), cname("b.example.", 300, A_NAME)]
        })
        .ended_by(Limit::Aliases),
        message("two aliases that lead to each other, over two replies", MALFORMED, |query| {
            let asked = query.queries[0].name().to_ascii();
            let to = if asked == A_NAME { "b.example." } else { A_NAME };
            records(query, [cname(&asked, 300, to)])
        })
        .ended_by(Limit::AliasQueries),
        message("an alias to a longer name, in each reply", MALFORMED, |query| {
            let asked = query.queries[0].name().to_ascii();
            records(query, [cname(&asked, 300, &format!("x.{asked}"))])
        })
        .ended_by(Limit::AliasQueries),
        does("an alias, then silence", TIMEOUT, |query, _, _| {
            let asked = query.queries[0].name().to_ascii();
            match asked.as_str() {
                A_NAME => Does::both(bytes(&records(query, [cname(&asked, 300, "b.example.")]))),
                _ => Does::udp([]),
            }
        })
        .ended_by(Limit::Question),
        with("16 aliases", ALIAS, || chain_of(16)),
        with("17 aliases", MALFORMED, || chain_of(17)).ended_by(Limit::Aliases),
        does("1,000 aliases", MALFORMED, |query, _, _| {
            over_tcp(query, &bytes(&records(query, chain_of(1000))))
        })
        .ended_by(Limit::Aliases)
        .within(1024),
        with("16 aliases backwards", ALIAS, || chain_of(16).into_iter().rev().collect()),
        // What a resolver returns is its word: the crate trusts it for the whole chain.
        with("an alias out of the zone, with its address", ALIAS, || {
            vec![
                cname(A_NAME, 300, "elsewhere.test."),
                address("elsewhere.test.", 300, "127.0.0.1"),
            ]
        }),
        with("an address of another name", NO_DATA, || {
            vec![address("b.example.", 300, "127.0.0.1")]
        }),
        with("an alias of another name", NO_DATA, || {
            vec![cname("b.example.", 300, A_NAME), address("c.example.", 300, "127.0.0.1")]
        }),
        with("an alias into .onion", Outcome::NoRecord(NoRecord::Onion), || {
            vec![cname(A_NAME, 300, "x.onion.")]
        }),
        with("an alias to localhost", Outcome::Records(1, 60, true), || {
            vec![cname(A_NAME, 300, "localhost.")]
        }),
        with("an alias beside an address", FOUND, || {
            vec![cname(A_NAME, 300, "b.example."), address(A_NAME, 300, "127.0.0.1")]
        }),
        with("two aliases of one name", ALIAS, || {
            vec![
                cname(A_NAME, 300, "b.example."),
                cname(A_NAME, 300, "c.example."),
                address("b.example.", 300, "127.0.0.1"),
            ]
        }),
        with("a DNAME that leads to itself", MALFORMED, || {
            vec![dname("example.", 300, "example.")]
        })
        .ended_by(Limit::Aliases),
        with("a DNAME that makes names longer and longer", MALFORMED, || {
            vec![dname("example.", 300, "x.example.")]
        })
        .ended_by(Limit::Aliases),
        with("a DNAME that makes a name too long", NO_DATA, || {
            let long = vec!["x".repeat(61); 4].join(".") + ".";
            vec![dname("example.", 300, &long)]
        }),
        with("a DNAME at the root", ALIAS, || {
            vec![dname(".", 300, "b."), address("a.example.b.", 300, "127.0.0.1")]
        }),
        with_srv("aliases of a service in a circle", MALFORMED, || {
            vec![cname(SRV_NAME, 300, SRV_NAME)]
        })
        .ended_by(Limit::Aliases),
        altered("NXDOMAIN behind an alias", Outcome::NoRecord(NoRecord::NxDomain), |it| {
            it.answers = vec![cname(A_NAME, 300, "b.example.")];
            it.metadata.response_code = ResponseCode::NXDomain;
        }),
    ]
}

/// TTLs, numbers of records and their fields.
fn values() -> Vec<Row> {
    let ttl = |name: &str, ttl: u32| {
        message(name, Outcome::Records(1, ttl.into(), false), move |query| {
            records(query, [address(A_NAME, ttl, "127.0.0.1")])
        })
    };
    let many = |name: &str, count: u16, kept: usize| {
        srv_row(name, Outcome::Records(kept, 300, false), move |query, _, _| {
            let records = (0..count).map(|n| {
                let target = self::name(&format!("t{n}.example."));
                srv(SRV_NAME, 300, (n % 7, n % 3, n), target)
            });
            over_tcp(query, &bytes(&self::records(query, records)))
        })
        .within(2048)
    };
    vec![
        ttl("a TTL of 0", 0),
        ttl("a TTL of 2^31 - 1", (1 << 31) - 1),
        ttl("a TTL of 2^31", 1 << 31),
        ttl("a TTL of 2^32 - 1", u32::MAX),
        with("the least of several TTLs", Outcome::Records(2, 0, false), || {
            vec![address(A_NAME, u32::MAX, "127.0.0.1"), address(A_NAME, 0, "127.0.0.2")]
        }),
        altered("a negative TTL of 2^32 - 1", NO_DATA, |it| {
            it.answers.clear();
            it.add_authority(soa("example.", u32::MAX, u32::MAX));
        })
        .says("4294967295"),
        many("500 SRV records", 500, 256),
        many("1,500 SRV records", 1500, 256),
        with_srv("the same SRV record 100 times", Outcome::Records(100, 300, false), || {
            vec![srv(SRV_NAME, 300, (1, 1, 1), name("t.example.")); 100]
        }),
        with_srv("an SRV record with 65,535 in each field", FOUND, || {
            vec![srv(SRV_NAME, 300, (65_535, 65_535, 65_535), name("t.example."))]
        }),
        with_srv("the address of a service", NO_DATA, || vec![address(SRV_NAME, 300, "127.0.0.1")]),
        does("a reply of 64 KiB over UDP, cut by the buffer", FOUND, |query, _, _| {
            let beside = unknown(RecordType::Unknown(65_280), 60_000);
            let large = bytes(&records(query, [address(A_NAME, 300, "127.0.0.1"), beside]));
            Does { packets: vec![large.clone()], stream: Say::all(framed(&large)), ..Does::udp([]) }
        }),
    ]
}

fn labels(labels: &[&[u8]]) -> Name {
    Name::from_labels(labels.iter().copied()).unwrap()
}

fn unknown(code: RecordType, length: usize) -> Record {
    let rdata = NULL::with(vec![0x78; length]);
    Record::from_rdata(name(A_NAME), 300, RData::Unknown { code, rdata })
}

/// `n0` leads to `n1`, and so on, to an address.
fn chain_of(aliases: usize) -> Vec<Record> {
    let at = |n: usize| if n == 0 { A_NAME.to_owned() } else { format!("n{n}.example.") };
    let links = (0..aliases).map(|n| cname(&at(n), 300, &at(n + 1)));
    links.chain([address(&at(aliases), 300, "127.0.0.1")]).collect()
}
