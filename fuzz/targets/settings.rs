//! A settings file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use redsqrl_daemon::config::{Variables, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(config) = parse(text, Path::new("redsqrl.yaml"), &Variables::default()) {
        drop(config.validate());
    }
});
