//! A running node, reached over its Redis-protocol port.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Client, Connection, RedisError, RedisResult};
use sync_engine::BackendUrl;

use super::Failure;

/// Where a node is unless told otherwise.
pub(super) const URL_DEFAULT: &str = "redis://127.0.0.1:7379";

/// How long connecting may take, and how long an answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// How long a node may be too busy for what it is sent.
const BUSY_PATIENCE: Duration = Duration::from_secs(120);

/// An id and its content.
pub(super) type Item = (String, Bytes);

/// A connection. Errors name the node, and no password.
pub(super) struct Remote {
    url: BackendUrl,
    connection: Connection,
}

impl Remote {
    pub(super) fn connect(url: &str) -> Result<Self, Failure> {
        let url = BackendUrl::from(url);
        let connected = Client::open(url.expose())
            .and_then(|client| client.get_connection_with_timeout(CONNECT_PATIENCE));
        let connection = connected.map_err(|error| {
            format!("cannot reach a node at {url}: {error}; is `redsqrl serve` running there?")
        })?;
        connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
        connection.set_write_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Self { url, connection })
    }

    fn failed(&self, error: &RedisError) -> Failure {
        format!("{}: {error}", self.url).into()
    }

    /// Stores the items, in their order where an id stands more than once; waits and tries again while the node is too
    /// busy.
    pub(super) fn set_all(&mut self, items: &[Item]) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut rest: Vec<&Item> = items.iter().collect();
        let mut pause = Duration::from_millis(50);
        loop {
            let mut pipe = redis::Pipeline::with_capacity(rest.len());
            for (id, content) in &rest {
                pipe.cmd("SET").arg(id).arg(&content[..]);
            }
            let answers: RedisResult<Vec<RedisResult<()>>> =
                pipe.ignore_errors().query(&mut self.connection);
            let answers = answers.map_err(|error| self.failed(&error))?;
            let left = Left::of(&rest, answers)
                .map_err(|(id, error)| format!("{}: {id}: {error}", self.url))?;
            match left.because {
                None => return Ok(()),
                Some(error) if begun.elapsed() > BUSY_PATIENCE => return Err(self.failed(&error)),
                Some(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_secs(2));
            rest = left.items;
        }
    }

    /// The number of items, tombstones not among them.
    pub(super) fn len(&mut self) -> Result<u64, Failure> {
        let answer = redis::cmd("DBSIZE").query(&mut self.connection);
        answer.map_err(|error| self.failed(&error))
    }

    /// Some ids that match a pattern, and the cursor for the next ones; 0: there are no more.
    pub(super) fn scan(
        &mut self,
        cursor: &str,
        pattern: &str,
    ) -> Result<(String, Vec<String>), Failure> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000);
        scan.query(&mut self.connection)
            .map_err(|error| self.failed(&error))
    }

    /// The lengths of these items in bytes; 0 for one that is gone.
    pub(super) fn lengths(&mut self, ids: &[String]) -> Result<Vec<usize>, Failure> {
        let mut pipe = redis::Pipeline::with_capacity(ids.len());
        for id in ids {
            pipe.cmd("STRLEN").arg(id);
        }
        pipe.query(&mut self.connection)
            .map_err(|error| self.failed(&error))
    }

    /// The contents of these items; `None` for one that is gone.
    pub(super) fn get_all(&mut self, ids: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let answer = redis::cmd("MGET").arg(ids).query(&mut self.connection);
        answer.map_err(|error| self.failed(&error))
    }
}

/// Whether waiting helps.
fn is_passing(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("BUSY" | "OOM" | "TRYAGAIN" | "LOADING" | "UNAVAILABLE")
    )
}

/// What of some SETs is to be sent again.
struct Left<'a> {
    /// In the order in which they were sent, and none that a later one of them has replaced already.
    items: Vec<&'a Item>,
    /// Why.
    because: Option<RedisError>,
}

impl<'a> Left<'a> {
    /// Reads the answers to these SETs. An error that does not pass comes with the id it is about.
    fn of(sent: &[&'a Item], answers: Vec<RedisResult<()>>) -> Result<Self, (&'a str, RedisError)> {
        let (mut items, mut because, mut refused) = (Vec::new(), None, None);
        let mut stored = HashSet::new();
        for (item, answer) in sent.iter().zip(answers).rev() {
            match answer {
                Ok(()) => drop(stored.insert(item.0.as_str())),
                Err(error) if !is_passing(&error) => refused = Some((item.0.as_str(), error)),
                // What came behind it is stored: sent again, it would take that one's place.
                Err(_) if stored.contains(item.0.as_str()) => {}
                Err(error) => {
                    items.push(*item);
                    because = Some(error);
                }
            }
        }
        if let Some(first) = refused {
            return Err(first);
        }
        items.reverse();
        Ok(Self { items, because })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use bytes::BytesMut;

    use super::*;
    use crate::resp::{Limits, Parser};

    /// A node that is too busy for those of the first SETs that `busy` names; what it holds when the client has gone.
    fn serve(mut socket: TcpStream, busy: &[usize]) -> HashMap<Bytes, Bytes> {
        let (mut parser, mut input, mut part) = (Parser::new(), BytesMut::new(), [0; 4096]);
        let (mut held, mut sets) = (HashMap::new(), 0);
        loop {
            while let Some(command) = parser.parse(&mut input, &Limits::default()).unwrap() {
                let mut answer = &b"+OK\r\n"[..];
                if command.name == "SET" {
                    if busy.contains(&sets) {
                        answer = b"-BUSY slow down\r\n";
                    } else {
                        held.insert(command.args[0].clone(), command.args[1].clone());
                    }
                    sets += 1;
                }
                socket.write_all(answer).unwrap();
            }
            match socket.read(&mut part).unwrap() {
                0 => return held,
                len => input.extend_from_slice(&part[..len]),
            }
        }
    }

    #[test]
    fn i3_the_last_line_of_an_id_wins_however_busy_the_node_is() {
        let lines = [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "3")];
        let items = lines.map(|(id, content)| (id.to_owned(), Bytes::from(content)));
        // The first of `a`; the last; all but the last; all, and then the first again.
        for busy in [&[0][..], &[4], &[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5]] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("redis://{}", listener.local_addr().unwrap());
            let held = std::thread::scope(|scope| {
                let node = scope.spawn(|| serve(listener.accept().unwrap().0, busy));
                Remote::connect(&url).unwrap().set_all(&items).unwrap();
                node.join().unwrap()
            });
            assert_eq!(
                held,
                HashMap::from([("a".into(), "3".into()), ("b".into(), "2".into())])
            );
        }
    }
}
