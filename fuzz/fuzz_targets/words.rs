//! What else is read as text: what a deployer asks of jemalloc, the kernel's list of locks, the signals that a
//! thread blocks. Arbitrary bytes never panic, and what is answered stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&which, value)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(value);
    match which % 3 {
        0 => deployed(&text),
        1 => locks(&text),
        _ => blocked(value),
    }
});

fn deployed(text: &str) {
    let Some(asked) = plimsoll::fuzz_deployed(text, "dirty_decay_ms") else {
        return;
    };
    let last = text.rsplit(',').filter_map(|pair| pair.split_once(':'));
    let mut own = last.filter(|(name, _)| name.trim() == "dirty_decay_ms");
    let (_, value) = own.next().expect("an entry of that name");
    // As C reads it, which may have `0x` or `0` before it and no more than one sign.
    let value = value.trim_ascii_start();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    assert!(!digits.starts_with(['+', '-']));
    let size = i128::from_str_radix(digits, radix).expect("a number");
    let signed = if value.starts_with('-') { -size } else { size };
    assert_eq!(i128::from(asked), signed);
}

fn locks(text: &str) {
    const FILE: &str = "00:1f:4567";
    if let Some(process_id) = plimsoll::fuzz_locks(text, FILE) {
        let of = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() >= 6 && words[5] == FILE && words[4].parse() == Ok(process_id)
        };
        assert!(text.lines().any(of));
    }
}

fn blocked(status: &[u8]) {
    if let Some(set) = plimsoll::fuzz_blocked(status) {
        let text = String::from_utf8_lossy(status);
        let line = text.split('\n').find(|line| line.starts_with("SigBlk:"));
        let digits =
            line.unwrap()["SigBlk:".len()..].trim_matches(|byte: char| byte.is_ascii_whitespace());
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        assert_eq!(
            format!("{set:x}"),
            match digits.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => digits.to_lowercase(),
            }
        );
    }
}
