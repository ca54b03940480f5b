//! Durations as people write them: `5s`, `250ms`, `2m`, `1h`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The duration of this text: a whole number and one of `ms`, `s`, `m`, `h`, with or without a space between.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let ms = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

/// The text of a duration, in the largest unit that is exact.
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".into(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    parse(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is no duration: expected a number and ms, s, m or h, such as \"5s\""
        ))
    })
}

pub(super) fn serialize<S: Serializer>(value: &Duration, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&show(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_durations_are_read() {
        assert_eq!(parse("5s"), Some(Duration::from_secs(5)));
        assert_eq!(parse(" 250 ms "), Some(Duration::from_millis(250)));
        assert_eq!(parse("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "",
            "5",
            "s",
            "-5s",
            "5 sec",
            "1.5s",
            "99999999999999999h",
            "5s5",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn shown_durations_come_back(ms in 0..u64::from(u32::MAX)) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_none_not_a_panic(text: String) {
            if let Some(duration) = parse(&text) {
                prop_assert!(duration >= Duration::ZERO);
            }
        }
    }
}
