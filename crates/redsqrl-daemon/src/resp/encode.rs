//! Requests as clients write them: the other direction of [`parse`](super::parse), for
//! clients, load generators and round-trip tests.

use bytes::BytesMut;

use super::reply::put_header;

/// Appends a request: an array of bulk strings. The first argument is the command's name.
pub fn put_request<A: AsRef<[u8]>>(out: &mut BytesMut, args: &[A]) {
    put_header(out, b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        put_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
