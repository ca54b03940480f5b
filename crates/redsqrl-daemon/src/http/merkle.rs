//! The Merkle tree: `/v1/merkle`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_engine::MerkleNode;

use super::Shared;
use super::error::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    path: Option<String>,
}

/// What an answer takes at the most while it is made: 10,000 children, of which each may be named with a longest id.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Serialize)]
struct Node<'a> {
    path: &'a str,
    hash: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Vec<Node<'a>>>,
}

impl<'a> Node<'a> {
    fn of(node: &'a MerkleNode, children: Option<Vec<Self>>) -> Self {
        Self {
            path: &node.path,
            hash: node.hash.to_string(),
            count: node.count,
            children,
        }
    }
}

/// The root; with `?path=` that subtree and those right below it.
pub(super) async fn node(State(face): Shared, uri: Uri) -> Result<Response, Refusal> {
    let question = Query::<Question>::try_from_uri(&uri)
        .map_err(|wrong| Refusal::invalid(wrong.body_text()))?
        .0;
    let Some(path) = question.path else {
        let root = face.engine.merkle_aggregate()?;
        let root = json!({"root": root.hash().to_string(), "count": root.count});
        return Ok(Json(root).into_response());
    };
    let mut room = face.budget.replies.take(ANSWER_BYTES_MAX).await?;
    let node = face.engine.get_merkle_node(&path).await?;
    let children = face.engine.get_merkle_children(&path).await?;
    let children = children.iter().map(|child| Node::of(child, None));
    let node = Node::of(&node, Some(children.collect()));
    let body = serde_json::to_vec(&node).map_err(Refusal::invalid)?;
    room.shrink_to(body.capacity());
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, room.keep(body.into())).into_response())
}
