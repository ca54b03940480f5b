//! Replies about streams, in the forms of both protocol versions.

use bytes::Bytes;
use redis::Value;
use sync_engine::cdc::stream_id::StreamId;

use super::Entry;

/// The entries of the only stream in the reply of XREAD: nil, `[[key, entries]]`, or (RESP3) a map of the same.
pub(crate) fn xread(reply: Value) -> Option<Vec<Entry>> {
    let entries = match reply {
        Value::Nil => return Some(Vec::new()),
        Value::Array(mut streams) => match streams.pop()? {
            Value::Array(mut named) if named.len() == 2 => named.pop()?,
            _ => return None,
        },
        Value::Map(mut streams) => streams.pop()?.1,
        _ => return None,
    };
    self::entries(entries, usize::MAX)
}

/// A list of entries, as XRANGE gives it: at most `most` of them.
pub(crate) fn entries(reply: Value, most: usize) -> Option<Vec<Entry>> {
    let Value::Array(list) = reply else {
        return None;
    };
    list.into_iter().take(most).map(entry).collect()
}

/// The id of the first entry, out of how the reply of XREAD or XRANGE begins: whatever follows was too large to be read. No
/// stream of ours has a name that could be an id.
pub(crate) fn first_id(head: &[u8]) -> Option<StreamId> {
    let mut rest = head;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, after) = (rest.get(..end)?, rest.get(end + 2..)?);
        match line.split_first()? {
            (b'*' | b'%', _) => rest = after,
            (b'$', length) => {
                let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
                let text = std::str::from_utf8(after.get(..length)?).ok()?;
                if let Ok(id) = text.parse() {
                    return Some(id);
                }
                rest = after.get(length.checked_add(2)?..)?;
            }
            _ => return None,
        }
    }
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [id, fields] = <[Value; 2]>::try_from(parts).ok()?;
    let id = std::str::from_utf8(&bytes(id)?).ok()?.parse().ok()?;
    let fields = match fields {
        // The entry was deleted while it was read.
        Value::Nil => Vec::new(),
        Value::Array(list) => pairs(list)?,
        Value::Map(pairs) => {
            let pair = |(name, value)| Some((bytes(name)?, bytes(value)?));
            pairs.into_iter().map(pair).collect::<Option<_>>()?
        }
        _ => return None,
    };
    Some(Entry { id, fields })
}

fn pairs(list: Vec<Value>) -> Option<Vec<(Bytes, Bytes)>> {
    let mut fields = Vec::with_capacity(list.len() / 2);
    let mut list = list.into_iter();
    while let Some(name) = list.next() {
        fields.push((bytes(name)?, bytes(list.next()?)?));
    }
    Some(fields)
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into_bytes().into()),
        Value::Int(number) => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_id_is_found_in_the_head_of_a_reply() {
        let id = Some(StreamId { ms: 17, seq: 3 });
        let entry = "*2\r\n$4\r\n17-3\r\n*2\r\n$4\r\ndata\r\n$99999999\r\nxxx";
        for before in [
            "*1\r\n*2\r\n$5\r\np:cdc\r\n*9\r\n",
            "%1\r\n$5\r\np:cdc\r\n*9\r\n",
            "*1\r\n",
        ] {
            assert_eq!(first_id(format!("{before}{entry}").as_bytes()), id);
        }
        for none in [
            "",
            "*",
            "$99999999\r\nxxx",
            "$18446744073709551615\r\n17-3\r\n",
            "+17-3\r\n",
            "*99999999\r\n",
            "*1\r\n*2\r\n$5\r\np:cdc\r\n*9\r\n*2\r\n$40\r\n17-3\r\n",
        ] {
            assert_eq!(first_id(none.as_bytes()), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_head_has_an_id_or_none(head: Vec<u8>) {
            first_id(&head);
        }
    }

    #[test]
    fn both_protocol_versions_are_read_and_nonsense_is_not() {
        let entry = || {
            let fields = Value::Array(vec![bulk("op"), bulk("PUT")]);
            Value::Array(vec![Value::Array(vec![bulk("5-1"), fields])])
        };
        let old = Value::Array(vec![Value::Array(vec![bulk("cdc"), entry()])]);
        let new = Value::Map(vec![(bulk("cdc"), entry())]);
        let read = xread(old).unwrap();
        assert_eq!(read, xread(new).unwrap());
        assert_eq!(read[0].id.to_string(), "5-1");
        assert_eq!(read[0].fields, [("op".into(), "PUT".into())]);
        assert_eq!(xread(Value::Nil), Some(Vec::new()));
        for nonsense in [
            Value::Okay,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Nil]),
            Value::Map(vec![(bulk("cdc"), Value::Int(3))]),
            Value::Array(vec![Value::Array(vec![
                bulk("cdc"),
                Value::Array(vec![Value::Array(vec![bulk("x-y"), Value::Nil])]),
            ])]),
            Value::Array(vec![Value::Array(vec![
                bulk("cdc"),
                Value::Array(vec![Value::Array(vec![
                    bulk("1-1"),
                    Value::Array(vec![bulk("odd")]),
                ])]),
            ])]),
        ] {
            assert_eq!(xread(nonsense), None);
        }
    }
}
