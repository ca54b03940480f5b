use super::*;
use std::time::Instant;
use testbed::RedisServer;

const SECRET: &str = "hunter2%40x";

pub(crate) const TIMEOUTS: RedisTimeouts = RedisTimeouts {
    connect: Duration::from_millis(1000),
    response: Duration::from_millis(1000),
};

fn ping() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("PING");
    pipeline
}

fn link(url: &str) -> RedisLink {
    RedisLink::new(&url.into(), TIMEOUTS).unwrap()
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
        let Err(error) = RedisLink::new(&url.as_str().into(), TIMEOUTS) else {
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
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    server.resume().unwrap();
    link.send_all(&ping()).await.unwrap();
}
