//! Chapter 2: how long it takes until a write on A is seen on B and C.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::client::Client;
use super::super::data::OWN_PREFIX;
use super::super::error::DemoError;
use super::super::report::Lag;
use super::super::screen::Bar;
use super::{A, B, C, Story};

/// Writes that are watched.
const PROBES: usize = 300;

/// Between two of them: a light load.
const PAUSE: Duration = Duration::from_millis(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The probes sent so far, each with the moment at which it was sent.
type Sent = Arc<Mutex<Vec<(String, Instant)>>>;

pub(super) async fn measure(story: &mut Story<'_>) -> Result<(), DemoError> {
    story
        .screen
        .chapter("2. Replication lag: from a write on A until it is read on B and C");
    let sent = Sent::default();
    let writer = story.mesh.connect(A).await?;
    let readers = [story.mesh.connect(B).await?, story.mesh.connect(C).await?];
    let bar = story.screen.bar("probes", PROBES * readers.len());
    let [b, c] = readers.map(|reader| watch(reader, sent.clone(), &bar));
    let all = async { tokio::try_join!(send(writer, sent.clone()), b, c) };
    let seen = tokio::time::timeout(LIMIT, all).await;
    drop(bar);
    let ((), b, c) = seen.map_err(|_| DemoError::Late {
        what: "every probe to be seen on B and C".into(),
        limit: LIMIT,
        seen: format!("{} were sent", sent.lock().len()),
    })??;
    let lag = Lag::of([b, c].concat());
    story.report.lag_ms = lag;
    let detail = format!(
        "p50 {} ms, p99 {} ms, of {} readings",
        lag.p50,
        lag.p99,
        PROBES * 2
    );
    story.check(true, "every write seen on both other nodes", detail);
    Ok(())
}

async fn send(mut client: Client, sent: Sent) -> Result<(), DemoError> {
    for probe in 0..PROBES {
        let key = format!("{OWN_PREFIX}probe.{probe}");
        sent.lock().push((key.clone(), Instant::now()));
        client
            .write_all(&[(key, Some(Bytes::from_static(b"{}")))])
            .await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Reads until every probe was seen; gives the milliseconds of each.
async fn watch(mut client: Client, sent: Sent, bar: &Bar) -> Result<Vec<f64>, DemoError> {
    let mut waiting: Vec<(String, Instant)> = Vec::new();
    let mut taken = 0;
    let mut lags = Vec::new();
    while lags.len() < PROBES {
        {
            let sent = sent.lock();
            waiting.extend(sent.iter().skip(taken).cloned());
            taken = sent.len();
        }
        let keys: Vec<String> = waiting.iter().map(|(key, _)| key.clone()).collect();
        let mut values = match keys.is_empty() {
            true => Vec::new(),
            false => client.read(&keys).await?,
        }
        .into_iter();
        let before = lags.len();
        waiting.retain(|(_, at)| match values.next().flatten() {
            Some(_) => {
                lags.push(at.elapsed().as_secs_f64() * 1000.0);
                false
            }
            None => true,
        });
        bar.advance(lags.len() - before);
        tokio::time::sleep(LOOK).await;
    }
    Ok(lags)
}
