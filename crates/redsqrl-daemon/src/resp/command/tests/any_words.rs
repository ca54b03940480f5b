use proptest::prelude::*;

use super::*;

/// Words commands know, so that random requests get past the first option.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "nx",
        "xx",
        "ex",
        "px",
        "get",
        "keepttl",
        "match",
        "count",
        "type",
        "streams",
        "block",
        "maxlen",
        "minid",
        "~",
        "=",
        "limit",
        "*",
        "5-*",
        "1-1",
        "-",
        "+",
        "(5",
        "$",
        "auth",
        "setname",
        "stream",
        "info",
        "docs",
        "3",
        "0",
        "-1",
        "9223372036854775807",
        "k",
    ];
    prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn any_words_are_decoded_or_refused(
        at in 0..TABLE.len(),
        args in prop::collection::vec(word(), 0..9),
    ) {
        let command = Command {
            name: Bytes::from_static(TABLE[at].name.as_bytes()),
            args: args.into_iter().map(Bytes::from).collect(),
        };
        if let Err(error) = decode(command) {
            prop_assert!(error.to_string().contains(' '));
        }
    }

    #[test]
    fn any_name_is_known_or_not(name: Vec<u8>, args: Vec<Vec<u8>>) {
        let args = args.into_iter().map(Bytes::from).collect();
        let _decoded_or_refused = decode(Command { name: Bytes::from(name), args });
    }
}
