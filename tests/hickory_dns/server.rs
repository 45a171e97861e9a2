//! A DNS server on loopback whose every byte a test decides.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NULL, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A question as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Such as `A a.example.`, byte for byte as it came.
    pub(crate) question: String,
    pub(crate) transport: Transport,
    /// The payload size that its OPT record offers, if it has one.
    pub(crate) edns: Option<u16>,
    pub(crate) recursion_desired: bool,
}

/// Given a query, how it came and how many came before it: the packets to send, none for silence;
/// over TCP, none closes the connection.
type Handler = dyn Fn(&Message, Transport, usize) -> Vec<Vec<u8>> + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(
        handler: impl Fn(&Message, Transport, usize) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // The same port may be taken over UDP; then another one is tried.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = udp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&handler), Arc::clone(&log)));
        tasks.spawn(serve_tcp(tcp, handler, Arc::clone(&log)));
        Self { address, log, _tasks: tasks }
    }

    /// One that listens over TCP alone.
    pub(crate) async fn over_tcp(
        make: impl Fn(&Message) -> Message + Send + Sync + 'static,
    ) -> Self {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, log) = (tcp.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let handler: Arc<Handler> = Arc::new(move |query, _, _| vec![bytes(&make(query))]);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_tcp(tcp, handler, Arc::clone(&log)));
        Self { address, log, _tasks: tasks }
    }

    /// One that answers each query with the message that is made of it.
    pub(crate) async fn replying(
        make: impl Fn(&Message) -> Message + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |query, _, _| vec![bytes(&make(query))]).await
    }

    /// One that never answers.
    pub(crate) async fn silent() -> Self {
        Self::start(|_, _, _| Vec::new()).await
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The payload sizes offered so far.
    pub(crate) fn edns(&self) -> Vec<Option<u16>> {
        self.asked().into_iter().map(|asked| asked.edns).collect()
    }

    /// The questions asked so far.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.question).collect()
    }
}

fn note(log: &Mutex<Vec<Asked>>, query: &Message, transport: Transport) -> usize {
    let question = &query.queries[0];
    let mut log = log.lock().unwrap();
    log.push(Asked {
        question: format!("{} {}", question.query_type(), question.name().to_ascii()),
        transport,
        edns: query.edns.as_ref().map(hickory_resolver::proto::op::Edns::max_payload),
        recursion_desired: query.recursion_desired,
    });
    log.len() - 1
}

async fn serve_udp(socket: UdpSocket, handler: Arc<Handler>, log: Arc<Mutex<Vec<Asked>>>) {
    let mut buffer = vec![0; 65_535];
    loop {
        // Some systems report here that an earlier client has gone.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let nth = note(&log, &query, Transport::Udp);
        for packet in handler(&query, Transport::Udp, nth) {
            let _ = socket.send_to(&packet, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, handler: Arc<Handler>, log: Arc<Mutex<Vec<Asked>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = serve_connection(stream, &handler, &log).await;
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    handler: &Arc<Handler>,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    let query = Message::from_vec(&buffer).unwrap();
    let nth = note(log, &query, Transport::Tcp);
    for packet in handler(&query, Transport::Tcp, nth) {
        stream.write_u16(packet.len().try_into().unwrap()).await?;
        stream.write_all(&packet).await?;
    }
    stream.flush().await
}

/// An empty reply to a query, with its question and with EDNS where the query had it.
pub(crate) fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(query.id, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_desired = query.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.iter().cloned());
    reply.edns.clone_from(&query.edns);
    reply
}

/// A reply with these records.
pub(crate) fn records(query: &Message, records: impl IntoIterator<Item = Record>) -> Message {
    let mut reply = reply(query, ResponseCode::NoError);
    reply.add_answers(records);
    reply
}

pub(crate) fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(crate) fn address(owner: &str, ttl: u32, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name(owner), ttl, data)
}

pub(crate) fn cname(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

pub(crate) fn dname(owner: &str, ttl: u32, target: &str) -> Record {
    let rdata = NULL::with(name(target).to_bytes().unwrap());
    Record::from_rdata(name(owner), ttl, RData::Unknown { code: RecordType::DNAME, rdata })
}

pub(crate) fn srv(
    owner: &str,
    ttl: u32,
    (priority, weight, port): (u16, u16, u16),
    to: Name,
) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(priority, weight, port, to)))
}

pub(crate) fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.example."), name("admin.example."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

/// A reply of these bytes after the question of the query: the code, how many records the three
/// sections are said to have, and their bytes in hex.
pub(crate) fn raw(query: &Message, code: u8, counts: [u16; 3], sections: &str) -> Vec<u8> {
    let mut asked = Message::query();
    asked.add_queries(query.queries.iter().cloned());
    let [id_0, id_1] = query.id.to_be_bytes();
    let mut packet = vec![id_0, id_1, 0x81, 0x80 | code, 0, 1];
    packet.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    packet.extend(&bytes(&asked)[12..]);
    let digits: Vec<char> = sections.chars().filter(char::is_ascii_hexdigit).collect();
    packet.extend(
        digits
            .chunks(2)
            .map(|byte| u8::from_str_radix(&byte.iter().collect::<String>(), 16).unwrap()),
    );
    packet
}
