//! The settings file of a node.

use std::net::SocketAddr;
use std::path::Path;

use super::place::Addresses;
use super::{NAMES, node_id};

/// The settings of a node as YAML: `peers` are the others' indices and the ways to them.
pub(super) fn yaml(
    index: usize,
    addresses: Addresses,
    directory: &Path,
    peers: &[(usize, SocketAddr)],
) -> String {
    use std::fmt::Write as _;
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let id = node_id(index);
    let mut yaml = format!(
        "# Node {name} of the demo. The peers' addresses lead through the demo, which can cut them.\n\
         node_id: {id}\n\
         dir: {dir}\n\
         http:\n  listen: {http}\n\
         resp:\n  listen: {resp}\n\
         replication:\n  \
         local_node_id: {id}\n  \
         cursor:\n    sqlite_path: {cursors}\n  \
         settings:\n    \
         hot_path:\n      block_timeout: 1s\n      adaptive_batch_size: true\n    \
         cold_path:\n      interval_sec: 2\n      backoff_base_sec: 1\n      backoff_max_sec: 2\n  \
         peers:\n",
        name = NAMES.get(index).copied().unwrap_or("?"),
        dir = quoted(directory),
        http = addresses.http,
        resp = addresses.resp,
        cursors = quoted(&directory.join("cursors.db")),
    );
    for (peer, way) in peers {
        // Writing to a string cannot fail.
        writeln!(
            yaml,
            "    - node_id: {}\n      redis_url: redis://{way}\n      circuit_reset_timeout_sec: 1",
            node_id(*peer)
        )
        .ok();
    }
    yaml
}
