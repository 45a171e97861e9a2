//! The servers, in a process of their own: DNS, and a web server for each kind of name. Everything listens on
//! loopback.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::Hostile;

/// The addresses of each web server: so many connections between two addresses would need more ports than
/// there are.
const ADDRESSES: u8 = 8;

/// The kinds of names, in the order of the second number of their addresses.
pub(super) const LABELS: [&str; 5] = ["good", "silent", "drip", "redirect", "dns"];

/// Serves until standard input ends. Prints where: the certificate in base64, DNS, and the web servers of each
/// kind.
#[tokio::main]
pub(super) async fn run() {
    let key = KeyPair::generate().unwrap();
    let names = vec!["*.load.example".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![certificate.der().clone()];
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let tls = TlsAcceptor::from(Arc::new(tls));
    let dns = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let mut words = vec![hex(certificate.der()), dns.local_addr().unwrap().to_string()];
    tokio::spawn(serve_dns(dns));
    for label in LABELS {
        for number in 1..=ADDRESSES {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), 0)).await.unwrap();
            words.push(listener.local_addr().unwrap().to_string());
            tokio::spawn(serve_web(listener, label, tls.clone()));
        }
    }
    println!("{}", words.join(" "));
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Returns the web server of an address that DNS gave, from where they are.
pub(super) fn web_server(of: SocketAddr, servers: &[SocketAddr]) -> Option<SocketAddr> {
    let SocketAddr::V4(of) = of else { return None };
    let [_, kind, _, low] = of.ip().octets();
    let at = usize::from(kind.checked_sub(1)?) * usize::from(ADDRESSES);
    servers.get(at + usize::from(low % ADDRESSES)).copied()
}

async fn serve_dns(socket: Arc<UdpSocket>) {
    let mut buffer = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(reply) = answer(&buffer[..length]) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// Answers a question: the address of a name follows from its first label. There is nothing else.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while let length @ 1.. = usize::from(*question.get(at)?) {
        labels.push(std::str::from_utf8(question.get(at + 1..=at + length)?).ok()?);
        at += length + 1;
    }
    let end = at + 5;
    let is_address = question.get(at + 1..at + 3)? == [0, 1];
    let first = *labels.iter().find(|label| !label.starts_with('_'))?;
    let digits = first.find(|c: char| c.is_ascii_digit())?;
    let (label, number) = first.split_at(digits);
    if label == Hostile::Dns.label() {
        return None;
    }
    let kind = u8::try_from(LABELS.iter().position(|it| *it == label)?).ok()?;
    let number: u16 = number.parse().ok()?;
    let mut reply = question.get(..end)?.to_vec();
    // A response of a resolver, with one question.
    reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    if is_address {
        reply[7] = 1;
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, kind + 1]);
        reply.extend(number.to_be_bytes());
    }
    Some(reply)
}

async fn serve_web(listener: TcpListener, label: &'static str, tls: TlsAcceptor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream, label, tls.clone()));
    }
}

/// Serves one connection; it ends when the other side does.
async fn serve(mut stream: TcpStream, label: &str, tls: TlsAcceptor) -> std::io::Result<()> {
    if label == Hostile::Silent.label() {
        stream.read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    let mut stream = tls.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if label == Hostile::Drip.label() {
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        loop {
            stream.write_all(b"x").await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    let response = if label == Hostile::Redirect.label() {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let path = head.split(' ').nth(1).unwrap_or("/");
        format!("HTTP/1.1 302 Found\r\nlocation: {path}x\r\ncontent-length: 0\r\n\r\n")
    } else {
        let mut lines = head.lines();
        let host = lines.find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let body = format!("{{\"m.server\":\"{host}:443\"}}");
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
