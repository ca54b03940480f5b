//! The program itself: started, told to stop, killed, started again.

#![allow(clippy::disallowed_methods)] // It waits for processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    ready: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Program {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        assert!(ready.contains(" ready: "), "{ready:?}");
        Self { child, out, ready }
    }

    fn address(&self, scheme: &str) -> &str {
        let (_, behind) = self.ready.split_once(scheme).expect("the address");
        behind.split_whitespace().next().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end; gives the exit code and what was still printed.
    fn ended(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the program did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (code, rest)
    }

    fn http(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address("http://")).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address("redis://"))
    }
}

/// Runs a command to its end; gives whether it went well, and everything that it said.
fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_redsqrl"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redsqrl"));
    let data = dir.join("data");
    command
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--resp",
            "127.0.0.1:0",
            "--dir",
        ])
        .arg(data);
    command.stderr(Stdio::piped());
    command
}

#[test]
fn a_polite_stop_ends_well_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (round, signal) in ["-TERM", "-INT"].iter().enumerate() {
        let program = Program::start(dir.path(), &["--node-id", "n1"]);
        assert!(
            program
                .ready
                .starts_with("redsqrl node n1 ready: http://127.0.0.1:"),
            "{}",
            program.ready
        );
        for n in 0..50 {
            let put = program.http("PUT", &format!("/v1/items/k.{round}.{n}?ack=queued"), "{}");
            assert!(put.starts_with("HTTP/1.1 200"), "{put}");
        }
        program.signal(signal);
        assert_eq!(program.ended(), (Some(0), String::new()));
    }
    let program = Program::start(dir.path(), &["--node-id", "n1"]);
    for n in 0..50 {
        let got = program.http("GET", &format!("/v1/items/k.{}.{n}", n % 2), "");
        assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    }
}

#[test]
fn i2_killed_at_any_instant_it_has_every_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let program = Program::start(dir.path(), &[]);
        for n in 0..20 {
            let put = program.http(
                "PUT",
                &format!("/v1/items/k.{round}.{n}"),
                &format!("\"{n}\""),
            );
            assert!(put.starts_with("HTTP/1.1 200"), "{put}");
        }
        program.signal("-KILL");
        assert_eq!(program.ended().0, None);
    }
    let program = Program::start(dir.path(), &[]);
    for (round, n) in (0..3).flat_map(|round| (0..20).map(move |n| (round, n))) {
        let got = program.http("GET", &format!("/v1/items/k.{round}.{n}"), "");
        assert!(got.ends_with(&format!("\r\n\r\n\"{n}\"")), "{got}");
    }
}

#[test]
fn new_settings_come_with_a_signal_and_bad_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.yaml");
    std::fs::write(&file, "engine: {max_payload_bytes: 100}\n").unwrap();
    let mut program = Program::start(dir.path(), &["--config", file.to_str().unwrap()]);
    let mut log = BufReader::new(program.child.stderr.take().unwrap());
    let status =
        |program: &Program| program.http("PUT", "/v1/items/a", &"x".repeat(50))[9..12].to_string();
    let mut logged = |part: &str| {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(
                log.read_line(&mut line).unwrap() > 0,
                "the log ended without {part:?}"
            );
        }
    };
    assert_eq!(status(&program), "200");
    std::fs::write(&file, "engine: {max_payload_bytes: 10}\n").unwrap();
    program.signal("-HUP");
    logged("read again");
    assert_eq!(status(&program), "413");
    std::fs::write(&file, "engine: {max_paylod_bytes: 100}\n").unwrap();
    program.signal("-HUP");
    logged("Did you mean `max_payload_bytes`?");
    assert_eq!(status(&program), "413");
}

#[test]
fn what_cannot_start_says_why_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.yaml");
    std::fs::write(&file, "http:\n  lisen: 1\n").unwrap();
    let refused = command(dir.path())
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        message.starts_with("error: ")
            && message.contains("line 2")
            && message.contains("`listen`"),
        "{message}"
    );
    let running = Program::start(dir.path(), &[]);
    let refused = command(dir.path()).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let pid = running.child.id().to_string();
    assert!(
        message.contains("in use by a running node") && message.contains(&pid),
        "{message}"
    );
}

#[test]
fn i7_what_is_exported_and_imported_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let mut text = String::new();
    for n in 0..5000 {
        text.push_str(&format!(
            "{{\"id\":\"a.{n:04}\",\"content\":{{ \"n\":{n} ,\"s\": \"ü\\n\"}}}}\n"
        ));
    }
    text.push_str("{\"id\":\"b*[1]?\",\"content_base64\":\"AP8=\"}\n");
    text.push_str("{\"id\":\"b*[1]?.2\",\"content_base64\":\"\"}\n");
    text.push_str("{\"id\":\"c\",\"content\":null}\n");
    std::fs::write(path("in.ndjson"), &text).unwrap();
    let one = Program::start(&dir.path().join("one"), &[]);
    let (good, said) = run(&["import", &path("in.ndjson"), "--to", &one.url()]);
    assert!(good && said.contains("5,003 items imported"), "{said}");
    let (good, said) = run(&["export", &path("out.ndjson.zst"), "--from", &one.url()]);
    assert!(good && said.contains("5,003 items exported"), "{said}");
    let two = Program::start(&dir.path().join("two"), &[]);
    let (good, said) = run(&["import", &path("out.ndjson.zst"), "--to", &two.url()]);
    assert!(good, "{said}");
    let (good, said) = run(&["export", &path("again.ndjson"), "--from", &two.url()]);
    assert!(good, "{said}");
    let mut again: Vec<String> = lines(&path("again.ndjson"));
    let mut was: Vec<String> = text.lines().map(Into::into).collect();
    again.sort();
    was.sort();
    assert_eq!(again, was);
    let (good, said) = run(&[
        "export",
        &path("b"),
        "--from",
        &two.url(),
        "--prefix",
        "b*[1]?",
    ]);
    assert!(good && said.contains("2 items"), "{said}");
}

fn lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(Into::into).collect()
}

#[test]
fn bad_lines_are_named_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.ndjson");
    let file = file.to_str().unwrap();
    let text = "{\"id\":\"a\",\"content\":1}\n\nnonsense\n{\"id\":\"b\",\"content\":2}\n{\"id\":\"\",\"content\":2}";
    std::fs::write(file, text).unwrap();
    let node = Program::start(dir.path(), &[]);
    let (good, said) = run(&["import", file, "--to", &node.url()]);
    assert!(!good && said.contains("line 3"), "{said}");
    assert!(
        node.http("GET", "/v1/items/a", "")
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        node.http("GET", "/v1/items/b", "")
            .starts_with("HTTP/1.1 404")
    );
    let (good, said) = run(&["import", file, "--to", &node.url(), "--skip-bad"]);
    assert!(
        good && said.contains("2 items imported") && said.contains("2 bad lines"),
        "{said}"
    );
    assert!(said.contains("line 5"), "{said}");
    let (good, said) = run(&["import", "/nowhere/x.ndjson", "--to", &node.url()]);
    assert!(!good && said.contains("/nowhere/x.ndjson"), "{said}");
    let (good, said) = run(&["import", file, "--to", "redis://:hunter2@127.0.0.1:1"]);
    assert!(
        !good && said.contains("127.0.0.1:1") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]);
    // A request that goes on holds up the polite stop.
    let mut slow = TcpStream::connect(program.address("http://")).unwrap();
    slow.write_all(
        b"PUT /v1/items/a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    program.signal("-TERM");
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(program.address("http://")).is_ok() {
        assert!(Instant::now() < deadline, "the signal was not heard");
        std::thread::sleep(Duration::from_millis(20));
    }
    program.signal("-INT");
    assert_eq!(program.ended().0, Some(130));
}
