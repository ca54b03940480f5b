use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::error::{During, TestbedError};

/// What a [`FakeRedis`] says to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These bytes, whatever they are.
    Bytes(Vec<u8>),
    /// These bytes, then `x` without end, for as long as the client takes them.
    Endless(Vec<u8>),
}

/// A server that reads the Redis protocol, and answers what the test wants. Connecting works as with a real one: it
/// answers `CLIENT` and `INFO` itself.
pub struct FakeRedis {
    addr: SocketAddr,
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl FakeRedis {
    /// Starts one that answers each command by `answer`, which gets its name and arguments.
    ///
    /// # Errors
    /// When no port or thread is to be had.
    pub fn start(
        answer: impl Fn(&[Vec<u8>]) -> Answer + Send + Sync + 'static,
    ) -> Result<FakeRedis, TestbedError> {
        let during = "start a server that is none";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(during)?;
        let addr = listener.local_addr().during(during)?;
        let server = FakeRedis {
            addr,
            is_over: Arc::default(),
            sent: Arc::default(),
        };
        let (is_over, sent) = (server.is_over.clone(), server.sent.clone());
        let answer = Arc::new(answer);
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, sent) = (answer.clone(), sent.clone());
                // The client going away ends it, and is no failure of the test.
                thread::spawn(move || serve(&stream, &*answer, &sent).ok());
            }
        };
        let named = thread::Builder::new().name("fake-redis".into());
        named.spawn(accept).during(during)?;
        Ok(server)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Bytes that all its clients together have taken, or the system for them.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // So that it looks; should it be gone already, all the better.
        drop(TcpStream::connect(self.addr));
    }
}

fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(&[Vec<u8>]) -> Answer,
    sent: &AtomicU64,
) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    let mut replies = stream;
    let mut send = |bytes: &[u8]| {
        replies.write_all(bytes)?;
        sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok::<(), io::Error>(())
    };
    loop {
        let command = command(&mut requests)?;
        match command.first().map(|name| name.to_ascii_uppercase()) {
            Some(name) if name == b"CLIENT" => send(b"+OK\r\n")?,
            Some(name) if name == b"INFO" => send(b"$10\r\nrun_id:abc\r\n")?,
            _ => match answer(&command) {
                Answer::Bytes(bytes) => send(&bytes)?,
                Answer::Endless(bytes) => {
                    send(&bytes)?;
                    loop {
                        send(&[b'x'; 16 << 10])?;
                    }
                }
            },
        }
    }
}

/// The next command: a list of strings.
fn command(requests: &mut impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    let count = number(requests)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(requests)? + 2];
        requests.read_exact(&mut word)?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Ok(words)
}

/// The number in a line, behind the byte that says what it counts.
fn number(requests: &mut impl BufRead) -> io::Result<usize> {
    let mut line = String::new();
    requests.read_line(&mut line)?;
    let digits = line.get(1..).unwrap_or_default().trim();
    digits.parse().map_err(io::Error::other)
}
