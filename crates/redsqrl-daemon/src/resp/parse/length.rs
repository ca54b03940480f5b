//! The numbers in the headers of a request.

/// A number and its line end, as found.
pub(super) enum Length {
    /// The number, and where the next line begins.
    Is(i64, usize),
    /// The bytes end within it.
    Partial,
    /// Not a number.
    Bad,
}

/// More digits than any length has; stops a client that sends digits for ever.
const DIGITS_MAX: usize = 18;

/// Reads `-?digits CR LF` at `from`; no sign but minus, no leading zero, no space.
#[inline]
pub(super) fn length(bytes: &[u8], from: usize) -> Length {
    let negative = bytes.get(from) == Some(&b'-');
    let first = if negative { from + 1 } else { from };
    let mut value = 0i64;
    let mut at = first;
    loop {
        match bytes.get(at) {
            None => return Length::Partial,
            Some(digit @ b'0'..=b'9') if at - first < DIGITS_MAX => {
                if value == 0 && at > first {
                    return Length::Bad;
                }
                value = value * 10 + i64::from(digit - b'0');
                at += 1;
            }
            Some(b'\r') if at > first => break,
            Some(_) => return Length::Bad,
        }
    }
    match bytes.get(at + 1) {
        None => Length::Partial,
        Some(b'\n') if negative && value == 0 => Length::Bad,
        Some(b'\n') => Length::Is(if negative { -value } else { value }, at + 2),
        Some(_) => Length::Bad,
    }
}
