//! The Merkle tree: `/v1/merkle`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::error::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    path: Option<String>,
}

/// The root; with `?path=` that subtree and those right below it.
pub(super) async fn node(State(face): Shared, uri: Uri) -> Result<Json<Value>, Refusal> {
    let question = Query::<Question>::try_from_uri(&uri)
        .map_err(|wrong| Refusal::invalid(wrong.body_text()))?
        .0;
    let Some(path) = question.path else {
        let root = face.engine.merkle_aggregate()?;
        return Ok(Json(
            json!({"root": root.hash().to_string(), "count": root.count}),
        ));
    };
    let node = face.engine.get_merkle_node(&path).await?;
    let children = face.engine.get_merkle_children(&path).await?;
    let children = children.iter().map(
        |child| json!({"path": child.path, "hash": child.hash.to_string(), "count": child.count}),
    );
    Ok(Json(json!({
        "path": node.path, "hash": node.hash.to_string(), "count": node.count, "children": children.collect::<Vec<_>>(),
    })))
}
