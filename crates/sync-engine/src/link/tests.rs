use super::*;
use redis::Cmd;
use std::time::Instant;
use testbed::{Answer, FakeRedis, RedisServer};

const SECRET: &str = "hunter2%40x";

pub(crate) const TIMEOUTS: RedisTimeouts = RedisTimeouts {
    connect: Duration::from_secs(3),
    response: Duration::from_secs(3),
};

fn ping() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("PING");
    pipeline
}

const REPLY_MAX: usize = 1 << 20;

fn link(url: &str) -> RedisLink {
    try_link(url).unwrap()
}

fn try_link(url: &str) -> Result<RedisLink, ConfigError> {
    let env = Arc::new(crate::env::RealEnv::default());
    RedisLink::new(&url.into(), TIMEOUTS, REPLY_MAX, env)
}

#[test]
fn a_url_that_is_none_is_named_without_its_password() {
    for url in [
        format!("http://u:{SECRET}@h"),
        format!("redis://u:{SECRET}@"),
        format!("redis://u:{SECRET}@h:port/0"),
        format!("redis://u:{SECRET}@h/db"),
        format!("redis://u:{SECRET}@h/?protocol={SECRET}"),
        format!("redis://u:{SECRET}@h#{SECRET}"),
        SECRET.to_owned(),
    ] {
        let Err(error) = try_link(&url) else {
            continue;
        };
        if url != SECRET {
            assert!(
                !format!("{error:?} {error}").contains("hunter2"),
                "{error:?}"
            );
        }
        assert_eq!(error.field, "redis_url");
    }
}

#[tokio::test]
async fn i14_errors_show_no_password() {
    let server = RedisServer::start_with(&["--requirepass", "other"]).unwrap();
    let dead = testbed::free_port().unwrap();
    for host in [
        format!("127.0.0.1:{}", server.port()),
        format!("127.0.0.1:{dead}"),
        "host.invalid:1".to_owned(),
    ] {
        for user in ["", "user"] {
            let error = link(&format!("redis://{user}:{SECRET}@{host}"))
                .send(&ping())
                .await
                .unwrap_err();
            let mut shown = format!("{error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                shown += &format!(" {error} {error:?}");
                source = error.source();
            }
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains(&host), "{shown}");
            assert!(error.is_unsent());
        }
    }
}

#[tokio::test]
async fn a_dead_server_is_an_error_and_a_restarted_one_is_found_again() {
    let server = RedisServer::start().unwrap();
    let link = link(&server.url());
    link.send_all(&ping()).await.unwrap();
    server.kill().unwrap();
    let begun = Instant::now();
    assert!(link.send(&ping()).await.is_err());
    assert!(link.send(&ping()).await.unwrap_err().is_unsent());
    assert!(begun.elapsed() < TIMEOUTS.response);
    server.restart().unwrap();
    link.send_all(&ping()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_within_the_time_out() {
    let server = RedisServer::start().unwrap();
    let link = link(&server.url());
    link.send_all(&ping()).await.unwrap();
    server.pause().unwrap();
    let begun = Instant::now();
    assert!(!link.send(&ping()).await.unwrap_err().is_unsent());
    // Ten callers wait for the same attempt to connect, not one after the other.
    let pings = (0..10).map(|_| async { link.send(&ping()).await.is_err() });
    let failed = futures_util::future::join_all(pings).await;
    assert!(failed.iter().all(|failed| *failed));
    // Thirty seconds and more, that would be.
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    server.resume().unwrap();
    link.send_all(&ping()).await.unwrap();
}

fn get(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("GET").arg(key);
    pipeline
}

#[tokio::test]
async fn i8_i12_an_endless_reply_is_given_up_at_the_bound() {
    // The story: one reply was taken in whole, however large, so a server without an end to it took all memory.
    for head in ["$2000000000\r\n", "*3\r\n$2\r\nab\r\n$900000000\r\n", "+"] {
        let server = FakeRedis::start(move |command| match &command[0][..] {
            b"PING" => Answer::Bytes(b"+PONG\r\n".to_vec()),
            _ => Answer::Endless(head.into()),
        })
        .unwrap();
        let link = link(&server.url());
        link.send_all(&ping()).await.unwrap();
        let begun = Instant::now();
        let error = link.send(&get("k")).await.unwrap_err();
        assert!(begun.elapsed() < TIMEOUTS.response, "{error}");
        let too_large = error.too_large().expect("the bound");
        assert_eq!(too_large.limit(), REPLY_MAX);
        assert!(too_large.head().starts_with(head.as_bytes()));
        assert!(!error.is_unsent() && error.to_string().contains("larger than 1048576 bytes"));
        assert_eq!(&*link.life().unwrap(), "abc");
        link.send_all(&ping()).await.unwrap();
        // What the system had taken for us, nobody reads.
        let mut sent = 0;
        while sent != server.bytes_sent() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "somebody takes it"
            );
            sent = server.bytes_sent();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(sent < 16 << 20, "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn i8_a_large_reply_is_bounded_on_a_real_server_and_the_bound_can_be_moved() {
    let server = RedisServer::start().unwrap();
    let link = link(&server.url());
    let mut set = Pipeline::new();
    set.cmd("SET")
        .arg("fits")
        .arg(vec![7u8; REPLY_MAX - VALUE_BYTES]);
    set.cmd("SET").arg("large").arg(vec![7u8; 8 << 20]);
    link.send_all(&set).await.unwrap();
    link.send_all(&get("fits")).await.unwrap();
    // Each reply has the bound for itself.
    let mut both = get("fits");
    both.cmd("GET").arg("fits");
    link.send_all(&both).await.unwrap();
    let error = link.send_all(&get("large")).await.unwrap_err();
    assert_eq!(error.too_large().unwrap().limit(), REPLY_MAX);
    assert!(error.too_large().unwrap().head().starts_with(b"$8388608"));
    // The next request finds a new connection.
    link.send_all(&get("fits")).await.unwrap();
    link.set_reply_bytes_max(9 << 20);
    let values = link.send_all(&get("large")).await.unwrap();
    assert_eq!(values, [Value::BulkString(vec![7u8; 8 << 20])]);
    link.set_reply_bytes_max(1000);
    assert!(
        link.send(&get("fits"))
            .await
            .unwrap_err()
            .too_large()
            .is_some()
    );
}

#[tokio::test]
async fn signing_in_and_both_protocol_versions_work() {
    let server = RedisServer::start_with(&["--requirepass", "open"]).unwrap();
    for options in ["/0", "/3", "/3?protocol=resp3"] {
        let url = server.url().replace("redis://", "redis://:open@");
        let link = link(&format!(
            "{}{options}",
            url.trim_end_matches("/0").trim_end_matches('/')
        ));
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg("k").arg(options);
        pipeline.cmd("HSET").arg("h").arg("f").arg("v");
        pipeline.cmd("HGETALL").arg("h");
        pipeline.cmd("GET").arg("k");
        let values = link.send_all(&pipeline).await.unwrap();
        assert_eq!(values[3], Value::BulkString(options.into()));
        assert_eq!(
            matches!(values[2], Value::Map(_)),
            options.contains("resp3")
        );
        assert!(link.life().is_some());
    }
}

#[tokio::test]
async fn a_link_that_is_dropped_closes_its_connection_and_sends_no_more() {
    let server = RedisServer::start().unwrap();
    let watcher = link(&server.url());
    let ask = async |words: &[&str]| {
        let mut pipeline = Pipeline::new();
        words
            .iter()
            .fold(pipeline.add_command(Cmd::new()), |p, word| p.arg(*word));
        watcher.send_all(&pipeline).await.unwrap().remove(0)
    };
    let clients = async || {
        let list: String = redis::from_redis_value(ask(&["CLIENT", "LIST"]).await).unwrap();
        list.lines().count()
    };
    let before = clients().await;
    let dropped = link(&server.url());
    dropped.send_all(&ping()).await.unwrap();
    assert_eq!(clients().await, before + 1);
    // More than the system takes for a server that does not read.
    server.pause().unwrap();
    let mut set = Pipeline::new();
    set.cmd("SET").arg("k").arg(vec![7u8; 64 << 20]);
    dropped.send(&set).await.unwrap_err();
    drop(dropped);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.resume().unwrap();
    let begun = Instant::now();
    while clients().await != before {
        assert!(begun.elapsed() < Duration::from_secs(60), "it stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(&["EXISTS", "k"]).await, Value::Int(0));
}
