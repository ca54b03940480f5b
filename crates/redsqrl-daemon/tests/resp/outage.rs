//! I13: "could not look" is an error to the client, never a null.

use redis::{AsyncCommands, Value, cmd, pipe};
use redsqrl_daemon::resp::RespSettings;

use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_an_outage_is_not_absence() {
    // A cache that was never there to be asked: an item kept only in it cannot be ruled out.
    let dead = testbed::free_port().unwrap();
    let node = Node::start_beside(RespSettings::default(), Some(dead)).await;
    let mut client = node.client().await;
    let () = client.set("uk.known", "v").await.unwrap();
    for line in [
        "GET uk.x",
        "MGET uk.known uk.x",
        "EXISTS uk.x",
        "TTL uk.x",
        "SET uk.x 1 NX",
        "GETDEL uk.x",
        "TYPE uk.x",
    ] {
        let mut words = line.split(' ');
        let mut command = cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let refused = command.query_async::<Value>(&mut client).await.unwrap_err();
        assert_eq!(refused.code(), Some("TRYAGAIN"), "{line}: {refused}");
    }
    let mut pipeline = pipe();
    pipeline
        .get("uk.known")
        .get("uk.x")
        .get("uk.known")
        .ignore_errors();
    let replies: Vec<redis::RedisResult<Value>> = pipeline.query_async(&mut client).await.unwrap();
    let is_error: Vec<bool> = replies.iter().map(Result::is_err).collect();
    assert_eq!(
        is_error,
        [false, true, false],
        "one key's outage is not its neighbours'"
    );
    node.stop().await;
}
