//! A private server at hand: starts one of the testbed's servers, prints its URL and waits until its input ends.
//!
//! `cargo run -p testbed -- redis` (or `mariadb`, `postgres`); Ctrl-D or Ctrl-C ends it.

use std::{env, error::Error, io};

use testbed::{MariaDb, Postgres, RedisServer};

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("redis") => {
            let server = RedisServer::start()?;
            announce(&server.url())
        }
        Some("mariadb") => {
            let server = MariaDb::start()?;
            announce(&server.url())
        }
        Some("postgres") => {
            let server = Postgres::start()?;
            announce(&server.url())
        }
        _ => Err("say which server: redis, mariadb or postgres".into()),
    }
}

fn announce(url: &str) -> Result<(), Box<dyn Error>> {
    println!("{url}");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
