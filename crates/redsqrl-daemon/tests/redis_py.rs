//! What a Python program sets on one node, it reads on the other.
#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

mod common;

use common::mesh::Mesh;
use common::node::Tiers;
use common::python;

const PROGRAM: &str = r#"
import sys, time
import redis

def eventually(holds):
    until = time.time() + 60
    while not holds():
        assert time.time() < until, holds
        time.sleep(0.02)

a, b = (redis.Redis(port=int(port)) for port in sys.argv[1:])

a.set("py.text", "grüße")
eventually(lambda: b.get("py.text") == "grüße".encode())

binary = {"py.bin.empty": b"", "py.bin.zero": b"\x00\xff\r\n$5\r\n", "py.bin.all": bytes(range(256)) * 1000}
for key, value in binary.items():
    a.set(key, value)
eventually(lambda: b.mget(list(binary)) == list(binary.values()))

many = {f"py.many.{n}": f"value {n}".encode() for n in range(500)}
a.mset(many)
eventually(lambda: b.mget(list(many)) == list(many.values()))

pipe = a.pipeline(transaction=False)
for n in range(2000):
    pipe.set(f"py.pipe.{n}", n)
assert all(pipe.execute())
eventually(lambda: len(list(b.scan_iter("py.pipe.*", count=1000))) == 2000)
assert b.mget([f"py.pipe.{n}" for n in range(2000)]) == [str(n).encode() for n in range(2000)]

# A lifetime goes with the value, and ends it on both.
a.set("py.long", "v", ex=100)
a.set("py.short", "v", ex=10)
eventually(lambda: b.get("py.short") == b"v" and b.get("py.long") == b"v")
assert 80 <= b.ttl("py.long") <= 100 and 0 <= b.ttl("py.short") <= 10, (b.ttl("py.long"), b.ttl("py.short"))
eventually(lambda: not a.exists("py.short") and not b.exists("py.short"))
assert b.get("py.long") == b"v"

# What is deleted there is gone here, and stays so.
assert b.delete("py.text", *many) == 501
eventually(lambda: not a.exists("py.text", *many))
b.set("py.text", "again")
eventually(lambda: a.get("py.text") == b"again")
time.sleep(2)
assert not a.exists(*many) and not b.exists(*many)
print(a.dbsize(), b.dbsize())
"#;

#[test]
fn what_python_sets_on_one_node_it_reads_on_the_other() {
    let mesh = Mesh::start([Tiers::embedded(), Tiers::embedded()]);
    let ports = [mesh[0].resp, mesh[1].resp].map(|port| port.to_string());
    assert_eq!(python::run(PROGRAM, &ports), "2005 2005\n");
    // 500 deleted ones and an expired one are remembered.
    assert_eq!(mesh.converged(2506).len(), 2005);
}
